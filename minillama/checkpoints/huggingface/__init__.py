"""Hugging Face folders: config.json and safetensors, or the pickles of before."""

from .reading import is_huggingface, read_huggingface
from .writing import write_huggingface

__all__ = ["is_huggingface", "read_huggingface", "write_huggingface"]
