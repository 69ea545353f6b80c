"""How unlike each other answers are: a policy that writes one story for every request scores well and tells nothing.

    distinct 4-grams   different ones / all of them
    self-BLEU          mean over texts of BLEU-4 against all other texts     (Zhu et al. 2018, Texygen; lower is better)

BLEU is that of Papineni et al. 2002: the geometric mean of clipped 1- to 4-gram precisions with a brevity penalty for
the reference nearest in length; a precision of 0 counts as half an n-gram, so that short answers have a value.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .sentences import four_grams, words

_ORDERS = (1, 2, 3, 4)


def distinct_four_grams(texts: Sequence[str]) -> float:
    """The share of 4-grams that are different; NaN where there is none."""
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        grams.update(four_grams(text))
    return len(grams) / grams.total() if grams else float("nan")


def self_bleu(texts: Sequence[str]) -> float:
    """Mean BLEU-4 of each text against all the others; NaN of fewer than two texts with words.

    One pass over all texts finds for every n-gram the two largest counts: the largest among the *other* texts is one
    of them.
    """
    split = [found for found in map(words, texts) if found]
    if len(split) < 2:
        return float("nan")
    lengths = sorted(map(len, split))
    logs = np.zeros(len(split), np.float64)
    for n in _ORDERS:
        counts = [Counter(zip(*(found[i:] for i in range(n)))) for found in split]
        largest = _two_largest(counts)
        for i, own in enumerate(counts):
            clipped = sum(min(count, _of_others(largest[gram], i)) for gram, count in own.items())
            logs[i] += np.log(max(clipped, 0.5) / max(own.total(), 1)) / len(_ORDERS)
    penalties = [min(0.0, 1 - _nearest(lengths, len(found)) / len(found)) for found in split]
    return float(np.exp(np.minimum(logs, 0) + penalties).mean())


_Largest = tuple[int, int, int]  # the largest count of an n-gram, whose it is, and the largest of all others


def _two_largest(counts: Sequence[Counter[tuple[str, ...]]]) -> dict[tuple[str, ...], _Largest]:
    found: dict[tuple[str, ...], _Largest] = {}
    for i, own in enumerate(counts):
        for gram, count in own.items():
            first, owner, second = found.get(gram, (0, -1, 0))
            found[gram] = (count, i, first) if count > first else (first, owner, max(second, count))
    return found


def _of_others(largest: _Largest, i: int) -> int:
    first, owner, second = largest
    return second if owner == i else first


def _nearest(lengths: Sequence[int], own: int) -> int:
    """The length of another text that is nearest to `own`, the shorter of two; `lengths` are sorted, with `own`."""
    place = bisect_left(lengths, own)
    others = [lengths[i] for i in (place - 1, place + 1) if 0 <= i < len(lengths)]
    return min(others, key=lambda length: (abs(length - own), length))
