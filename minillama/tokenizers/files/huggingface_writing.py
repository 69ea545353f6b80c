"""`tokenizer.json`, the file of Hugging Face's `tokenizers` library: writing."""

from __future__ import annotations

import json
from typing import Any

from ..bpe.added_tokens import AddedToken
from ..bpe.base import Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import METASPACE, SPACE, SentencePieceBPE
from .huggingface_stages import SPLIT_PATTERNS
from .vocabulary import as_object


def serialize_tokenizer_json(tokenizer: Tokenizer) -> bytes:
    """A `tokenizer.json` from which `tokenizers` makes the same ids.

    Raises
    ------
    ValueError
        For a SentencePiece tokenizer with scores, which belongs in a `tokenizer.model`, and for what the format
        cannot express: two tokens spelled alike, words cut by llama.cpp's default pattern.
    """
    if isinstance(tokenizer, ByteLevelBPE):
        stages, fuse, byte_fallback = _byte_level_stages(tokenizer), tokenizer.fuse_unknown, False
    elif isinstance(tokenizer, SentencePieceBPE) and tokenizer.merges is not None:
        stages, fuse, byte_fallback = _sentencepiece_stages(tokenizer), True, True
    else:
        raise ValueError("expected a tokenizer made of merge rules; one with scores belongs in a tokenizer.model")
    vocab = {text: id_ for id_, text in enumerate(tokenizer.pieces)}
    if len(vocab) != tokenizer.vocab_size:
        twice = next(text for id_, text in enumerate(tokenizer.pieces) if vocab[text] != id_)
        raise ValueError(f"two tokens are spelled {twice!r}: a tokenizer.json cannot hold both")
    for token in tokenizer.added:
        if not token.in_vocabulary:
            del vocab[token.text]
    if len(vocab) < tokenizer.vocab_size and max(vocab.values(), default=-1) != len(vocab) - 1:
        raise ValueError("added tokens outside the vocabulary must have the last ids: a tokenizer.json counts them so")
    unknown = None if tokenizer.unk_id is None else tokenizer.pieces[tokenizer.unk_id]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": fuse,
        "byte_fallback": byte_fallback,
        "ignore_merges": isinstance(tokenizer, ByteLevelBPE) and tokenizer.ignore_merges,
        "vocab": vocab,
        "merges": [list(pair) for pair in tokenizer.merges or ()],
    }
    added = _added_tokens(tokenizer)
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, **stages, "model": model}
    return json.dumps(root, ensure_ascii=False, indent=1).encode()


def _byte_level_stages(tokenizer: ByteLevelBPE) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    before: list[dict[str, Any]] = []
    pattern = tokenizer.word_pattern
    if pattern in SPLIT_PATTERNS:
        how = {"behavior": "Isolated", "invert": False}
        before = [{"type": "Split", "pattern": {"Regex": SPLIT_PATTERNS[pattern]}, **how}]
    elif pattern == "smollm":
        before = [{"type": "Digits", "individual_digits": True}]
    elif pattern != "gpt-2":
        raise ValueError(f"a tokenizer.json for the word pattern {pattern!r}, llama.cpp's own, cannot be written")
    last = {**byte_level, "use_regex": pattern not in SPLIT_PATTERNS}
    return {
        "normalizer": {"type": "NFC"} if tokenizer.compose else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*before, last]} if before else last,
        "post_processor": _post_processor(tokenizer),
        "decoder": byte_level,
    }


def _sentencepiece_stages(tokenizer: SentencePieceBPE) -> dict[str, Any]:
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    decoders: list[Any] = [back, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if tokenizer.strip_first:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    normalizer: dict[str, Any] | None = None
    pre_tokenizer: dict[str, Any] | None = None
    if tokenizer.spaces in METASPACE:
        scheme = {"replacement": SPACE, "prepend_scheme": tokenizer.spaces, "split": tokenizer.split_words}
        pre_tokenizer = {"type": "Metaspace", **scheme}
    else:
        spaces: list[Any] = [{"type": "Prepend", "prepend": SPACE}] if tokenizer.add_dummy_prefix else []
        spaces.append({"type": "Replace", "pattern": {"String": " "}, "content": SPACE})
        normalizer = {"type": "Sequence", "normalizers": spaces}
    return {
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": _post_processor(tokenizer),
        "decoder": {"type": "Sequence", "decoders": decoders},
    }


def _added_tokens(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The added tokens, and what is control or unknown by its kind alone, with their flags."""
    added = {token.id: token for token in tokenizer.added}
    for id_, kind in enumerate(tokenizer.types):
        if kind == TokenType.UNKNOWN or tokenizer.is_special(id_):
            token = added.get(id_, AddedToken(id_, tokenizer.pieces[id_]))
            added[id_] = token._replace(special=True)
    return [{"id": id_, **as_object(token)} for id_, token in sorted(added.items())]


def _post_processor(tokenizer: Tokenizer) -> dict[str, Any] | None:
    """What puts the begin token before a text; None when the model does not want it."""
    if not tokenizer.add_bos or tokenizer.bos_id is None:
        return None
    bos = tokenizer.pieces[tokenizer.bos_id]
    token = {"SpecialToken": {"id": bos, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": n}} for n, name in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [token, first],
        "pair": [token, first, {"SpecialToken": {"id": bos, "type_id": 1}}, second],
        "special_tokens": {bos: {"id": bos, "ids": [tokenizer.bos_id], "tokens": [bos]}},
    }
