"""Writes a tokenizer into a folder, in the files that its own ecosystem reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from ..bpe.base import Tokenizer
from ..bpe.sentencepiece import SentencePieceBPE
from .beside import SPACES_KEY
from .configuration import tokenizer_config
from .huggingface_writing import serialize_tokenizer_json
from .sentencepiece_model import serialize
from .vocabulary import as_object


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
    for stale in (other, "special_tokens_map.json", "added_tokens.json"):  # another tokenizer's, read with this one
        (folder / stale).unlink(missing_ok=True)
    tokenizer_class = "LlamaTokenizer" if name == "tokenizer.model" else "PreTrainedTokenizerFast"
    settings = tokenizer_config(tokenizer, tokenizer_class)
    if name == "tokenizer.model":
        settings |= _beside_model(tokenizer)
    config = json.dumps(settings, ensure_ascii=False, indent=2).encode()
    for file_name, content in ((name, data), ("tokenizer_config.json", config)):
        with atomic_write(folder / file_name) as file:
            file.write(content)


def _beside_model(tokenizer: Tokenizer) -> dict[str, Any]:
    """What a `tokenizer.model` cannot say: whose way to write spaces is meant, and flags of added tokens."""
    settings: dict[str, Any] = {}
    if isinstance(tokenizer, SentencePieceBPE) and tokenizer.spaces == "sentencepiece":
        settings[SPACES_KEY] = "sentencepiece"
        # the nearest that transformers' class can do: a space before a text after a special token, too
        settings["legacy"] = True
    if tokenizer.source is None and tokenizer.added != tokenizer._default_added():
        settings["added_tokens_decoder"] = {str(token.id): as_object(token) for token in tokenizer.added}
    return settings
