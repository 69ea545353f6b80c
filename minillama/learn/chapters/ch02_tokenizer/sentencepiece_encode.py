"""LLaMA's encoder."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ....tokenizers.bpe.base import TokenType
from ....tokenizers.bpe.merging import merge_symbols
from ....tokenizers.bpe.sentencepiece import SPACE, Piece, SentencePieceBPE
from ...exercises.exercise import exercise
from .inputs import UNKNOWN_CHARACTERS, plain_train_bpe, random_word


def _sentencepiece(scores: dict[str, float]) -> SentencePieceBPE:
    pieces = [
        Piece("<unk>", 0.0, TokenType.UNKNOWN),
        Piece("<s>", 0.0, TokenType.CONTROL),
        Piece("</s>", 0.0, TokenType.CONTROL),
        *(Piece(f"<0x{byte:02X}>", 0.0, TokenType.BYTE) for byte in range(256)),
        *(Piece(text, score) for text, score in scores.items()),
    ]
    return SentencePieceBPE(pieces, bos_id=1, eos_id=2)


def make_sentence(rng: np.random.Generator, words: int, length: int, pieces: int) -> tuple[Any, ...]:
    """Scores from a small training, and a text with unknown characters and double spaces in it."""
    telling = words >= 5 and length >= 5 and pieces >= 10
    for _ in range(200):
        text, scores = draw_sentence(rng, words, length, pieces)
        if not telling or longest_pieces(text, scores) != by_score(escaped(text), scores):
            return text, scores
    raise ValueError("no text of these sizes tells the mistakes apart")


def draw_sentence(rng, words, length, pieces):
    drawn = [SPACE + random_word(rng, "abc", int(n)) for n in rng.integers(1, length + 3, 12)]
    merges = plain_train_bpe(drawn, rng.integers(1, 9, len(drawn)).tolist(), pieces)
    found = dict.fromkeys([left + right for left, right in merges] + [SPACE, "a", "b", "c"])
    scores = {piece: -float(n) for n, piece in enumerate(found)}  # the best one has 0.0, as in LLaMA's file
    text = " " if words > 4 else ""
    for n in range(words):
        text += random_word(rng, "abc", int(rng.integers(1, length + 1)))
        text += str(rng.choice(UNKNOWN_CHARACTERS)) if n % 3 == 2 else ""
        text += "  " if n % 4 == 3 else " " if n < words - 1 else ""
    return text, scores


def by_score(text: str, scores: dict[str, float], sign: int = 1) -> list[str]:
    """Characters merged by the score of what they make, then bytes."""
    values = {piece: -sign * score for piece, score in scores.items()}
    return with_bytes(merge_symbols(text, lambda left, right: values.get(left + right)), scores)


def with_bytes(symbols: list[str], scores: dict[str, float]) -> list[str]:
    return [p for s in symbols for p in ([s] if s in scores else [f"<0x{byte:02X}>" for byte in s.encode()])]


def escaped(text: str) -> str:
    return (" " + text).replace(" ", SPACE) if text else text


def longest_pieces(text, scores):
    text, out, i = escaped(text), [], 0
    while i < len(text):
        n = next((n for n in range(len(text) - i, 1, -1) if text[i : i + n] in scores), 1)
        out.append(text[i : i + n])
        i += n
    return with_bytes(out, scores)


def sentencepiece_library(text, scores):
    import sentencepiece

    from ....tokenizers.files.sentencepiece_model import serialize

    return list(
        sentencepiece.SentencePieceProcessor(model_proto=serialize(_sentencepiece(scores))).encode(text, out_type=str)
    )


@exercise(
    title="LLaMA's encoder",
    task="Encode a text the way SentencePiece does: prefix, visible spaces, merges by score, bytes for the rest.",
    difficulty=3,
    minutes=25,
    make=make_sentence,
    shapes=(
        {"words": 1, "length": 2, "pieces": 2},
        {"words": 2, "length": 1, "pieces": 3},
        {"words": 3, "length": 4, "pieces": 6},
        {"words": 5, "length": 5, "pieces": 10},
        {"words": 12, "length": 7, "pieces": 16},
    ),
    exact=True,
    oracle=sentencepiece_library,
    hints=(
        "Four steps: a space in front; every space becomes ▁ (U+2581); merges; bytes for what is not a piece.",
        "Two neighbours may merge when their text together is in scores. The highest score wins, and scores are "
        "negative: -1 beats -7. Of equals the leftmost merges first.",
        's = list((" " + text).replace(" ", "▁"))\n'
        "fits = [(-scores[a + b], i) for i, (a, b) in enumerate(zip(s, s[1:])) if a + b in scores]\n"
        "while there are any: i = min(fits)[1]; s[i : i + 2] = [s[i] + s[i + 1]]\n"
        'in the end: s if s in scores, else f"<0x{byte:02X}>" for each byte of it',
    ),
    why=(
        "LLaMA's file has a score for each piece and no list of rules; a piece that was learned earlier scores "
        "higher, so taking the best score repeats the order of training. A minimum over negated scores finds the "
        "highest and, of equals, the leftmost. Bytes come last, since only then is it known which characters have "
        "joined a piece."
    ),
)
def sentencepiece_encode(text, scores):
    """Encode a text as LLaMA's tokenizer does.

    1. Put one space in front of the text, and write every space as "▁" (U+2581).
    2. Begin with single characters.
    3. Two neighbours may merge when their text together is a key of `scores`. The pair with the
       highest score merges first, the leftmost of equals, until none may.
    4. A symbol that is not a key of `scores` becomes one piece "<0xHH>" for each of its UTF-8 bytes
       (two hexadecimal digits, capitals).

    Parameters
    ----------
    text : str
        Not empty. Spaces at its beginning are part of it.
    scores : dict of str to float
        All pieces with their scores, 0.0 or less, single characters included.

    Returns
    -------
    list of str
    """
    symbols = list((" " + text).replace(" ", "▁"))
    while True:
        fits = [(-scores[a + b], i) for i, (a, b) in enumerate(pairwise(symbols)) if a + b in scores]
        if not fits:
            break
        i = min(fits)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
    pieces = []
    for symbol in symbols:
        pieces += [symbol] if symbol in scores else [f"<0x{byte:02X}>" for byte in symbol.encode("utf-8")]
    return pieces


@sentencepiece_encode.mistake(
    "Your function does not put a space in front of the text.",
    "With it a word is the same piece at the beginning of a text as in the middle: ▁the, not the.",
)
def does_not_put_space_in_front(text, scores):
    return by_score(text.replace(" ", SPACE), scores)


@sentencepiece_encode.mistake(
    "Your function leaves spaces as they are, so that they become the byte <0x20>.",
    "The vocabulary spells a space as ▁, U+2581: replace them before you merge.",
)
def leaves_spaces(text, scores):
    return by_score(" " + text, scores)


@sentencepiece_encode.mistake(
    "Your function merges the pair with the lowest score first.",
    "Scores are -1, -2, -3 ... in the order of training: the highest one, nearest to 0, was learned first.",
)
def merges_pair_with_lowest_score_first(text, scores):
    return by_score(escaped(text), scores, sign=-1)


@sentencepiece_encode.mistake(
    "Your function cuts off the longest known piece from the left.",
    "LLaMA's pieces come from merges in the order of their scores; the longest piece need not be reached.",
)
def cuts_off_longest_known_piece_from_left(text, scores):
    return longest_pieces(text, scores)


@sentencepiece_encode.mistake(
    "Your function writes <unk> for a character that is no piece.",
    "LLaMA falls back to bytes: é becomes <0xC3> <0xA9>.",
)
def unknown_pieces(text, scores):
    merged = merge_symbols(escaped(text), lambda left, right: -scores[left + right] if left + right in scores else None)
    return [symbol if symbol in scores else "<unk>" for symbol in merged]


@sentencepiece_encode.mistake(
    "Your function makes one space of several and drops those at the end.",
    "LLaMA keeps every space (remove_extra_whitespaces is off): code and poems depend on them. Use replace, not split.",
)
def squeezes_spaces(text, scores):
    return by_score(escaped(" ".join(text.split(" ")).replace("  ", " ").strip(" ")), scores)
