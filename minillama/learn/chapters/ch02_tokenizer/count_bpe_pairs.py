"""Count the pairs."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ....tokenizers.bpe.training import Pair
from ...exercises.exercise import exercise
from .inputs import plain_count_bpe_pairs
from .variants import pairs_over_borders


def make_pairs(rng: np.random.Generator, words: int, length: int) -> tuple[Any, ...]:
    """Words of two letters and one longer symbol, some of a single symbol, one with a run."""
    if length < 2:
        raise ValueError("a word of one symbol has no pairs")
    symbols = ["a", "b", "ab"]
    lengths = [length, *rng.integers(1, length + 1, words - 1).tolist()]
    drawn = [rng.choice(symbols, n).tolist() for n in lengths]
    if length > 2:
        drawn[0][:3] = ["a", "a", "a"]
    counts = rng.integers(2, 9, words).tolist()
    if words > 3:
        drawn[-1] = list(drawn[0])  # the same word again, with a count of its own
        counts[-1] = counts[0] + 1
    return drawn, counts


@exercise(
    title="Count the pairs",
    task="Count how often every two neighbouring symbols occur, each word as often as its count says.",
    difficulty=1,
    minutes=8,
    same_as=plain_count_bpe_pairs,
    make=make_pairs,
    shapes=(
        {"words": 1, "length": 2},
        {"words": 1, "length": 3},
        {"words": 2, "length": 4},
        {"words": 4, "length": 5},
        {"words": 9, "length": 7},
    ),
    exact=True,
    hints=(
        "Training looks at each different word once and multiplies: a pair in a word that occurs 7 times in the text "
        "occurs 7 times as well.",
        "zip(word, word[1:]) gives all neighbours of one word as pairs, and none that cross into the next word.",
        "for word, count in zip(words, counts):\n"
        "    for pair in zip(word, word[1:]):\n"
        "        found[pair] = found.get(pair, 0) + count",
    ),
    why=(
        "A text repeats its words, so counting in each distinct word once, weighted by how often it occurs, gives the "
        "pairs of the whole text at a fraction of the work. `pairwise` stays inside of a word: a pair across a border "
        "would lead to pieces of two words. Adding to what is there matters for pairs that come again, in the same "
        "word or in a later one."
    ),
)
def count_bpe_pairs(words, counts):
    """Count how often every two neighbouring symbols occur.

    n(a, b) = sum over words i of  counts[i] * (places in word i where b follows a)

    Parameters
    ----------
    words : list of list of str
        Each word is a list of symbols, such as ["l", "ow", "er"].
    counts : list of int
        How often each word occurs. A word may stand in the list twice, and both counts count.

    Returns
    -------
    dict of (str, str) to int
        Only pairs that occur.
    """
    found = {}
    for word, count in zip(words, counts):
        for pair in pairwise(word):
            found[pair] = found.get(pair, 0) + count
    return found


@count_bpe_pairs.mistake(
    "Your function counts every word once.",
    "counts[i] says how often word i occurs in the text: add that number, not 1.",
)
def counts_every_word_once(words, counts):
    return plain_count_bpe_pairs(words, [1] * len(counts))


@count_bpe_pairs.mistake(
    "Your function counts a pair only once in a word, however often it occurs there.",
    "A word such as b a n a n a has the pair (a, n) twice: go through the neighbours themselves, not through "
    "a set of them.",
)
def pairs_once_a_word(words, counts):
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in set(pairwise(word)):
            found[pair] = found.get(pair, 0) + count
    return found


@count_bpe_pairs.mistake(
    "Your function takes steps of two symbols, so that it misses every second pair.",
    "Each symbol belongs to two pairs, one with each neighbour: (0, 1), (1, 2), (2, 3) and so on.",
)
def pairs_without_overlap(words, counts):
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in zip(word[::2], word[1::2]):
            found[pair] = found.get(pair, 0) + count
    return found


@count_bpe_pairs.mistake(
    "Your function counts (a, b) and (b, a) as the same pair.",
    "A merge joins left to right: 'a b' becomes 'ab' and 'b a' becomes 'ba'. Keep the order.",
)
def pairs_unordered(words, counts):
    found: dict[Pair, int] = {}
    for (left, right), count in plain_count_bpe_pairs(words, counts).items():
        pair = min(left, right), max(left, right)
        found[pair] = found.get(pair, 0) + count
    return found


@count_bpe_pairs.mistake(
    "Your function counts the pairs across the border of two words.",
    "Words stand in a list in no order of the text; a token never crosses from one into the next.",
)
def counts_pairs_across_border_of_two_words(words, counts):
    return pairs_over_borders(words, counts)


@count_bpe_pairs.mistake(
    "Your function forgets what it has counted when a pair comes again.",
    "Add to the number that is there: found[pair] = found.get(pair, 0) + count.",
)
def pairs_overwritten(words, counts):
    return {pair: count for word, count in zip(words, counts) for pair in pairwise(word)}
