"""Tokenizers: text to token ids and back."""

from .base import StreamDecoder, Tokenizer, TokenType
from .byte_level_bpe import ByteLevelBPE
from .gguf import gguf_metadata, tokenizer_from_gguf
from .llama2c import read_llama2c_tokenizer, write_llama2c_tokenizer
from .loading import load_tokenizer
from .sentencepiece_bpe import Piece, SentencePieceBPE

__all__ = [
    "ByteLevelBPE",
    "Piece",
    "SentencePieceBPE",
    "StreamDecoder",
    "TokenType",
    "Tokenizer",
    "gguf_metadata",
    "load_tokenizer",
    "read_llama2c_tokenizer",
    "tokenizer_from_gguf",
    "write_llama2c_tokenizer",
]
