"""Numba kernels for repacked matrices with a scale for every 16 columns: Q2_K, Q3_K and Q6_K.

    y[r] = sum over blocks of 256 columns   d[r] * sum over their parts of 16   s * (sum of q x - zero * sum of x)

The innermost sums are exact integers; s is an int8, and d a float16, as the file has them. This is
the product with one row of activations; that with many is in repacked_k_rows.py.
"""

from __future__ import annotations

import numpy as np

from ..compute.jit import helper
from ..compute.simd import (
    load_halves,
    load_number,
    multiply,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
)
from ..compute.simd_bytes import (
    add_ints,
    dot4,
    high_nibbles,
    ints_to_floats,
    join_planes,
    load_64_bytes,
    load_bytes,
    low_nibbles,
    signed_to_float,
    splat_int,
    unsigned_to_float,
)
from ..compute.simd_packed import with_upper_pair
from ..compute.simd_words import USES_WORDS, add_pairs, join_words, splat_word
from .repacked_layout import AHEAD, MINIMA, N_BLOCKS, START, STRIDE, ZERO


def numbers_of(sixes):
    """The function that unpacks 128 numbers: columns 4 * step ... + 3 of 16 rows, and those 16 columns on."""

    @helper(inline=True)
    def nibbles(data, at, step):
        packed = load_64_bytes(data, at + 64 * step)
        return low_nibbles(packed), high_nibbles(packed)

    @helper(inline=True)
    def numbers_of_six_bits(data, at, step):
        packed = load_64_bytes(data, at + 64 * step)
        first = with_upper_pair(low_nibbles(packed), load_64_bytes(data, at + 256), step)
        return first, with_upper_pair(high_nibbles(packed), load_64_bytes(data, at + 320), step)

    return numbers_of_six_bits if sixes else nibbles


def _part_sums_by_bytes(sixes):
    numbers = numbers_of(sixes)

    @helper(inline=True)
    def part_sums(data, place, high, low, c):
        h1 = l1 = h2 = l2 = splat_int(0)
        for step in range(4):
            one, two = numbers(data, place, step)
            prefetch(data, place + 64 * step + AHEAD)
            at = c + 4 * step
            h1, l1 = dot4(h1, one, high, at), dot4(l1, one, low, at)
            h2, l2 = dot4(h2, two, high, at + 16), dot4(l2, two, low, at + 16)
        return join_planes(h1, l1), join_planes(h2, l2)

    return part_sums


def _part_sums_by_words(sixes):
    """Two pairs of 2 * 63 * 127 at most: a word has room for them, not for four."""
    numbers = numbers_of(sixes)

    @helper(inline=True)
    def two_steps(data, place, high, low, c, first):
        h1 = l1 = h2 = l2 = splat_word(0)
        for step in range(first, first + 2):
            one, two = numbers(data, place, step)
            prefetch(data, place + 64 * step + AHEAD)
            at = c + 4 * step
            h1, l1 = add_pairs(h1, one, high, at), add_pairs(l1, one, low, at)
            h2, l2 = add_pairs(h2, two, high, at + 16), add_pairs(l2, two, low, at + 16)
        return join_words(h1, l1), join_words(h2, l2)

    @helper(inline=True)
    def part_sums(data, place, high, low, c):
        a1, a2 = two_steps(data, place, high, low, c, 0)
        b1, b2 = two_steps(data, place, high, low, c, 2)
        return ints_to_floats(add_ints(a1, b1)), ints_to_floats(add_ints(a2, b2))

    return part_sums


def part_sums(sixes, in_words=USES_WORDS):
    """The function (data, place, high, low, c) for the sums of both parts of 32 columns from c on, nothing subtracted.

    Exact integers, as floats; repacked_sums.py has those of 32 columns, and says why there are two ways.
    """
    return _part_sums_by_words(sixes) if in_words else _part_sums_by_bytes(sixes)


@helper(inline=True)
def _join_parts(sums_1, sums_2, scale_1, scale_2, zero, total, half, i):
    """Two parts of 16 columns from their sums; the zero is taken from what they have added up to, all of it exact."""
    minus, plus = splat_float(np.float32(-zero)), splat_float(np.float32(zero))
    of_half, of_total = splat_float(load_number(half, i)), splat_float(load_number(total, i))
    first = multiply_add(minus, of_half, sums_1)
    second = multiply_add(plus, of_half, multiply_add(minus, of_total, sums_2))
    return multiply_add(second, scale_2, multiply(first, scale_1))


@helper(inline=True)
def add_least(minima_1, minima_2, d, total, half, i, sums):
    """Minima of two parts times the sums of their activations."""
    of_half, of_total = load_number(half, i), load_number(total, i)
    scale = load_number(d, i)
    sums = multiply_add(minima_1, splat_float(scale * of_half), sums)
    return multiply_add(minima_2, splat_float(scale * (of_total - of_half)), sums)


def k_groups_of(sixes, in_words=USES_WORDS):
    """The product with one row of activations; numbers have six bits, or four."""
    sums_of_parts = part_sums(sixes, in_words)
    n_bytes = 384 if sixes else 256

    @helper
    def k_groups(data, layout, first, last, x, planes, y, at):
        high, low, d, total, half, _ = planes
        stride, n_blocks, zero, minima = layout[STRIDE], layout[N_BLOCKS], layout[ZERO], layout[MINIMA]
        place = layout[START] + stride * first * n_blocks
        step_of_32 = n_bytes + (64 if minima else 32)
        for group in range(first, last):
            result = splat_float(np.float32(0))
            for b in range(n_blocks):
                sums = least = splat_float(np.float32(0))
                for i in range(8 * b, 8 * b + 8):
                    at_scales = place + n_bytes
                    if minima:
                        minima_1 = unsigned_to_float(load_bytes(data, at_scales + 32))
                        minima_2 = unsigned_to_float(load_bytes(data, at_scales + 48))
                        least = add_least(minima_1, minima_2, d, total, half, i, least)
                    sums_1, sums_2 = sums_of_parts(data, place, high, low, 32 * i)
                    prefetch(data, place + 256 + AHEAD)
                    if sixes:
                        prefetch(data, place + 320 + AHEAD)
                    scale_1 = signed_to_float(load_bytes(data, at_scales))
                    scale_2 = signed_to_float(load_bytes(data, at_scales + 16))
                    both = _join_parts(sums_1, sums_2, scale_1, scale_2, zero, total, half, i)
                    sums = multiply_add(both, splat_float(load_number(d, i)), sums)
                    place += step_of_32
                result = multiply_add(sums, load_halves(data, place), result)
                place += 32
                if minima:
                    result = multiply_add(least, load_halves(data, place), result)
                    place += 32
            store_floats(y, at + 16 * (group - first), result)

    return k_groups
