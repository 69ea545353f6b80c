"""Finds out what kind of tokenizer file a path is, and reads it."""

from __future__ import annotations

import os
from pathlib import Path

from ..files.errors import CheckpointError
from .bpe.base import Tokenizer
from .files.beside import read_beside
from .files.configuration import named_templates, named_tokens
from .files.gguf import tokenizer_from_gguf
from .files.huggingface import parse_tokenizer_json
from .files.llama2c import read_llama2c_tokenizer
from .files.sentencepiece_model import parse
from .files.validation import read_bounded

IN_FOLDER = ("tokenizer.json", "tokenizer.model", "tokenizer.bin")  # the first one there is read


def load_tokenizer(path: str | os.PathLike[str], *, vocab_size: int | None = None) -> Tokenizer:
    """Read a tokenizer from a file, or from a folder that holds one.

    Parameters
    ----------
    path : path-like
        A SentencePiece `tokenizer.model`, a Hugging Face `tokenizer.json`, a llama2.c `tokenizer.bin`, a GGUF
        file (of which only the vocabulary is read; it need not have tensors), or a folder with one of the
        first three, in this order of preference. The files beside the first two that say more are read, too.
    vocab_size : int, optional
        How many tokens the model has; a `tokenizer.bin` with another number is refused.

    Raises
    ------
    CheckpointError
        When there is no tokenizer, or it is damaged or of an unsupported kind.
    """
    path = Path(path)
    if path.is_dir():
        found = next((path / name for name in IN_FOLDER if (path / name).is_file()), None)
        if found is None:
            raise CheckpointError(path, "folder", f"expected one of {', '.join(IN_FOLDER)} in it")
        path = found
    if path.suffix == ".bin":
        return read_llama2c_tokenizer(path, vocab_size)
    if _is_gguf(path):
        return _from_gguf(path)
    data = read_bounded(path)
    config = read_beside(path.parent)
    if path.suffix == ".json" or data.lstrip()[:1] == b"{":
        tokenizer = parse_tokenizer_json(data, path, config)
    else:
        tokenizer = parse(data, path, config)
    tokenizer.named_tokens = {**named_tokens(config), **tokenizer.named_tokens}
    tokenizer.named_templates = named_templates(config)
    return tokenizer


def _is_gguf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False  # said by whoever reads it


def _from_gguf(path: Path) -> Tokenizer:
    from ..files.gguf.container import read_gguf_header

    return tokenizer_from_gguf(read_gguf_header(path).metadata, path)
