"""Integer sums of 16 rows of a repacked matrix and 32 columns of one row of activations, as floats.

    sums[r] = sum over columns c of (q[r, c] - zero) * (128 * high[c] + low[c])

The integers are exact, and so the same on every CPU, but the way to them is not. `vpdpbusd` and Arm's like multiply
bytes and add them up in 32 bits: one instruction for each plane (`dot4`). AVX2 has none such, and takes words:

    4 bits    both planes in 16 bits by `vpmaddubsw`, a whole block of them, widened and joined at its end
    8 bits    the activation as a word, 128 * high + low, and the weights as words, too: `vpmaddwd`
"""

from __future__ import annotations

import numpy as np

from ..compute.jit import helper
from ..compute.simd import prefetch
from ..compute.simd_bytes import (
    add_ints,
    dot4,
    high_nibbles,
    ints_to_floats,
    join_planes,
    load_64_bytes,
    load_bytes,
    low_nibbles,
    splat_int,
)
from ..compute.simd_packed import dot2, look_up
from ..compute.simd_words import USES_WORDS, add_pairs, even_words, join_words, odd_words, splat_word
from .k_formats import IQ4_LEVELS
from .repacked_layout import AHEAD

# What the numbers of LEVELS stand for: the products take bytes without a sign.
_LEVELS = (IQ4_LEVELS.astype(np.int16) + 128).astype(np.uint8)

# Helpers that take arrays are straight lines: Numba then sees that the arrays outlive them, and
# does not count references in the loops around them.


@helper(inline=True)
def themselves(numbers):
    return numbers


@helper(inline=True)
def levels(numbers):
    return look_up(load_bytes(_LEVELS, 0), numbers)


@helper(inline=True)
def _less_zeros(sums, zero, total):
    """Sums less the zero of every number times its activation."""
    if zero:
        sums = add_ints(sums, splat_int(-zero * np.int64(total)))
    return sums


# --- bytes: each of the planes by itself


def _nibbles_by_bytes(meaning):
    @helper(inline=True)
    def add_nibbles(data, at, high, low, c, high_sums, low_sums):
        """Add the products of 128 numbers in the 64 bytes from `at` on: columns c ... c + 3 and c + 16 ... c + 19."""
        packed = load_64_bytes(data, at)
        prefetch(data, at + AHEAD)
        first, second = meaning(low_nibbles(packed)), meaning(high_nibbles(packed))
        high_sums = dot4(dot4(high_sums, first, high, c), second, high, c + 16)
        low_sums = dot4(dot4(low_sums, first, low, c), second, low, c + 16)
        return high_sums, low_sums

    @helper(inline=True)
    def nibbles(data, at, planes, b, zero):
        high_sums, low_sums = splat_int(0), _less_zeros(splat_int(0), zero, planes.total[b])
        for step in range(4):
            high_sums, low_sums = add_nibbles(
                data, at + 64 * step, planes.high, planes.low, 32 * b + 4 * step, high_sums, low_sums
            )
        return join_planes(high_sums, low_sums)

    return nibbles


@helper(inline=True)
def _add_bytes(data, at, high, low, c, high_sums, low_sums):
    """Add the products of the 64 numbers from byte `at` on: columns c ... c + 3."""
    weights = load_64_bytes(data, at)
    prefetch(data, at + AHEAD)
    return dot4(high_sums, weights, high, c), dot4(low_sums, weights, low, c)


@helper(inline=True)
def _bytes_by_bytes(data, at, planes, b, zero):
    high_sums, low_sums = splat_int(0), _less_zeros(splat_int(0), zero, planes.total[b])
    for step in range(8):
        high_sums, low_sums = _add_bytes(
            data, at + 64 * step, planes.high, planes.low, 32 * b + 4 * step, high_sums, low_sums
        )
    return join_planes(high_sums, low_sums)


# --- words: small numbers with each of the planes, large ones with both at once


@helper(inline=True)
def _add_small(data, at, high, low, c, high_sums, low_sums):
    """Like `add_nibbles`, in 16 bits."""
    packed = load_64_bytes(data, at)
    prefetch(data, at + AHEAD)
    first, second = low_nibbles(packed), high_nibbles(packed)
    high_sums = add_pairs(add_pairs(high_sums, first, high, c), second, high, c + 16)
    low_sums = add_pairs(add_pairs(low_sums, first, low, c), second, low, c + 16)
    return high_sums, low_sums


@helper(inline=True)
def _nibbles_by_words(data, at, planes, b, zero):
    """Eight pairs of 2 * 15 * 127 at most: a word has room for them."""
    high_sums = low_sums = splat_word(0)
    for step in range(4):
        high_sums, low_sums = _add_small(
            data, at + 64 * step, planes.high, planes.low, 32 * b + 4 * step, high_sums, low_sums
        )
    return ints_to_floats(_less_zeros(join_words(high_sums, low_sums), zero, planes.total[b]))


@helper(inline=True)
def _add_words(sums, weights, words, c):
    """Add the products of 64 bytes: columns c ... c + 3, in the order of words."""
    return dot2(dot2(sums, even_words(weights, 0), words, c), odd_words(weights, 0), words, c + 2)


@helper(inline=True)
def _add_large(data, at, words, c, sums):
    weights = load_64_bytes(data, at)
    prefetch(data, at + AHEAD)
    return _add_words(sums, weights, words, c)


@helper(inline=True)
def _bytes_by_words(data, at, planes, b, zero):
    sums = splat_int(0)
    for step in range(8):
        sums = _add_large(data, at + 64 * step, planes.words, 32 * b + 4 * step, sums)
    return ints_to_floats(_less_zeros(sums, zero, planes.total[b]))


@helper(inline=True)
def _add_levels(data, at, words, c, sums):
    """Add the products of 128 numbers in the 64 bytes from `at` on, each looked up first."""
    packed = load_64_bytes(data, at)
    prefetch(data, at + AHEAD)
    sums = _add_words(sums, levels(low_nibbles(packed)), words, c)
    return _add_words(sums, levels(high_nibbles(packed)), words, c + 16)


@helper(inline=True)
def _levels_by_words(data, at, planes, b, zero):
    sums = splat_int(0)
    for step in range(4):
        sums = _add_levels(data, at + 64 * step, planes.words, 32 * b + 4 * step, sums)
    return ints_to_floats(_less_zeros(sums, zero, planes.total[b]))


# --- what the kernels take: functions (data, at, planes, b, zero) of block b of the columns, whose bytes begin at `at`


def nibble_sums(in_words=USES_WORDS):
    """Of numbers of 4 bits."""
    return _nibbles_by_words if in_words else _nibbles_by_bytes(themselves)


def level_sums(in_words=USES_WORDS):
    """Of numbers of 4 bits that stand for a level."""
    return _levels_by_words if in_words else _nibbles_by_bytes(levels)


def byte_sums(in_words=USES_WORDS):
    """Of bytes."""
    return _bytes_by_words if in_words else _bytes_by_bytes
