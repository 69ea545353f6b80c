"""How much two texts share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ....data.duplicates.minhash import jaccard
from ...exercises.exercise import Function, exercise
from .inputs import LONG, NOUNS, SHORT, pick
from .variants import normal_words


def plain_jaccard_of_texts(first: str, second: str, n: int) -> float:
    """The share of the two texts' normalised n-word shingles that they have in common."""
    return jaccard(first, second, n)


def make_pair(rng: np.random.Generator, words: int, changed: int, n: int) -> tuple[Any, ...]:
    """A text and a copy with some words changed, other capitals, signs and numbers; a phrase occurs twice."""
    if words < 2 * n or changed > words:
        raise ValueError("texts of fewer than two shingles")
    base = pick(rng, NOUNS + SHORT, words)
    base[-n:] = base[:n]
    base[n] = "number"
    other = list(base)
    for i in [0, *(1 + rng.choice(words - 1, changed, replace=False))][:changed]:  # the first is in the phrase
        other[int(i)] = pick(rng, LONG, 1)[0]
    copy = [word.title() if rng.random() < 0.3 else word for word in other]
    copy = [word + ("," if rng.random() < 0.3 else "") for word in copy]
    first, second = base.copy(), copy
    first[n], second[n] = "7", "12"
    if words > 2 * n + 1:
        first[n + 1], second[n + 1] = "well-known", "Well known,"
    if words > 2 * n + 2:
        first[n + 2], second[n + 2] = "red box", "red_box"
    if words > 2 * n + 4:
        first[n + 3], second[n + 3] = "mp3", "mp4"
        first[n + 4], second[n + 4] = "some thing", "so mething"
    texts = " ".join(first) + ".", " ".join(second)
    return (*(texts[::-1] if words % 4 == 2 else texts), n)  # so that either has the more shingles


@exercise(
    title="How much two texts share",
    task="The Jaccard similarity of the n-word shingles of two normalised texts.",
    difficulty=2,
    minutes=12,
    same_as=plain_jaccard_of_texts,
    make=make_pair,
    shapes=(
        {"words": 4, "changed": 0, "n": 2},
        {"words": 8, "changed": 1, "n": 3},
        {"words": 14, "changed": 2, "n": 2},
        {"words": 30, "changed": 2, "n": 5},
        {"words": 60, "changed": 4, "n": 5},
    ),
    hints=(
        "Normalise first: lower case, every run of digits as 0, every sign as a space. Then cut at the spaces.",
        "A shingle is a tuple of n words; m words have m - n + 1 of them. Put them in sets: a shingle that occurs "
        "twice is one element.",
        're.sub(r"[^\\w\\s]|_", " ", re.sub(r"\\d+", "0", text.lower())).split()\n'
        "sets of tuple(words[i:i + n]) for i in range(len(words) - n + 1)\n"
        "len(a & b) / len(a | b)",
    ),
    why=(
        "Runs of words keep the order that single words lose, so two texts on one subject are not yet copies. "
        "Normalising lets copies meet that differ in dates, capitals or signs. As sets they hold a phrase once, and "
        "the quotient is 1 only if both have the very same runs."
    ),
)
def jaccard_of_texts(first, second, n):
    """The Jaccard similarity of the n-word shingles of two texts.

    J = |A and B| / |A or B|, for the sets A and B of all windows of n words in a row. Words come from
    the normalised text: lower case, every run of digits as "0", every sign (- and _ too) as a space.

    Parameters
    ----------
    first, second : str
        Of at least n words.
    n : int

    Returns
    -------
    float
    """
    sets = []
    for text in (first, second):
        words = re.sub(r"[^\w\s]|_", " ", re.sub(r"\d+", "0", text.lower())).split()
        sets.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1)})
    a, b = sets
    return len(a & b) / len(a | b)


def _similarity(
    share: Callable[[set[Any], set[Any]], float] = lambda a, b: len(a & b) / len(a | b), less: int = 0, **normal: bool
) -> Function:
    def similarity(first: str, second: str, n: int) -> float:
        sets = []
        for text in (first, second):
            words = normal_words(text, **normal)
            sets.append({tuple(words[i : i + n]) for i in range(len(words) - n + 1 - less)})
        return share(*sets)

    return similarity


@jaccard_of_texts.mistake(
    "Your function counts a shingle as often as it occurs.",
    "Jaccard similarity is of sets: a phrase that is repeated is one element.",
)
def jaccard_of_lists(first, second, n):
    lists = []
    for text in (first, second):
        words = normal_words(text)
        lists.append([tuple(words[i : i + n]) for i in range(len(words) - n + 1)])
    common = sum(shingle in lists[1] for shingle in lists[0])
    return common / (len(lists[0]) + len(lists[1]) - common)


@jaccard_of_texts.mistake(
    "Your function compares single words, not shingles.",
    "Nearly all English texts share most of their words. Take windows of n words.",
)
def compares_single_words(first, second, n):
    return _similarity()(first, second, 1)


jaccard_of_texts.mistake(
    "Your function leaves out the last shingle.",
    "m words have m - n + 1 windows of n.",
    _similarity(less=1),
)

jaccard_of_texts.mistake(
    "Your function compares capitals as they are.",
    "A copy with other capitals is a copy: lower case first.",
    _similarity(lower=False),
)

jaccard_of_texts.mistake(
    "Your function leaves commas and full stops at the words.",
    "Signs become spaces, so that 'boat,' and 'boat' are the same word.",
    _similarity(signs=False),
)

jaccard_of_texts.mistake(
    "Your function compares numbers as they are.",
    "Pages that differ in a date or a counter only are copies: every run of digits becomes 0.",
    _similarity(digits=False),
)

jaccard_of_texts.mistake(
    "Your function writes a 0 for every digit, not for every run of digits.",
    "Then 7 and 12 are still different numbers: \\d+ takes a run as one.",
    _similarity(each=True),
)

jaccard_of_texts.mistake(
    "Your function divides by the smaller of the two sets.",
    "That is containment, which is 1 for an excerpt. Jaccard divides by the union.",
    _similarity(lambda a, b: len(a & b) / min(len(a), len(b))),
)

jaccard_of_texts.mistake(
    "Your function divides twice the common part by the sum of both sizes.",
    "That is Dice's measure. Jaccard divides the common part by the union, in which it counts once.",
    _similarity(lambda a, b: 2 * len(a & b) / (len(a) + len(b))),
)
