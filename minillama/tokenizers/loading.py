"""Finds out what kind of tokenizer file a path is, and reads it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..files.errors import CheckpointError
from .bpe.base import Tokenizer
from .files.configuration import named_templates, named_tokens
from .files.huggingface import parse_tokenizer_json
from .files.llama2c import read_llama2c_tokenizer
from .files.sentencepiece_model import parse
from .files.templates import read_templates
from .files.validation import read_bounded, read_json

CONFIG = "tokenizer_config.json"
IN_FOLDER = ("tokenizer.json", "tokenizer.model", "tokenizer.bin")  # the first one there is read


def load_tokenizer(path: str | os.PathLike[str], *, vocab_size: int | None = None) -> Tokenizer:
    """Read a tokenizer from a file, or from a folder that holds one.

    Parameters
    ----------
    path : path-like
        A SentencePiece `tokenizer.model`, a Hugging Face `tokenizer.json`, a llama2.c `tokenizer.bin`,
        or a folder with one of them. `tokenizer_config.json` beside the first two is read, too.
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
    data = read_bounded(path)
    config = _config(path.parent)
    if path.suffix == ".json" or data.lstrip()[:1] == b"{":
        tokenizer = parse_tokenizer_json(data, path, config)
    else:
        tokenizer = parse(data, path, config)
    tokenizer.named_tokens = {**named_tokens(config), **tokenizer.named_tokens}
    tokenizer.named_templates = named_templates(config)
    return tokenizer


def _config(folder: Path) -> dict[str, Any]:
    """The content of `tokenizer_config.json`, with the chat templates in place of its own if they have their files."""
    config = read_json(read_bounded(folder / CONFIG), folder / CONFIG) if (folder / CONFIG).is_file() else {}
    templates = read_templates(folder)
    if templates:
        config["chat_template"] = templates
    return config
