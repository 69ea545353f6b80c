"""What GGUF's own keys cannot say about a tokenizer, as one more key: JSON with the settings that differ.

    added         added tokens with a flag, or with one that llama.cpp would not give them
    spaces, split_words, strip_first   how a SentencePiece vocabulary from a Hugging Face folder writes spaces
    compose       NFC before a byte-level vocabulary

llama.cpp passes over keys that it does not know, and reads such a file in its own way.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.added_tokens import AddedToken
from ..bpe.base import Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import SPACES, SentencePieceBPE
from .validation import expect, read_json
from .vocabulary import added_token, as_object

EXTRA_KEY = "tokenizer.minillama.settings"


def default_added(tokens: Sequence[str], types: Sequence[int]) -> list[AddedToken]:
    """The added tokens as llama.cpp has them: control and user-defined ones, looked for in the text as it came."""
    kinds = (int(TokenType.CONTROL), int(TokenType.USER_DEFINED))  # compared 100,000 times: as plain numbers
    found = [id_ for id_, kind in enumerate(types) if kind in kinds and tokens[id_]]
    return [AddedToken(id_, tokens[id_], special=types[id_] == TokenType.CONTROL) for id_ in found]


def extra_settings(tokenizer: Tokenizer) -> str | None:
    """The content of the key; None where GGUF's own keys say everything."""
    extra: dict[str, Any] = {}
    if tokenizer.added != default_added(tokenizer.pieces, tokenizer.types):
        extra["added"] = [
            {"id": token.id, **as_object(token), "in_vocabulary": token.in_vocabulary} for token in tokenizer.added
        ]
    if isinstance(tokenizer, SentencePieceBPE) and tokenizer.merges is not None:
        extra |= {
            "spaces": "normalizer" if tokenizer.spaces == "sentencepiece" else tokenizer.spaces,
            "split_words": tokenizer.split_words,
            "strip_first": tokenizer.strip_first,
        }
    if isinstance(tokenizer, ByteLevelBPE) and tokenizer.compose:
        extra["compose"] = True
    return json.dumps(extra, ensure_ascii=False) if extra else None


def read_extra(
    text: str | None, tokens: Sequence[str], types: Sequence[int], path: str | PathLike[str], names: Sequence[str]
) -> dict[str, Any]:
    """The settings `names` that the key holds, and always `added`, as arguments of a tokenizer.

    Raises
    ------
    CheckpointError
        When the key does not hold what it should.
    """
    values = {} if text is None else read_json(text.encode("utf-8", "replace"), path)
    extra: dict[str, Any] = {"added": default_added(tokens, types)}
    for name in ("split_words", "strip_first", "compose"):
        if name in values and name in names:
            extra[name] = expect(values[name], bool, path, f"{EXTRA_KEY}.{name}")
    if "spaces" in values and "spaces" in names:
        extra["spaces"] = expect(values["spaces"], str, path, f"{EXTRA_KEY}.spaces")
        if extra["spaces"] not in SPACES:
            raise CheckpointError(path, f"{EXTRA_KEY}.spaces", f"expected one of {SPACES}, found {extra['spaces']!r}")
    if "added" in values:
        extra["added"] = []
        for n, value in enumerate(expect(values["added"], list, path, f"{EXTRA_KEY}.added")):
            field = f"{EXTRA_KEY}.added[{n}]"
            token = added_token(expect(value, dict, path, field), path, field)
            id_ = expect(value.get("id"), int, path, f"{field}.id")
            if not 0 <= id_ < len(tokens) or tokens[id_] != token.text:
                raise CheckpointError(path, field, f"{token.text!r} is not the token with id {id_}")
            inside = expect(value.get("in_vocabulary", True), bool, path, f"{field}.in_vocabulary")
            extra["added"].append(token._replace(id=id_, in_vocabulary=inside))
    return extra
