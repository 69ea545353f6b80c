"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

from .inputs import plain_count_bpe_pairs


def pairs_over_borders(words, counts):
    found = plain_count_bpe_pairs(words, counts)
    for one, other, count in zip(words, words[1:], counts):
        pair = one[-1], other[0]
        found[pair] = found.get(pair, 0) + count
    return found
