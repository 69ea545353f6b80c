"""Merge one pair."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....tokenizers.bpe.training import merge_pair as package_merge_pair
from ...exercises.exercise import exercise
from .inputs import merge_first_only


def make_symbols(rng: np.random.Generator, length: int, alphabet: int) -> tuple[Any, ...]:
    """One letter: runs, where merges overlap. Four symbols: ends and beginnings that look like the pair."""
    if length < 2 or alphabet > 4:
        raise ValueError("at least 2 symbols, at most 4 different ones")
    symbols = rng.choice(["a", "b", "ba", "bb"][:alphabet], length).tolist()
    pair = ("a", "a") if alphabet == 1 else ("b", "ba") if alphabet == 4 else ("a", "b")
    if alphabet == 4 and length > 3:
        symbols[:2] = ["bb", "a"]  # reads like the pair, but is not
    at = int(rng.integers(2 if length > 3 else 0, length - 1))
    symbols[at : at + 2] = pair
    return symbols, pair


@exercise(
    title="Merge one pair",
    difficulty=1,
    minutes=8,
    same_as=package_merge_pair,
    make=make_symbols,
    shapes=(
        {"length": 2, "alphabet": 1},
        {"length": 3, "alphabet": 1},
        {"length": 4, "alphabet": 2},
        {"length": 7, "alphabet": 1},
        {"length": 15, "alphabet": 2},
        {"length": 30, "alphabet": 4},
    ),
    exact=True,
    hints=(
        "Walk through the symbols with an index. Where the pair begins, both symbols are used up, otherwise one is.",
        "What must (a, a) make of a a a? The first two merge, the third has no partner left: aa a.",
        "if tuple(symbols[i : i + 2]) == pair:\n"
        "    out.append(pair[0] + pair[1]); i += 2\n"
        "else:\n"
        "    out.append(symbols[i]); i += 1",
    ),
    why=(
        "An index can step over two symbols at once, so that a symbol that has been merged is not used again. Symbols "
        "are compared, not a joined text, because the borders between them are what a tokenizer is about. At the very "
        "end the slice has one symbol only and equals no pair, so that place needs no test of its own."
    ),
)
def merge_pair(symbols, pair):
    """Replace every occurrence of a pair by one symbol, from left to right.

    With ("a", "b"): a b c a b  becomes  ab c ab. With ("a", "a"): a a a  becomes  aa a.

    Parameters
    ----------
    symbols : list of str
    pair : (str, str)

    Returns
    -------
    list of str
        A new list.
    """
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) == pair:
            out.append(pair[0] + pair[1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


@merge_pair.mistake(
    "Your function uses a symbol for two merges: a a a becomes aa aa.",
    "A symbol that has merged is gone. Step over both symbols of a pair.",
)
def merge_overlapping(symbols, pair):
    out, joined = [], False
    for i, symbol in enumerate(symbols):
        fits = tuple(symbols[i : i + 2]) == pair
        if fits:
            out.append(pair[0] + pair[1])
        elif not joined:
            out.append(symbol)
        joined = fits
    return out


@merge_pair.mistake(
    "Your function merges only the first occurrence of the pair.",
    "Continue after it until the end of the list.",
)
def merges_only_first_occurrence_of_pair(symbols, pair):
    return merge_first_only(symbols, pair)


@merge_pair.mistake(
    "Your function goes from right to left: a a a becomes a aa.",
    "Where occurrences overlap the leftmost one counts: aa a. Encoders go from the left, and so must training.",
)
def merge_from_right(symbols, pair):
    out, i = [], len(symbols)
    while i > 0:
        if i > 1 and tuple(symbols[i - 2 : i]) == pair:
            out.append(pair[0] + pair[1])
            i -= 2
        else:
            out.append(symbols[i - 1])
            i -= 1
    return out[::-1]


@merge_pair.mistake(
    "Your function also merges the pair in the other order.",
    "'b a' is not 'a b': compare left with left and right with right.",
)
def merge_either_order(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i : i + 2]) in (pair, pair[::-1]):
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


@merge_pair.mistake(
    "Your function searches in a text of joined symbols: 'ba b' counts as 'a b' for it.",
    "A symbol must be equal to the pair's, not end or begin like it. Compare the elements of the list.",
)
def merge_text(symbols, pair):
    return " ".join(symbols).replace(" ".join(pair), "".join(pair)).split(" ")


@merge_pair.mistake(
    "Your function leaves the right symbol of the pair standing behind the merged one.",
    "The merged symbol stands for both: step two on.",
)
def merge_keeps_right(symbols, pair):
    """Joins, but does not step over the right symbol."""
    out = []
    for i, symbol in enumerate(symbols):
        out.append(pair[0] + pair[1] if tuple(symbols[i : i + 2]) == pair else symbol)
    return out
