"""The steps of a `tokenizer.json` around its vocabulary: normaliser, pre-tokeniser, decoder, post-processor.

Each may be one of many kinds. Understood are those of the models this package runs:

    byte-level    normaliser none or NFC; pre-tokeniser ByteLevel, alone (GPT-2), after Digits (SmolLM2), or after
                  Split with the pattern of LLaMA 3 or Qwen2
    SentencePiece a normaliser that puts "▁" in front and for spaces (before transformers 5), or the pre-tokeniser
                  Metaspace, which does the same in another way (since then)

Every other kind is refused, because a step left out would give other tokens without any sign of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import takewhile
from os import PathLike
from typing import Any, NamedTuple

from ...files.errors import CheckpointError
from ..bpe.sentencepiece import METASPACE, SPACE

PathOrName = str | PathLike[str]
_ENDINGS, _REST = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|", r"\s*[\r\n]+|\s+(?!\S)|\s+"
# The patterns of Split by the names they have here (`bpe/word_patterns.py`).
SPLIT_PATTERNS = {
    "llama-bpe": _ENDINGS + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST,
    "qwen2": _ENDINGS + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|" + _REST,
}
_NAMES = {pattern: name for name, pattern in SPLIT_PATTERNS.items()}


class ByteLevelStages(NamedTuple):
    """How a byte-level tokenizer cuts words, and whether it composes characters first."""

    word_pattern: str
    compose: bool


class SpaceStages(NamedTuple):
    """How a SentencePiece vocabulary's file writes spaces; the arguments of `SentencePieceBPE`."""

    spaces: str
    add_dummy_prefix: bool
    split_words: bool
    strip_first: bool | None


def read_byte_level(root: Mapping[str, Any], path: PathOrName) -> ByteLevelStages:
    """The steps of a byte-level tokenizer.

    Raises
    ------
    CheckpointError
        When there is another one among them.
    """
    normalizer = steps(root.get("normalizer"), "normalizers")
    if root.get("normalizer") is not None and normalizer != [{"type": "NFC"}]:
        raise CheckpointError(path, "normalizer", f"expected none or NFC, found {short(root['normalizer'])}")
    kinds = [step.get("type") for step in steps(root.get("decoder"), "decoders")]
    if kinds not in ([], ["ByteLevel"]):
        raise CheckpointError(path, "decoder", f"expected ByteLevel, found {short(root['decoder'])}")
    *before, last = steps(root.get("pre_tokenizer"), "pretokenizers") or [{}]
    name = None
    if last.get("type") == "ByteLevel" and last.get("add_prefix_space", True) is False:
        use_regex = last.get("use_regex", True)
        name = _word_pattern(before, use_regex) if isinstance(use_regex, bool) else None
    if name is None:
        raise CheckpointError(
            path,
            "pre_tokenizer",
            "expected ByteLevel (add_prefix_space false), alone, after Digits (individual_digits true) or after "
            f"Split with the pattern of LLaMA 3 or Qwen2, found {short(root.get('pre_tokenizer'))}",
        )
    return ByteLevelStages(name, bool(normalizer))


def _word_pattern(before: list[dict[str, Any]], use_regex: bool) -> str | None:
    """The name of the word pattern that the steps before ByteLevel make with its own; None for another one."""
    if not before:
        return "gpt-2" if use_regex else None
    if len(before) > 1:
        return None
    step = before[0]
    if step.get("type") == "Digits":
        return "smollm" if use_regex and step.get("individual_digits") is True else None
    pattern = step.get("pattern")
    text = pattern.get("Regex") if isinstance(pattern, dict) else None
    # The patterns match everything, so keeping only the matches is the same as setting them apart.
    behaviours = (("Isolated", False), ("Removed", True))
    if step.get("type") != "Split" or use_regex or not isinstance(text, str):
        return None
    return _NAMES.get(text) if (step.get("behavior"), step.get("invert")) in behaviours else None


def read_spaces(root: Mapping[str, Any], path: PathOrName) -> SpaceStages:
    """The steps of a SentencePiece vocabulary's tokenizer.

    Raises
    ------
    CheckpointError
        When there is another one among them.
    """
    strip_first = _strips(root, path)
    if root.get("pre_tokenizer") is not None:
        scheme = _metaspace(root["pre_tokenizer"])
        if scheme is None:
            raise CheckpointError(
                path,
                "pre_tokenizer",
                f"expected none or Metaspace (replacement {SPACE!r}), found {short(root['pre_tokenizer'])}; "
                "read the model's tokenizer.model if it has one",
            )
        if root.get("normalizer") is not None:
            found = short(root["normalizer"])
            raise CheckpointError(path, "normalizer", f"expected none before Metaspace, found {found}")
        return SpaceStages(scheme, True, root["pre_tokenizer"].get("split", True), strip_first)
    normalizer = steps(root.get("normalizer"), "normalizers")
    prefix = bool(normalizer) and normalizer[0] == {"type": "Prepend", "prepend": SPACE}
    if normalizer[prefix:] != [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]:
        raise CheckpointError(
            path,
            "normalizer",
            f"expected Prepend {SPACE!r} (or not) and Replace ' ' by {SPACE!r}, found {short(root.get('normalizer'))}",
        )
    return SpaceStages("normalizer", prefix, False, strip_first)


def _metaspace(stage: Any) -> str | None:
    """Where the pre-tokeniser Metaspace puts "▁" of its own; None when it is something else."""
    if not isinstance(stage, dict) or stage.get("type") != "Metaspace" or stage.get("replacement") != SPACE:
        return None
    scheme = stage.get("prepend_scheme")
    if scheme is None:  # as older files have it
        scheme = "never" if stage.get("add_prefix_space") is False else "always"
    if stage.get("add_prefix_space") is False and scheme != "never":
        return None
    return scheme if scheme in METASPACE and isinstance(stage.get("split", True), bool) else None


def _strips(root: Mapping[str, Any], path: PathOrName) -> bool | None:
    """Whether the decoder takes a space off the beginning; None when there is no decoder."""
    if root.get("decoder") is None:
        return None
    found = steps(root["decoder"], "decoders")
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    if found[:3] != [back, {"type": "ByteFallback"}, {"type": "Fuse"}] or found[3:] not in ([], [strip]):
        raise CheckpointError(
            path,
            "decoder",
            f"expected Replace {SPACE!r} by ' ', ByteFallback, Fuse and Strip (or not), found {short(root['decoder'])}",
        )
    return found[3:] == [strip]


def post_processor_prefix(stage: Any, path: PathOrName) -> str | None:
    """The special token that the post-processor puts before a text; what it puts after one is left out.

    Raises
    ------
    CheckpointError
        When it is of another kind, or puts more than one token there.
    """
    prefix: list[str] = []
    for part in steps(stage, "processors"):
        template = part.get("single")
        if part.get("type") == "TemplateProcessing" and isinstance(template, list):
            prefix += takewhile(bool, map(_special_text, template))
        elif part.get("type") != "ByteLevel":
            prefix += ["", ""]
    if len(prefix) > 1:
        raise CheckpointError(
            path,
            "post_processor",
            f"expected none, ByteLevel, or TemplateProcessing with one token before a text, found {short(stage)}",
        )
    return prefix[0] if prefix else None


def _special_text(piece: Any) -> str:
    """The special token that is a part of a template; empty for the text itself."""
    token = piece.get("SpecialToken") if isinstance(piece, dict) else None
    text = token.get("id") if isinstance(token, dict) else None
    return text if isinstance(text, str) else ""


def has_byte_level(root: Mapping[str, Any]) -> bool:
    """Whether a byte-level step is anywhere in the file."""
    keys = {"pre_tokenizer": "pretokenizers", "decoder": "decoders", "post_processor": "processors"}
    stages = [step for stage, key in keys.items() for step in steps(root.get(stage), key)]
    return any(step.get("type") == "ByteLevel" for step in stages)


def steps(stage: Any, key: str) -> list[dict[str, Any]]:
    """The parts of a stage, whether it is one or a Sequence of them."""
    if not isinstance(stage, dict):
        return []
    parts = stage.get(key) if stage.get("type") == "Sequence" else [stage]
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def short(value: Any) -> str:
    """A value for an error message."""
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + " …"
