"""GGUF, the format of llama.cpp."""

from ...files.gguf.container import GGUFHeader, read_gguf_header
from .configuration import gguf_config
from .reading import read_gguf
from .writing import write_gguf

__all__ = ["GGUFHeader", "gguf_config", "read_gguf", "read_gguf_header", "write_gguf"]
