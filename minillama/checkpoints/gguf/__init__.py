"""GGUF, the format of llama.cpp."""

from .container import GGUFHeader, read_gguf_header
from .reading import gguf_config, read_gguf
from .writing import write_gguf

__all__ = ["GGUFHeader", "gguf_config", "read_gguf", "read_gguf_header", "write_gguf"]
