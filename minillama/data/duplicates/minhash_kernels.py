"""Compiled MinHash: random linear functions modulo the Mersenne prime 2^61 - 1."""

from __future__ import annotations

import numpy as np

from ...compute.jit import kernel
from ..rules.word_kernels import extended, window_hash

_PRIME = np.uint64((1 << 61) - 1)
_LOW_32, _LOW_29 = np.uint64((1 << 32) - 1), np.uint64((1 << 29) - 1)
_32, _29, _61, _3 = np.uint64(32), np.uint64(29), np.uint64(61), np.uint64(3)
_NONE, _ONE = np.uint64(0), np.uint64(1)


@kernel
def multiply_add(a, x, b):
    """(a x + b) mod 2^61 - 1 for a, x, b below 2^61 - 1, without a product of more than 64 bits."""
    a_high, a_low = a >> _32, a & _LOW_32  # 29 and 32 bits
    x_high, x_low = x >> _32, x & _LOW_32
    middle = a_high * x_low + a_low * x_high  # less than 2^62: counts 2^32 each
    # 2^64 = 8 and 2^61 = 1 modulo the prime; the middle is cut where its low part reaches 2^61.
    total = ((a_high * x_high) << _3) + (middle >> _29) + ((middle & _LOW_29) << _32)
    low = a_low * x_low
    total += (low & _PRIME) + (low >> _61) + b
    total = (total & _PRIME) + (total >> _61)
    return total - _PRIME if total >= _PRIME else total


@kernel
def signature(words, n_shingle, a, b):
    """(len(a),) uint64: the smallest value of each function over all shingles; 2^61 - 1 without any."""
    smallest = np.full(len(a), _PRIME, np.uint64)
    for start in range(len(words) - n_shingle + 1):
        hash_ = window_hash(words, start, n_shingle)
        x = (hash_ & _PRIME) + (hash_ >> _61)
        x = x - _PRIME if x >= _PRIME else x
        for i in range(len(a)):
            value = multiply_add(a[i], x, b[i])
            smallest[i] = min(smallest[i], value)
    return smallest


@kernel
def band_hashes(values, n_bands):
    """(n_bands,) uint64: one hash for the values of each band, never 0."""
    rows = len(values) // n_bands
    found = np.empty(n_bands, np.uint64)
    for band in range(n_bands):
        hash_ = _NONE
        for i in range(band * rows, (band + 1) * rows):
            hash_ = extended(hash_, values[i])
        found[band] = max(hash_, _ONE)
    return found


@kernel
def root_of(parents, i):
    """The first member of the cluster of i; paths are halved on the way."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@kernel
def unite_equal(keys, order, parents):
    """Join the members of `order` whose neighbour in it has the same key; 0 is not a key."""
    for i in range(1, len(order)):
        key = keys[order[i]]
        if key != _NONE and key == keys[order[i - 1]]:
            first, second = root_of(parents, order[i - 1]), root_of(parents, order[i])
            parents[max(first, second)] = min(first, second)


@kernel
def settle(parents):
    """Let every member point at the first of its cluster."""
    for i in range(len(parents)):
        parents[i] = root_of(parents, i)
