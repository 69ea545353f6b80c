"""Compiled search for runs of words and tokens of evaluation texts."""

from __future__ import annotations

import numpy as np

from ...compute.jit import kernel
from .word_kernels import slot_of, window_hash


@kernel
def fill_table(keys, table, used):
    """Put different hashes into an empty table."""
    for key in keys:
        place = slot_of(table, used, key)
        table[place], used[place] = key, 1


@kernel
def first_overlap(words, n, table, used):
    """Where the first n words begin whose hash is in the table, or -1."""
    for start in range(len(words) - n + 1):
        if used[slot_of(table, used, window_hash(words, start, n))]:
            return start
    return -1


@kernel
def _match_length(document, at, tokens, place, end, first, budget):
    """Length of the longest match from these places with at most `budget` differences and none at its end."""
    n = min(len(document) - at, end - place)
    length, differences = 0, 0
    for i in range(n):
        if document[at + i] == tokens[place + i]:
            length = i + 1
        else:
            differences += 1
            if i < first or differences > budget:
                break
    return length


@kernel
def match_document(document, tokens, ends, hashes, order, table, used, first, budget, longest):
    """Raise `longest` (for each place in the samples) to the longest match with the document from there."""
    for at in range(len(document) - first + 1):
        hash_ = window_hash(document, at, first)
        if not used[slot_of(table, used, hash_)]:
            continue
        for i in range(np.searchsorted(hashes, hash_), len(hashes)):
            if hashes[i] != hash_:
                break
            place = order[i]
            # A match that can begin one token earlier was found there, with the same end.
            earlier = at > 0 and place > 0 and ends[place - 1] == ends[place]
            if earlier and document[at - 1] == tokens[place - 1]:
                continue
            length = _match_length(document, at, tokens, place, ends[place], first, budget)
            if length > first:
                longest[place] = max(longest[place], length)


@kernel
def mark_covered(longest, shortest, covered):
    """Mark the places inside a match of at least `shortest` tokens."""
    reach = 0
    for place in range(len(longest)):
        if longest[place] >= shortest:
            reach = max(reach, place + longest[place])
        covered[place] = place < reach
