"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ....tokenizers.bpe.training import Pair
from ....tokenizers.bpe.training import merge_pair as package_merge_pair

UNKNOWN_CHARACTERS = ("é", "世", "🙂", "\n", "ß")


def random_word(rng: np.random.Generator, letters: str, length: int) -> str:
    return "".join(rng.choice(list(letters), length).tolist())


def plain_count_bpe_pairs(words: list[list[str]], counts: list[int]) -> dict[Pair, int]:
    """How often every two neighbours occur, each word as often as its count."""
    found: dict[Pair, int] = {}
    for word, count in zip(words, counts):
        for pair in pairwise(word):
            found[pair] = found.get(pair, 0) + count
    return found


def merge_first_only(symbols, pair):
    for i in range(len(symbols) - 1):
        if tuple(symbols[i : i + 2]) == pair:
            return [*symbols[:i], pair[0] + pair[1], *symbols[i + 2 :]]
    return list(symbols)


def train(words, counts, n_merges, *, count=plain_count_bpe_pairs, merge=package_merge_pair, best=None) -> list[Pair]:
    """The loop of training, with parts that the mistakes exchange."""
    symbols: list[list[str]] = [list(word) for word in words]
    merges: list[Pair] = []
    while len(merges) < n_merges:
        found = count(symbols, counts)
        if not found:
            break
        pair = best(found) if best else max(found, key=found.get)
        merges.append(pair)
        symbols = [merge(word, pair) for word in symbols]
    return merges


def plain_train_bpe(words: list[str], counts: list[int], n_merges: int) -> list[Pair]:
    """The merge rules, the most frequent pair first; of equals the one that occurs first."""
    return train(words, counts, n_merges)
