"""`tokenizer.bin`: the vocabulary file of llama2.c (export in its tokenizer.py, reader in run.c).

    u32 length of the longest piece
    for each id:  f32 score,  u32 length,  the bytes of the piece

There are no types and no settings: the pieces stand where LLaMA's tokenizer has them, `<unk>` at 0,
begin and end at 1 and 2 (spelled "\\n<s>\\n"), the byte pieces `<0x00>` … `<0xFF>` at 3 to 258. Every "▁"
is written as a space. What the file cannot say is `remove_extra_whitespaces` (the 512-piece TinyStories
vocabulary was trained with it): llama2.c leaves spaces alone, and so does a tokenizer read from here.
"""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path

from ...files.atomic import atomic_write
from ...files.errors import CheckpointError
from ...files.mapped import MappedFile
from ..bpe.base import TokenType
from ..bpe.sentencepiece import SPACE, Piece, SentencePieceBPE
from .validation import MAX_PIECES, blame

FIRST_BYTE, N_BYTES = 3, 256
CONTROL = {1: ("\n<s>\n", "<s>"), 2: ("\n</s>\n", "</s>")}  # id: (in the file, as everybody else spells it)


def read_llama2c_tokenizer(path: str | os.PathLike[str], vocab_size: int | None = None) -> SentencePieceBPE:
    """Read a `tokenizer.bin`.

    Parameters
    ----------
    path : path-like
    vocab_size : int, optional
        How many pieces the model has; None takes all that the file holds.

    Raises
    ------
    CheckpointError
        When the file is damaged, has another number of pieces, or is not laid out like LLaMA's.
    """
    file = MappedFile(path)
    file.expect("a tokenizer.bin of llama2.c")
    file.take(0, 4, "max_token_length")
    pieces: list[Piece] = []
    at = 4
    while at < file.size:
        what = f"piece {len(pieces)}"
        if len(pieces) == MAX_PIECES:
            raise CheckpointError(path, "pieces", f"expected at most {MAX_PIECES}, found more")
        score, size = struct.unpack("<fI", file.take(at, 8, what).tobytes())
        raw = file.take(at + 8, size, what).tobytes()
        if not math.isfinite(score):
            raise CheckpointError(path, what, f"has the score {score}")
        try:
            pieces.append(_piece(len(pieces), raw.decode("utf-8"), score))
        except ValueError as error:
            raise CheckpointError(path, what, str(error)) from error
        at += 8 + size
        if vocab_size is not None and len(pieces) > vocab_size:
            break
    if len(pieces) != vocab_size and vocab_size is not None:
        more = "more" if len(pieces) > vocab_size else f"{len(pieces)}"
        raise CheckpointError(path, "pieces", f"expected {vocab_size}, the model's vocabulary, found {more}")
    if len(pieces) < FIRST_BYTE + N_BYTES:
        raise CheckpointError(path, "pieces", f"expected at least {FIRST_BYTE + N_BYTES}, found {len(pieces)}")
    with blame(path, "pieces"):
        return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def _piece(id_: int, text: str, score: float) -> Piece:
    """The piece as SentencePiece has it, its type read off the place where it stands."""
    if id_ == 0:
        return Piece(text, score, TokenType.UNKNOWN)
    if id_ in CONTROL:
        written, meant = CONTROL[id_]
        if text not in (written, meant):
            raise ValueError(f"expected {written!r}, found {text!r}")
        return Piece(meant, score, TokenType.CONTROL)
    if FIRST_BYTE <= id_ < FIRST_BYTE + N_BYTES:
        if text != _byte_text(id_ - FIRST_BYTE):
            raise ValueError(f"expected {_byte_text(id_ - FIRST_BYTE)!r}, found {text!r}")
        return Piece(text, score, TokenType.BYTE)
    if not text:
        raise ValueError("is empty")
    return Piece(text.replace(" ", SPACE), score)


def _byte_text(byte: int) -> str:
    return f"<0x{byte:02X}>"


def write_llama2c_tokenizer(
    path: str | os.PathLike[str], tokenizer: SentencePieceBPE, vocab_size: int | None = None
) -> None:
    """Write a `tokenizer.bin` that llama2.c runs with.

    Parameters
    ----------
    path : path-like
    tokenizer : SentencePieceBPE
    vocab_size : int, optional
        Rows of the model. llama2.c wants a piece for each: padding gets one that no text can make.

    Raises
    ------
    ValueError
        When the tokenizer is not laid out like LLaMA's (byte pieces at 3 to 258, begin 1, end 2), does
        something that llama2.c cannot know about, or follows merge rules instead of scores.
    """
    n_rows = tokenizer.vocab_size if vocab_size is None else vocab_size
    problem = _unwritable(tokenizer)
    if tokenizer.vocab_size > n_rows:
        problem = f"it has {tokenizer.vocab_size} tokens, the model {n_rows}"
    if problem:
        raise ValueError(f"{Path(path)}: llama2.c cannot use this tokenizer: {problem}")
    texts = [
        (CONTROL[id_][0] if id_ in CONTROL else text.replace(SPACE, " ")).encode()
        for id_, text in enumerate(tokenizer.pieces)
    ]
    n_more = n_rows - len(texts)
    texts += [f"[PAD{len(texts) + n}]".encode() for n in range(n_more)]
    with atomic_write(path) as file:
        file.write(struct.pack("<I", max(map(len, texts))))
        for text, score in zip(texts, [*tokenizer.scores, *[-1000.0] * n_more]):
            file.write(struct.pack("<fI", score, len(text)) + text)


def _unwritable(tokenizer: SentencePieceBPE) -> str | None:
    """Why the format cannot express the tokenizer, or None."""
    if tokenizer.merges is not None:
        return "it follows merge rules, not scores"
    if not tokenizer.add_dummy_prefix or not tokenizer.escape_whitespaces:
        return "it writes spaces in another way"
    if (tokenizer.bos_id, tokenizer.eos_id) != (1, 2):
        return f"expected begin and end at ids 1 and 2, found {tokenizer.bos_id} and {tokenizer.eos_id}"
    if tokenizer.pieces[FIRST_BYTE : FIRST_BYTE + N_BYTES] != [_byte_text(byte) for byte in range(N_BYTES)]:
        return f"expected the byte pieces at ids {FIRST_BYTE} to {FIRST_BYTE + N_BYTES - 1}"
    rest = set(tokenizer.types[FIRST_BYTE + N_BYTES :]) - {int(TokenType.NORMAL)}
    if rest:
        return f"it has pieces of type {TokenType(min(rest)).name} after the byte pieces"
    return None
