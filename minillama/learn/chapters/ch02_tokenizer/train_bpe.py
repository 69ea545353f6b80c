"""Train the merges."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....tokenizers.bpe.training import Pair
from ...exercises.exercise import Function, exercise
from .count_bpe_pairs import count_bpe_pairs
from .inputs import merge_first_only, plain_count_bpe_pairs, plain_train_bpe, random_word, train
from .merge_pair import merge_pair
from .variants import pairs_over_borders


def make_training(rng: np.random.Generator, words: int, length: int, merges: int) -> tuple[Any, ...]:
    if length < 2:
        raise ValueError("words of one letter have no pairs")
    lengths = [length, *rng.integers(2, length + 1, words - 1).tolist()]
    drawn = [random_word(rng, "abc", n) for n in lengths]
    counts = rng.integers(1, 6, words)
    if words > 5:
        drawn[-1] = drawn[0]  # the same word again, with a count of its own
        counts[-1] = counts[0] % 5 + 1
    if merges > words * length:
        counts[:] = 1  # as many merges as there can be: a pair that occurs once is merged, too
    return drawn, counts.tolist(), merges


def as_pairs(function: Function, args: tuple[Any, ...]) -> Any:
    """Rules as tuples, whatever they came as."""
    result = function(*args)
    if isinstance(result, list | tuple) and all(isinstance(pair, list | tuple) for pair in result):
        return [tuple(pair) for pair in result]
    return result


@exercise(
    title="Train the merges",
    task="Learn merge rules: again and again the most frequent pair becomes a new symbol.",
    difficulty=2,
    minutes=15,
    same_as=plain_train_bpe,
    make=make_training,
    shapes=(
        {"words": 1, "length": 3, "merges": 1},
        {"words": 1, "length": 4, "merges": 9},
        {"words": 2, "length": 3, "merges": 2},
        {"words": 3, "length": 5, "merges": 4},
        {"words": 6, "length": 6, "merges": 7},
        {"words": 15, "length": 9, "merges": 20},
    ),
    exact=True,
    observe=as_pairs,
    hints=(
        "Three steps in a loop: count the pairs of all words, choose the most frequent one, merge it in all words.",
        "A dict keeps the order in which keys came in, and max() returns the first of equals: "
        "max(found, key=found.get) is the rule for ties. When there is no pair left, stop.",
        "symbols = [list(word) for word in words]\n"
        "for _ in range(n_merges):\n"
        "    found = count_bpe_pairs(symbols, counts)\n"
        "    if not found: break\n"
        "    pair = max(found, key=found.get); merges.append(pair)\n"
        "    symbols = [merge_pair(word, pair) for word in symbols]",
    ),
    why=(
        "Merging changes who is a neighbour of whom, so pairs are counted anew after every rule; only so can a piece "
        "grow out of earlier ones. A dict keeps its keys in the order in which they came and `max` returns the first "
        "of equals, which together are the rule for ties. Counting everything again is slow and easy to follow; the "
        "chapter's faster version looks only at words that have changed."
    ),
)
def train_bpe(words, counts, n_merges):
    """Learn merge rules: again and again the most frequent pair becomes one symbol.

    Words begin as single characters. Of equally frequent pairs the one that occurs first counts,
    going through the words in their order and each from left to right. Training ends after
    `n_merges` rules, or earlier when no word has a pair left.

    Parameters
    ----------
    words : list of str
    counts : list of int
        How often each word occurs. A word may stand in the list twice, and both counts count.
    n_merges : int

    Returns
    -------
    list of (str, str)
        The rules in the order in which they were learned.
    """
    symbols, merges = [list(word) for word in words], []
    for _ in range(n_merges):
        found = count_bpe_pairs(symbols, counts)
        if not found:
            break
        pair = max(found, key=found.get)  # the first of equals
        merges.append(pair)
        symbols = [merge_pair(word, pair) for word in symbols]
    return merges


def last_of_equals(found: dict[Pair, int]) -> Pair:
    return max(reversed(found), key=found.get)  # type: ignore[arg-type]


@train_bpe.mistake(
    "Your function counts the pairs once and returns the most frequent ones.",
    "Each merge changes the counts: its symbols are gone from other pairs, and pairs with the new symbol "
    "appear. Count again after every merge.",
)
def train_top(words, counts, n_merges):
    found = plain_count_bpe_pairs([list(word) for word in words], counts)
    return sorted(found, key=lambda pair: -found[pair])[:n_merges]


@train_bpe.mistake(
    "Your function counts every word once.",
    "A pair in a frequent word is worth more: add the count of the word.",
)
def counts_every_word_once(words, counts, n_merges):
    return plain_train_bpe(words, [1] * len(words), n_merges)


@train_bpe.mistake(
    "Your function takes the last of equally frequent pairs.",
    "The first one counts. max(found, key=found.get) gives it; `>=` in a loop of your own, or a sort that is "
    "turned round, gives the last.",
)
def takes_last_of_equally_frequent_pairs(words, counts, n_merges):
    return train(words, counts, n_merges, best=last_of_equals)


@train_bpe.mistake(
    "Your function breaks ties by the alphabet.",
    "Of equally frequent pairs the one that occurs first in the words counts, which is the order of the dict.",
)
def breaks_ties_by_alphabet(words, counts, n_merges):
    return train(words, counts, n_merges, best=lambda f: min(f, key=lambda p: (-f[p], p)))


@train_bpe.mistake(
    "Your function counts the pairs across the border of two words.",
    "Keep every word a list of its own; nothing merges from one into the next.",
)
def counts_pairs_across_border_of_two_words(words, counts, n_merges):
    return train(words, counts, n_merges, count=pairs_over_borders)


@train_bpe.mistake(
    "Your function merges only the first occurrence in each word.",
    "After a merge the pair must not be left anywhere: replace all its occurrences.",
)
def merges_only_first_occurrence_in_each_word(words, counts, n_merges):
    return train(words, counts, n_merges, merge=merge_first_only)
