"""`tokenizer.json`, the file of Hugging Face's `tokenizers` library: reading.

The file is a program: normaliser, pre-tokeniser, model, post-processor and decoder, each one of many
kinds. Two such programs are understood, those of the models this package runs; every other one is
refused, because a step left out would give other tokens without any sign of it.

    byte-level    pre-tokeniser ByteLevel, or digits set apart and then ByteLevel   (GPT-2, SmolLM2)
    SentencePiece normaliser that puts "▁" in front and for spaces, byte fallback   (Llama 2, TinyLlama)

`tokenizer_config.json` beside it says which tokens begin and end a text, and holds the chat template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.base import Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import SPACE, Piece, SentencePieceBPE, is_byte_piece
from .configuration import begin_and_end
from .validation import blame, expect, read_json

PathOrName = str | PathLike[str]
# Where no tokenizer_config.json says what begins and ends a text.
USUAL_BOS = ("<s>", "<|begin_of_text|>")
USUAL_EOS = ("</s>", "<|endoftext|>", "<|end_of_text|>")


def parse_tokenizer_json(
    data: bytes, path: PathOrName = "tokenizer.json", config: Mapping[str, Any] | None = None
) -> Tokenizer:
    """The tokenizer in the bytes of a `tokenizer.json`.

    Parameters
    ----------
    data : bytes
    path : path-like
        For error messages.
    config : mapping, optional
        The content of `tokenizer_config.json`.

    Raises
    ------
    CheckpointError
        When the file is damaged or describes a tokenizer of another kind.
    """
    root = read_json(data, path)
    model = expect(root.get("model"), dict, path, "model")
    if model.get("type", "BPE") != "BPE":
        raise CheckpointError(path, "model.type", f"expected 'BPE', found {model['type']!r}")
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model.get(option):
            raise CheckpointError(path, f"model.{option}", f"{model[option]!r} is not supported")
    pieces, types = _vocabulary(root, model, path)
    prefix = _post_processor_prefix(root.get("post_processor"))
    usual = [next((text for text in texts if text in pieces), None) for texts in (USUAL_BOS, USUAL_EOS)]
    settings = begin_and_end(
        config or {}, pieces, path, bos=prefix or usual[0], eos=usual[1], add_bos=prefix is not None
    )
    build: Callable[..., Tokenizer] = _sentencepiece if model.get("byte_fallback") else _byte_level
    tokenizer = build(root, pieces, types, _merges(model, path), settings, path)
    tokenizer.source = ("tokenizer.json", data)
    return tokenizer


# --- the vocabulary ------------------------------------------------------------------------


def _vocabulary(root: dict[str, Any], model: dict[str, Any], path: PathOrName) -> tuple[list[str], list[int]]:
    """The pieces in the order of their ids, and what kind each is."""
    vocab = expect(model.get("vocab"), dict, path, "model.vocab")
    added = expect(root.get("added_tokens") or [], list, path, "added_tokens")
    byte_fallback, unknown = bool(model.get("byte_fallback")), model.get("unk_token")
    by_id: dict[int, str] = {}
    kinds: dict[int, int] = {}
    for text, id_ in vocab.items():
        if expect(id_, int, path, f"model.vocab[{text!r}]") in by_id:
            raise CheckpointError(path, f"model.vocab[{text!r}]", f"id {id_} is already {by_id[id_]!r}")
        by_id[id_] = text
        if byte_fallback and is_byte_piece(text):
            kinds[id_] = TokenType.BYTE
    for n, token in enumerate(added):
        text, id_, special = _added_token(token, n, path)
        if by_id.setdefault(id_, text) != text:
            raise CheckpointError(path, f"added_tokens[{n}]", f"id {id_} is {by_id[id_]!r} in the vocabulary")
        kinds[id_] = TokenType.CONTROL if special else TokenType.USER_DEFINED
    if byte_fallback and isinstance(unknown, str) and unknown in vocab:
        kinds[vocab[unknown]] = TokenType.UNKNOWN
    if sorted(by_id) != list(range(len(by_id))):
        raise CheckpointError(path, "model.vocab", f"expected the ids 0 to {len(by_id) - 1}, each once")
    ids = range(len(by_id))
    return [by_id[id_] for id_ in ids], [kinds.get(id_, TokenType.NORMAL) for id_ in ids]


def _added_token(token: Any, n: int, path: PathOrName) -> tuple[str, int, bool]:
    field = f"added_tokens[{n}]"
    token = expect(token, dict, path, field)
    text = expect(token.get("content"), str, path, f"{field}.content")
    if not text:
        raise CheckpointError(path, f"{field}.content", "is empty")
    for option in ("lstrip", "rstrip", "single_word"):
        if token.get(option):
            raise CheckpointError(path, f"{field}.{option}", f"of {text!r} is not supported")
    return text, expect(token.get("id"), int, path, f"{field}.id"), bool(token.get("special"))


def _merges(model: dict[str, Any], path: PathOrName) -> list[tuple[str, str]]:
    """The rules, written as "left right" or as ["left", "right"]."""
    merges = []
    for n, rule in enumerate(expect(model.get("merges"), list, path, "model.merges")):
        pair = rule.split(" ") if isinstance(rule, str) else rule
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) and part for part in pair):
            raise CheckpointError(path, f"model.merges[{n}]", f"expected two pieces, found {rule!r}")
        merges.append((pair[0], pair[1]))
    return merges


# --- the two kinds -------------------------------------------------------------------------


def _byte_level(
    root: dict[str, Any],
    pieces: list[str],
    types: list[int],
    merges: list[tuple[str, str]],
    settings: dict[str, Any],
    path: PathOrName,
) -> ByteLevelBPE:
    if root.get("normalizer") is not None:
        raise CheckpointError(path, "normalizer", f"expected none, found {_short(root['normalizer'])}")
    steps = _steps(root.get("pre_tokenizer"), "pretokenizers")
    split_digits = len(steps) == 2 and steps[0].get("type") == "Digits" and steps[0].get("individual_digits") is True
    last = steps[-1] if split_digits or len(steps) == 1 else {}
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space", True) or not last.get("use_regex", True):
        raise CheckpointError(
            path,
            "pre_tokenizer",
            "expected ByteLevel (add_prefix_space false, use_regex true), alone or after Digits "
            f"(individual_digits true), found {_short(root.get('pre_tokenizer'))}",
        )
    model, unk_id = root["model"], None
    if model.get("unk_token") is not None:
        if model["unk_token"] not in pieces:
            raise CheckpointError(path, "model.unk_token", f"{model['unk_token']!r} is not in the vocabulary")
        unk_id = pieces.index(model["unk_token"])
    fuse = bool(model.get("fuse_unk"))
    with blame(path, "model"):
        return ByteLevelBPE(
            pieces, types, merges, split_digits=split_digits, unk_id=unk_id, fuse_unknown=fuse, **settings
        )


def _sentencepiece(
    root: dict[str, Any],
    pieces: list[str],
    types: list[int],
    merges: list[tuple[str, str]],
    settings: dict[str, Any],
    path: PathOrName,
) -> SentencePieceBPE:
    if root.get("pre_tokenizer") is not None:
        found = _short(root["pre_tokenizer"])
        raise CheckpointError(
            path, "pre_tokenizer", f"expected none, found {found}; read the model's tokenizer.model if it has one"
        )
    steps = _steps(root.get("normalizer"), "normalizers")
    prefix = bool(steps) and steps[0] == {"type": "Prepend", "prepend": SPACE}
    if steps[prefix:] != [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]:
        raise CheckpointError(
            path,
            "normalizer",
            f"expected Prepend {SPACE!r} (or not) and Replace ' ' by {SPACE!r}, found {_short(root.get('normalizer'))}",
        )
    if types.count(TokenType.BYTE) != 256:
        raise CheckpointError(path, "model.vocab", f"expected all 256 byte tokens, found {types.count(TokenType.BYTE)}")
    entries = [Piece(text, 0.0, kind) for text, kind in zip(pieces, types)]
    with blame(path, "model"):
        return SentencePieceBPE(entries, merges=merges, add_dummy_prefix=prefix, **settings)


def _steps(stage: Any, key: str) -> list[dict[str, Any]]:
    """The parts of a stage, whether it is one or a Sequence of them."""
    if not isinstance(stage, dict):
        return []
    parts = stage.get(key) if stage.get("type") == "Sequence" else [stage]
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + " …"


def _post_processor_prefix(stage: Any) -> str | None:
    """The special token that the post-processor puts before a text."""
    for part in _steps(stage, "processors"):
        template = part.get("single")
        if part.get("type") == "TemplateProcessing" and isinstance(template, list) and template:
            token = template[0].get("SpecialToken") if isinstance(template[0], dict) else None
            if isinstance(token, dict) and isinstance(token.get("id"), str):
                return token["id"]
    return None
