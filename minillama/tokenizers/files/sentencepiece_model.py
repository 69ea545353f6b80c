"""`tokenizer.model`: SentencePiece's own file, a protocol buffer.

The format (sentencepiece_model.proto) is a list of fields, each a number, a wire type and a value; a
message inside a message is a field of bytes. What matters to a tokenizer:

    1 piece, repeated     1 text   2 score (float32)   3 type (1 = NORMAL when absent)
    2 trainer_spec        3 model_type (2 = BPE)   24 treat_whitespace_as_suffix   35 byte_fallback
                          44 unk_surface   45 to 47 text of unk, bos, eos
    3 normalizer_spec     2 precompiled_charsmap   3 add_dummy_prefix   4 remove_extra_whitespaces
                          5 escape_whitespaces

A piece's position in the list is its id.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from os import PathLike
from typing import Any

from ...files.errors import CheckpointError
from ..bpe.added_tokens import AddedToken
from ..bpe.base import TOKEN_TYPES, TokenType
from ..bpe.sentencepiece import Piece, SentencePieceBPE
from .beside import CODE_LLAMA, DEFAULTS, LLAMA, SPACES_KEY, metaspace_of, rebuilt_class
from .configuration import begin_and_end, kept_settings
from .validation import MAX_PIECES, blame
from .vocabulary import Vocabulary, add_configured

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
BPE = 2  # trainer_spec.model_type
MODEL_TYPES = {1: "unigram", 2: "BPE", 3: "word", 4: "char"}


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of one message: (number, value); fixed-size values come as their bytes.

    Raises
    ------
    ValueError
        When the message ends inside a field or has a wire type that does not exist.
    """
    at = 0
    while at < len(data):
        key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if wire_type == VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if wire_type == BYTES:
            size, at = _read_varint(data, at)
        elif wire_type in (FIXED32, FIXED64):
            size = 4 if wire_type == FIXED32 else 8
        else:
            raise ValueError(f"wire type {wire_type} at byte {at} is not one of 0, 1, 2, 5")
        if size > len(data) - at:
            raise ValueError(f"field {number} needs {size} bytes at byte {at}, {len(data) - at} are left")
        yield number, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits a byte, the lowest first; and the place after it."""
    value = 0
    for n, byte in enumerate(data[at : at + 10]):
        value |= (byte & 0x7F) << (7 * n)
        if byte < 0x80:
            return value, at + n + 1
    raise ValueError(f"the number at byte {at} has no end")


def parse(
    data: bytes, path: str | PathLike[str] = "tokenizer.model", config: Mapping[str, Any] | None = None
) -> SentencePieceBPE:
    """The tokenizer in the bytes of a `tokenizer.model`.

    Parameters
    ----------
    data : bytes
    path : path-like
        For error messages.
    config : mapping, optional
        What the files beside it say, as `beside.read_beside` gives it. Where they make it a `LlamaTokenizer` of
        `transformers`, ids are those of that class, which writes spaces in its own way.

    Raises
    ------
    CheckpointError
        When the bytes are damaged, or ask for what LLaMA's tokenizer does not do: an algorithm other
        than BPE, or a normaliser that changes characters.
    """
    try:
        pieces, trainer, normalizer = _parse_messages(data)
    except (ValueError, struct.error) as error:
        raise CheckpointError(path, "protocol buffer", str(error)) from error
    _check_supported(pieces, trainer, normalizer, path)
    config = config or {}
    vocabulary = Vocabulary([piece.text for piece in pieces], [piece.type for piece in pieces], path)
    control = {piece.text for piece in pieces if piece.type == TokenType.CONTROL}
    bos, eos = (
        text if text in control else None for text in (_text(trainer.get(46), "<s>"), _text(trainer.get(47), "</s>"))
    )
    rebuilt = rebuilt_class(config, False)
    as_llama = rebuilt in (LLAMA, CODE_LLAMA) and config.get(SPACES_KEY) != "sentencepiece"
    as_llama = as_llama and vocabulary.types.count(TokenType.BYTE) == 256
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens")
    for token in _own_added(vocabulary, normalized=not as_llama):
        if token.special or not (as_llama and extra):  # `transformers` takes the one list or the other
            vocabulary.added[token.id] = token
    add_configured(vocabulary, {**(DEFAULTS[rebuilt] if as_llama else {}), **config})
    settings = begin_and_end(config, vocabulary.pieces, path, bos=bos, eos=eos, add_bos=bos is not None)
    scores = [piece.score for piece in pieces] + [0.0] * (len(vocabulary.pieces) - len(pieces))
    settings |= _class_spaces(rebuilt, config, pieces) if as_llama else _own_spaces(normalizer)
    with blame(path, "pieces"):
        tokenizer = SentencePieceBPE(
            [Piece(*entry) for entry in zip(vocabulary.pieces, scores, vocabulary.types)],
            byte_fallback=bool(trainer.get(35, 0)),
            unknown_text=_text(trainer.get(44), " ⁇ "),
            added=vocabulary.tokens(),
            **settings,
        )
    tokenizer.source_settings = kept_settings(config)
    tokenizer.source = ("tokenizer.model", data)
    return tokenizer


def _class_spaces(rebuilt: str, config: Mapping[str, Any], pieces: list[Piece]) -> dict[str, Any]:
    """How a class of `transformers` writes spaces and merges."""
    scheme = metaspace_of(config, rebuilt)
    strip = rebuilt == CODE_LLAMA or scheme != "never"
    return {"spaces": scheme, "strip_first": strip, "merges": _merges([piece.text for piece in pieces])}


def _own_spaces(normalizer: Mapping[int, Any]) -> dict[str, bool]:
    """How SentencePiece itself writes spaces."""
    names = {3: "add_dummy_prefix", 4: "remove_extra_whitespaces", 5: "escape_whitespaces"}
    return {name: bool(normalizer.get(number, 1)) for number, name in names.items()}


def _own_added(vocabulary: Vocabulary, *, normalized: bool) -> list[AddedToken]:
    """Control and user-defined pieces; SentencePiece looks for the latter in normalised text."""
    return [
        AddedToken(id_, text, special=kind == TokenType.CONTROL, normalized=normalized and kind != TokenType.CONTROL)
        for id_, (text, kind) in enumerate(zip(vocabulary.pieces, vocabulary.types))
        if kind in (TokenType.CONTROL, TokenType.USER_DEFINED)
    ]


def _merges(pieces: list[str]) -> list[tuple[str, str]]:
    """The rules that `transformers` makes of the pieces: pairs that make a third one, in the order of its id."""
    ids = {text: id_ for id_, text in enumerate(pieces)}
    rules = []
    for text, id_ in ids.items():
        pairs = [(text[:cut], text[cut:]) for cut in range(1, len(text))]
        known = [pair for pair in pairs if pair[0] in ids and pair[1] in ids]
        known.sort(key=lambda pair: (len(pair[0]), len(pair[1]), ids[pair[0]], ids[pair[1]]))
        rules += [(id_, pair) for pair in known]
    rules.sort(key=lambda rule: rule[0])
    return [pair for _, pair in rules]


def _check_supported(
    pieces: list[Piece], trainer: dict[int, Any], normalizer: dict[int, Any], path: str | PathLike[str]
) -> None:
    """Refuse what would need another encoder than `SentencePieceBPE`."""
    model_type = trainer.get(3, 1)
    if model_type != BPE:
        found = MODEL_TYPES.get(model_type, model_type)
        raise CheckpointError(path, "trainer_spec.model_type", f"expected BPE, found {found}")
    if normalizer.get(2):
        raise CheckpointError(path, "normalizer_spec", "expected the identity, found a table that changes characters")
    if trainer.get(24):
        raise CheckpointError(path, "trainer_spec.treat_whitespace_as_suffix", "is not supported")
    if sum(piece.type == TokenType.UNKNOWN for piece in pieces) != 1:
        raise CheckpointError(path, "pieces", "expected exactly one of type UNKNOWN")


def _parse_messages(data: bytes) -> tuple[list[Piece], dict[int, Any], dict[int, Any]]:
    """The pieces, and the last value of each field of the trainer's and the normaliser's message."""
    pieces: list[Piece] = []
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    for number, value in read_fields(data):
        if number in (1, 2, 3) and not isinstance(value, bytes):
            raise ValueError(f"field {number} should be a message")
        if number == 1:
            if len(pieces) == MAX_PIECES:
                raise ValueError(f"expected at most {MAX_PIECES} pieces, found more")
            pieces.append(_parse_piece(bytes(value), len(pieces)))
        elif number == 2:
            trainer.update(read_fields(bytes(value)))
        elif number == 3:
            normalizer.update(read_fields(bytes(value)))
    for spec, numbers in ((trainer, (3, 24, 35)), (normalizer, (3, 4, 5))):
        if any(not isinstance(spec.get(number, 0), int) for number in numbers):
            raise ValueError("a setting that should be a number is not one")
    if not pieces:
        raise ValueError("there are no pieces; is this a SentencePiece model?")
    return pieces, trainer, normalizer


def _parse_piece(data: bytes, id_: int) -> Piece:
    fields = dict(read_fields(data))
    text, score, kind = fields.get(1, b""), fields.get(2, bytes(4)), fields.get(3, int(TokenType.NORMAL))
    if not isinstance(text, bytes) or not isinstance(score, bytes) or len(score) != 4 or not isinstance(kind, int):
        raise ValueError(f"piece {id_} has a field of the wrong kind")
    if not text:
        raise ValueError(f"piece {id_} is empty")
    value = struct.unpack("<f", score)[0]
    if not math.isfinite(value):
        raise ValueError(f"piece {id_} has the score {value}")
    if kind not in TOKEN_TYPES:
        raise ValueError(f"piece {id_} has the unknown type {kind}")
    return Piece(text.decode("utf-8"), value, kind)


def _text(value: Any, default: str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else default


# --- writing -------------------------------------------------------------------------------


def serialize(tokenizer: SentencePieceBPE) -> bytes:
    """A `tokenizer.model` of the tokenizer, which the `sentencepiece` library reads.

    Raises
    ------
    ValueError
        For a tokenizer of merge rules, which the format cannot express, or one without unknown token.
    """
    if tokenizer.merges is not None:
        raise ValueError("a tokenizer made of merge rules has no scores; save it as tokenizer.json")
    if tokenizer.unk_id is None:
        raise ValueError("SentencePiece needs an unknown token, this vocabulary has none")
    pieces = [
        _bytes(1, _bytes(1, text.encode()) + _field(2, FIXED32) + struct.pack("<f", score) + _number(3, kind))
        for text, score, kind in zip(tokenizer.pieces, tokenizer.scores, tokenizer.types)
    ]
    trainer = _number(3, BPE) + _number(4, tokenizer.vocab_size) + _number(35, int(tokenizer.byte_fallback))
    for number, id_ in ((40, tokenizer.unk_id), (41, tokenizer.bos_id), (42, tokenizer.eos_id), (43, None)):
        trainer += _number(number, -1 if id_ is None else id_)
    trainer += _bytes(44, tokenizer.unknown_text.encode()) + _bytes(45, tokenizer.pieces[tokenizer.unk_id].encode())
    for number, id_, usual in ((46, tokenizer.bos_id, "<s>"), (47, tokenizer.eos_id, "</s>")):
        trainer += _bytes(number, (usual if id_ is None else tokenizer.pieces[id_]).encode())
    normalizer = _bytes(1, b"identity") + _number(3, int(tokenizer.add_dummy_prefix))
    normalizer += _number(4, int(tokenizer.remove_extra_whitespaces)) + _number(5, int(tokenizer.escape_whitespaces))
    return b"".join(pieces) + _bytes(2, trainer) + _bytes(3, normalizer)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are stored in two's complement
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _number(number: int, value: int) -> bytes:
    return _field(number, VARINT) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _field(number, BYTES) + _varint(len(value)) + value
