"""Tokenizers: text to token ids and back."""

from .bpe.base import StreamDecoder, Tokenizer, TokenType
from .bpe.byte_level import ByteLevelBPE
from .bpe.sentencepiece import Piece, SentencePieceBPE
from .files.gguf import gguf_metadata, tokenizer_from_gguf
from .files.llama2c import read_llama2c_tokenizer, write_llama2c_tokenizer
from .files.writing import save_tokenizer
from .loading import load_tokenizer

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
    "save_tokenizer",
    "tokenizer_from_gguf",
    "write_llama2c_tokenizer",
]
