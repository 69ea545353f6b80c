"""Compiled loops over the characters and words of a document: cutting it into words, counting n-grams.

Words are compared by 64-bit hashes of their characters. The hashes are integer arithmetic only, so
they are the same on every machine. Two different n-grams of one document share a hash about once in
10^13 documents of a thousand words.
"""

from __future__ import annotations

import numpy as np

from ...compute.jit import kernel

# Classes of characters, as bits of a table.
SPACE, WORD, LETTER, APOSTROPHE, DIGIT, DECIMAL, MARK = 1, 2, 4, 8, 16, 32, 64

_SEED = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)
_ZERO = np.uint64(48)


@kernel
def mixed(value):
    """MurmurHash3's last step: every bit of the result depends on every bit of the value."""
    value ^= value >> _SHIFT
    value *= _MIX_1
    value ^= value >> _SHIFT
    value *= _MIX_2
    return value ^ (value >> _SHIFT)


@kernel
def extended(hash_, value):
    """The hash of a sequence that is one value longer."""
    return mixed((hash_ ^ value) * _PRIME + _SEED)


@kernel
def _word_end(points, classes, start):
    """Where the word at `start` ends: letters and digits, an apostrophe with them, or a run of one symbol."""
    n = len(points)
    stop = start + 1
    kind = classes[points[start]]
    inside = start > 0 and classes[points[start - 1]] & WORD and stop < n and classes[points[stop]] & WORD
    if kind & WORD or (kind & APOSTROPHE and inside):
        while stop < n and classes[points[stop]] & WORD:
            stop += 1
        return stop
    while stop < n and points[stop] == points[start]:
        stop += 1
    return stop


@kernel
def split_words(points, classes):
    """Hash (uint64), length in characters (int32) and class bits (uint8) of every word of a text."""
    n_words = 0
    place = 0
    while place < len(points):
        if classes[points[place]] & SPACE:
            place += 1
        else:
            place = _word_end(points, classes, place)
            n_words += 1
    hashes = np.empty(n_words, np.uint64)
    lengths = np.empty(n_words, np.int32)
    kinds = np.empty(n_words, np.uint8)
    place, word = 0, 0
    while place < len(points):
        if classes[points[place]] & SPACE:
            place += 1
            continue
        stop = _word_end(points, classes, place)
        hash_, kind = _SEED, 0
        for i in range(place, stop):
            hash_ = (hash_ ^ np.uint64(points[i])) * _PRIME
            kind |= classes[points[i]]
        hashes[word], lengths[word], kinds[word] = mixed(hash_), stop - place, kind
        word += 1
        place = stop
    return hashes, lengths, kinds


@kernel
def split_normal_words(points, classes, numbers_to_zero):
    """Hashes (uint64) of the words between punctuation and spaces, marks left out, numbers as one 0."""
    hashes = np.empty(len(points) // 2 + 1, np.uint64)
    n_words, n = 0, len(points)
    hash_, length, place = _SEED, 0, 0
    while place < n:
        point, kind = points[place], classes[points[place]]
        place += 1
        if kind & MARK:
            continue
        if kind & WORD == 0:
            if length:
                hashes[n_words] = mixed(hash_)
                n_words += 1
            hash_, length = _SEED, 0
            continue
        value = np.uint64(point)
        if numbers_to_zero and kind & DIGIT:
            value = _ZERO
            while place < n and classes[points[place]] & DIGIT:
                place += 1
            if place + 1 < n and classes[points[place]] & DECIMAL and classes[points[place + 1]] & DIGIT:
                place += 1
                while place < n and classes[points[place]] & DIGIT:
                    place += 1
        hash_ = (hash_ ^ value) * _PRIME
        length += 1
    if length:
        hashes[n_words] = mixed(hash_)
        n_words += 1
    return hashes[:n_words].copy()


@kernel
def window_hash(hashes, start, n):
    """The hash of the n words (or tokens) from `start`."""
    hash_ = _SEED
    for i in range(start, start + n):
        hash_ = extended(hash_, np.uint64(hashes[i]))
    return hash_


@kernel
def window_hashes(hashes, n):
    """The hash of every window of n words: (n_words - n + 1,) uint64."""
    found = np.empty(max(len(hashes) - n + 1, 0), np.uint64)
    for start in range(len(found)):
        found[start] = window_hash(hashes, start, n)
    return found


@kernel
def slot_of(table, used, hash_):
    """Where a hash is in an open table of 2^k places, or the free place where it belongs."""
    mask = np.uint64(len(table) - 1)
    place = hash_ & mask
    while used[place] and table[place] != hash_:
        place = (place + np.uint64(1)) & mask
    return place


@kernel
def _top_characters(windows, lengths, n, table, counts, firsts):
    """Characters of the most frequent n-gram (with its spaces) times its count; of several the first."""
    counts[:] = 0
    for start in range(len(windows)):
        place = slot_of(table, counts, windows[start])
        if counts[place] == 0:
            table[place], firsts[place] = windows[start], start
        counts[place] += 1
    best, first = 0, 0
    for place in range(len(table)):
        if counts[place] > best or (counts[place] == best and best > 0 and firsts[place] < first):
            best, first = counts[place], firsts[place]
    characters = n - 1
    for i in range(first, first + n):
        characters += lengths[i]
    return characters * best


@kernel
def _duplicate_characters(windows, lengths, n, table, used):
    """Characters inside n-grams that occurred before; after a repeat the next n words are skipped."""
    used[:] = 0
    characters, start = 0, 0
    while start < len(windows):
        place = slot_of(table, used, windows[start])
        if used[place]:
            for i in range(start, start + n):
                characters += lengths[i]
            start += n
        else:
            table[place], used[place] = windows[start], 1
            start += 1
    return characters


@kernel
def ngram_characters(hashes, lengths):
    """(11,) int64: for n = 2, 3, 4 characters of the top n-gram, for n = 5 to 10 of repeated n-grams."""
    found = np.zeros(11, np.int64)
    size = 4
    while size < 2 * len(hashes):
        size *= 2
    table, counts, firsts = np.empty(size, np.uint64), np.empty(size, np.int32), np.empty(size, np.int32)
    windows = window_hashes(hashes, 1)
    for n in range(2, 11):
        if n > len(hashes):
            break
        windows = windows[: len(hashes) - n + 1]
        for start in range(len(windows)):  # each window grows by one word
            windows[start] = extended(windows[start], hashes[start + n - 1])
        if n <= 4:
            found[n] = _top_characters(windows, lengths, n, table, counts, firsts)
        else:
            found[n] = _duplicate_characters(windows, lengths, n, table, counts)
    return found


@kernel
def count_present(hashes, wanted):
    """How many of the wanted hashes occur."""
    n = 0
    for hash_ in wanted:
        for other in hashes:
            if other == hash_:
                n += 1
                break
    return n
