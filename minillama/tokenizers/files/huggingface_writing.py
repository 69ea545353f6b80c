"""`tokenizer.json`, the file of Hugging Face's `tokenizers` library: writing."""

from __future__ import annotations

import json
from typing import Any

from ..bpe.base import Tokenizer, TokenType
from ..bpe.byte_level import ByteLevelBPE
from ..bpe.sentencepiece import SPACE, SentencePieceBPE


def serialize_tokenizer_json(tokenizer: Tokenizer) -> bytes:
    """A `tokenizer.json` from which `tokenizers` makes the same ids.

    Raises
    ------
    ValueError
        For a SentencePiece tokenizer with scores, which belongs in a `tokenizer.model`, and for a
        vocabulary in which two tokens are spelled alike, which the format cannot express.
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
    unknown = None if tokenizer.unk_id is None else tokenizer.pieces[tokenizer.unk_id]
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": fuse,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": vocab,
        "merges": [list(pair) for pair in tokenizer.merges or ()],
    }
    added = _added_tokens(tokenizer)
    root = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, **stages, "model": model}
    return json.dumps(root, ensure_ascii=False, indent=1).encode()


def _byte_level_stages(tokenizer: ByteLevelBPE) -> dict[str, Any]:
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    splitter: Any = {"type": "Sequence", "pretokenizers": [digits, byte_level]}
    return {
        "normalizer": None,
        "pre_tokenizer": splitter if tokenizer.split_digits else byte_level,
        "post_processor": _post_processor(tokenizer),
        "decoder": byte_level,
    }


def _sentencepiece_stages(tokenizer: SentencePieceBPE) -> dict[str, Any]:
    spaces: list[Any] = [{"type": "Replace", "pattern": {"String": " "}, "content": SPACE}]
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    decoders: list[Any] = [back, {"type": "ByteFallback"}, {"type": "Fuse"}]
    if tokenizer.add_dummy_prefix:
        spaces.insert(0, {"type": "Prepend", "prepend": SPACE})
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": {"type": "Sequence", "normalizers": spaces},
        "pre_tokenizer": None,
        "post_processor": _post_processor(tokenizer),
        "decoder": {"type": "Sequence", "decoders": decoders},
    }


def _added_tokens(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    kinds = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": id_, "content": text, **flags, "special": kind != TokenType.USER_DEFINED or tokenizer.is_special(id_)}
        for id_, (text, kind) in enumerate(zip(tokenizer.pieces, tokenizer.types))
        if kind in kinds
    ]


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
