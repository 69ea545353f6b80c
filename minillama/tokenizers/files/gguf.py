"""The tokenizer in the metadata of a GGUF file (docs/gguf.md of ggml, keys `tokenizer.*`).

`tokenizer.ggml.model` names the kind: "llama" is SentencePiece with scores, "gpt2" byte-level BPE with
merge rules. For the latter `tokenizer.ggml.pre` names how words are cut: that is a name only, the
pattern itself is in the program. A name that is not known here is an error, because any guess would give
plausible but wrong tokens. Where there is none, llama.cpp has a pattern for the case, which is taken with a warning.

What these keys cannot say about a tokenizer from elsewhere (flags of added tokens, where Hugging Face puts "▁",
merge rules beside scores, NFC) is kept in a key of our own, which other programs pass over.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from os import PathLike
from typing import Any, cast

import numpy as np

from ...files.errors import CheckpointError
from ..bpe.base import TOKEN_TYPES, TURN_ENDS, Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import Piece, SentencePieceBPE
from ..bpe.word_patterns import WORD_PATTERNS
from .gguf_extra import EXTRA_KEY, extra_settings, read_extra
from .validation import MAX_MERGES, MAX_PIECES, blame

PathOrName = str | PathLike[str]
# tokenizer.ggml.pre: the word pattern. llama.cpp knows these names (src/llama-vocab.cpp); of those that share a
# pattern, the ones with further peculiarities are left out.
PRE = {
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2"), "llama-bpe"),
    **dict.fromkeys(("smaug-bpe", "dbrx"), "llama-bpe"),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open"), "qwen2"),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), "smollm"),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "modern-bert"), "gpt-2"),
    "default": "default",
}
# Tokens that end an answer by their text, whatever type a file gives them: older converters wrote them as plain
# vocabulary, and llama.cpp corrects it (src/llama-vocab.cpp, "control-looking token").
ENDS = TURN_ENDS | {"</s>", "<eos>", "[EOS]", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]", "<end_of_utterance>"}
ENDS |= {"<｜end▁of▁sentence｜>", "<|return|>", "<|call|>", "<|calls|>", "<|flush|>", "<|tool_response>", "[e~["}
IGNORE_MERGES = ("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2")  # and begin with BOS


class _Metadata:
    """Typed access to the keys, with errors that name them."""

    def __init__(self, values: Mapping[str, Any], path: PathOrName) -> None:
        self.values, self.path = values, path

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise CheckpointError(self.path, key, f"expected a text, found {type(value).__name__}")
        return value

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool | np.bool_):
            raise CheckpointError(self.path, key, f"expected true or false, found {type(value).__name__}")
        return default if value is None else bool(value)

    def id(self, key: str, n_tokens: int) -> int | None:
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise CheckpointError(self.path, key, f"expected a token id, found {type(value).__name__}")
        if value in (-1, 0xFFFFFFFF):  # how writers say "none"
            return None
        if not 0 <= value < n_tokens:
            raise CheckpointError(self.path, key, f"id {value} is not one of the {n_tokens} tokens")
        return int(value)

    def texts(self, key: str, most: int = MAX_PIECES) -> list[str]:
        value = self.values.get(key)
        if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
            raise CheckpointError(self.path, key, "expected a list of texts")
        if len(value) > most:
            raise CheckpointError(self.path, key, f"expected at most {most} texts, found {len(value)}")
        return list(value)

    def numbers(self, key: str, n_tokens: int, kinds: str) -> list[Any] | None:
        """One number for each token, of the NumPy kinds given; None when the key is absent."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, np.ndarray) and not (
            isinstance(value, list | tuple) and all(isinstance(number, int | float) for number in value)
        ):
            raise CheckpointError(self.path, key, "expected a list of numbers")
        array = np.asarray(value)
        if array.ndim != 1 or array.dtype.kind not in kinds or len(array) != n_tokens:
            found = f"{array.dtype} of shape {array.shape}"
            raise CheckpointError(self.path, key, f"expected {n_tokens} numbers, one for each token, found {found}")
        return array.tolist()


def tokenizer_from_gguf(metadata: Mapping[str, Any], path: PathOrName = "GGUF") -> Tokenizer:
    """The tokenizer that a GGUF file describes.

    Parameters
    ----------
    metadata : mapping
        The key-value pairs of the file; lists of texts as lists, lists of numbers as arrays or lists.
    path : path-like
        For error messages.

    Raises
    ------
    CheckpointError
        When a key is missing, of the wrong kind or contradicts another, or when the kind of tokenizer
        is not supported.
    """
    data = _Metadata(metadata, path)
    model = data.text("tokenizer.ggml.model")
    if model not in ("llama", "gpt2"):
        found = "no tokenizer" if model is None else repr(model)
        raise CheckpointError(path, "tokenizer.ggml.model", f"expected 'llama' or 'gpt2', found {found}")
    tokens = data.texts("tokenizer.ggml.tokens")
    types = data.numbers("tokenizer.ggml.token_type", len(tokens), "iu") or [TokenType.NORMAL] * len(tokens)
    for id_, kind in enumerate(types):
        if kind not in TOKEN_TYPES:
            raise CheckpointError(path, "tokenizer.ggml.token_type", f"token {id_} has the unknown type {kind}")
    stops = [data.id(f"tokenizer.ggml.{name}_token_id", len(tokens)) for name in ("eot", "eom")]
    stops += [id_ for id_, text in enumerate(tokens) if text in ENDS]
    settings: dict[str, Any] = {
        "bos_id": data.id("tokenizer.ggml.bos_token_id", len(tokens)),
        "eos_id": data.id("tokenizer.ggml.eos_token_id", len(tokens)),
        "chat_template": data.text("tokenizer.chat_template"),
        "stop_ids": [id_ for id_ in stops if id_ is not None],
    }
    if model == "llama":
        return _sentencepiece(data, tokens, types, settings)
    return _byte_level(data, tokens, types, settings)


def _sentencepiece(data: _Metadata, tokens: list[str], types: list[int], settings: dict[str, Any]) -> SentencePieceBPE:
    scores = data.numbers("tokenizer.ggml.scores", len(tokens), "fiu")
    if scores is None:
        raise CheckpointError(data.path, "tokenizer.ggml.scores", "is missing")
    if not all(map(math.isfinite, scores)):
        raise CheckpointError(data.path, "tokenizer.ggml.scores", "expected finite numbers")
    settings["add_bos"] = data.flag("tokenizer.ggml.add_bos_token", True) and settings["bos_id"] is not None
    names = ("spaces", "split_words", "strip_first")
    extra = read_extra(data.text(EXTRA_KEY), tokens, types, data.path, names)
    if "spaces" in extra and "tokenizer.ggml.merges" in data.values:
        extra["merges"] = _merges(data)
    with blame(data.path, "tokenizer.ggml.tokens"):
        return SentencePieceBPE(
            [Piece(*entry) for entry in zip(tokens, scores, types)],
            add_dummy_prefix=data.flag("tokenizer.ggml.add_space_prefix", True),
            remove_extra_whitespaces=data.flag("tokenizer.ggml.remove_extra_whitespaces", False),
            **settings,
            **extra,
        )


def _merges(data: _Metadata) -> list[tuple[str, str]]:
    rules = data.texts("tokenizer.ggml.merges", MAX_MERGES)
    merges = [tuple(rule.split(" ")) for rule in rules]
    for n, pair in enumerate(merges):
        if len(pair) != 2 or not pair[0] or not pair[1]:
            raise CheckpointError(data.path, f"tokenizer.ggml.merges[{n}]", f"expected two pieces, found {rules[n]!r}")
    return cast(list[tuple[str, str]], merges)


def _word_pattern(data: _Metadata) -> str:
    """The name of the word pattern; llama.cpp's default one, with a warning, where the file names none."""
    pre = data.text("tokenizer.ggml.pre")
    if pre is not None and pre not in PRE:
        known = ", ".join(map(repr, WORD_PATTERNS))
        raise CheckpointError(
            data.path, "tokenizer.ggml.pre", f"expected one of {known} (or a name for the same), found {pre!r}"
        )
    if pre in (None, "default"):
        warnings.warn(
            f"{data.path}: tokenizer.ggml.pre {'is missing' if pre is None else repr(pre)}, so words are cut as "
            "llama.cpp does by default, which may not be how the model was trained; convert it again from its source",
            stacklevel=4,
        )
    return PRE[pre or "default"]


def _byte_level(data: _Metadata, tokens: list[str], types: list[int], settings: dict[str, Any]) -> ByteLevelBPE:
    pattern = _word_pattern(data)
    if data.flag("tokenizer.ggml.add_space_prefix", False):
        raise CheckpointError(data.path, "tokenizer.ggml.add_space_prefix", "is not supported for 'gpt2'")
    ignore_merges = data.text("tokenizer.ggml.pre") in IGNORE_MERGES
    settings["add_bos"] = data.flag("tokenizer.ggml.add_bos_token", ignore_merges) and settings["bos_id"] is not None
    extra = read_extra(data.text(EXTRA_KEY), tokens, types, data.path, ("compose",))
    with blame(data.path, "tokenizer.ggml.merges"):
        # The unknown token of these files is a name for padding and the like: llama.cpp leaves bytes that
        # the vocabulary lacks out, and so do the models' own tokenizer.json files.
        return ByteLevelBPE(
            tokens, types, _merges(data), word_pattern=pattern, ignore_merges=ignore_merges, **settings, **extra
        )


def gguf_metadata(tokenizer: Tokenizer) -> dict[str, Any]:
    """The `tokenizer.*` keys from which llama.cpp, and `tokenizer_from_gguf`, make the same tokenizer.

    Lists of numbers are arrays of the type that the format asks for. Merge rules of a SentencePiece
    vocabulary become scores, which say the same except where two rules make the same piece; `tokenizer_from_gguf`
    reads the rules, which stand beside them.

    Raises
    ------
    ValueError
        When the format has no name for what the tokenizer does.
    """
    metadata: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": list(tokenizer.pieces),
        "tokenizer.ggml.token_type": np.array(tokenizer.types, np.int32),
        "tokenizer.ggml.add_bos_token": tokenizer.add_bos,
        "tokenizer.ggml.add_eos_token": False,
    }
    extra = extra_settings(tokenizer)
    if isinstance(tokenizer, SentencePieceBPE):
        metadata["tokenizer.ggml.model"] = "llama"
        metadata["tokenizer.ggml.scores"] = np.array(_scores(tokenizer), np.float32)
        metadata["tokenizer.ggml.add_space_prefix"] = tokenizer.add_dummy_prefix
        metadata["tokenizer.ggml.remove_extra_whitespaces"] = tokenizer.remove_extra_whitespaces
        if tokenizer.merges is not None:
            metadata["tokenizer.ggml.merges"] = [" ".join(pair) for pair in tokenizer.merges]
    elif isinstance(tokenizer, ByteLevelBPE):
        metadata["tokenizer.ggml.pre"] = _pre_name(tokenizer)
        metadata["tokenizer.ggml.merges"] = [" ".join(pair) for pair in tokenizer.merges or ()]
        metadata["tokenizer.ggml.add_space_prefix"] = False
    else:
        raise TypeError(f"expected SentencePieceBPE or ByteLevelBPE, got {type(tokenizer).__name__}")
    if extra is not None:
        metadata[EXTRA_KEY] = extra
    ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id, "unknown": tokenizer.unk_id}
    unnamed = [id_ for id_ in tokenizer.stop_ids if id_ != tokenizer.eos_id and tokenizer.pieces[id_] not in ENDS]
    ids |= dict(zip(("eot", "eom"), sorted(unnamed)))  # ends of turn that their text does not give away
    metadata |= {f"tokenizer.ggml.{name}_token_id": id_ for name, id_ in ids.items() if id_ is not None}
    if tokenizer.chat_template is not None:
        metadata["tokenizer.chat_template"] = tokenizer.chat_template
    return metadata


def _pre_name(tokenizer: ByteLevelBPE) -> str:
    """The name under which llama.cpp knows the word pattern."""
    if tokenizer.word_pattern == "llama-bpe":
        return "llama-bpe" if tokenizer.ignore_merges else "smaug-bpe"
    if tokenizer.ignore_merges:
        raise ValueError(f"GGUF has no name for the word pattern of {tokenizer.word_pattern} with ignore_merges")
    return tokenizer.word_pattern


def _scores(tokenizer: SentencePieceBPE) -> list[float]:
    """The scores, or such as put the pieces in the order in which the merge rules make them."""
    if tokenizer.merges is None or any(tokenizer.scores):
        return tokenizer.scores
    first_rule: dict[str, int] = {}
    for rank, (left, right) in enumerate(tokenizer.merges):
        first_rule.setdefault(left + right, rank)
    never = len(tokenizer.merges)
    return [-float(first_rule.get(text, never)) for text in tokenizer.pieces]
