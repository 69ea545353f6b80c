"""Writes a tokenizer into a folder, in the files that its own ecosystem reads."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ...files.atomic import atomic_write
from ..bpe.base import Tokenizer
from ..bpe.sentencepiece import SentencePieceBPE
from .configuration import tokenizer_config
from .huggingface_writing import serialize_tokenizer_json
from .sentencepiece_model import serialize


def save_tokenizer(tokenizer: Tokenizer, folder: str | os.PathLike[str]) -> None:
    """Write `tokenizer.model` or `tokenizer.json`, and `tokenizer_config.json`, into `folder`.

    A tokenizer that came from such a file is written back byte for byte; others are written from scratch. What
    the file itself cannot say (chat template, whether a text begins with BOS) is in the configuration.
    """
    if tokenizer.source is not None:
        name, data = tokenizer.source
    elif isinstance(tokenizer, SentencePieceBPE) and tokenizer.merges is None:
        name, data = "tokenizer.model", serialize(tokenizer)
    else:
        name, data = "tokenizer.json", serialize_tokenizer_json(tokenizer)
    folder = Path(folder)
    other = {"tokenizer.model": "tokenizer.json", "tokenizer.json": "tokenizer.model"}[name]
    (folder / other).unlink(missing_ok=True)  # it would be another tokenizer's, and might be read first
    tokenizer_class = "LlamaTokenizer" if name == "tokenizer.model" else "PreTrainedTokenizerFast"
    config = json.dumps(tokenizer_config(tokenizer, tokenizer_class), ensure_ascii=False, indent=2).encode()
    for file_name, content in ((name, data), ("tokenizer_config.json", config)):
        with atomic_write(folder / file_name) as file:
            file.write(content)
