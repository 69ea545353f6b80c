"""Numba kernels for many rows of activations and a matrix with a scale for every 16 columns: Q2_K, Q3_K and Q6_K.

See repacked_tiles.py. Every step on floats is that of `k_groups` in repacked_k_kernels.py, in the same order: a row
comes out the same to the last bit, alone or among others.
"""

from __future__ import annotations

import functools

import numpy as np

from ..compute.jit import helper
from ..compute.simd import (
    load_floats,
    load_halves,
    load_number,
    multiply,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
)
from ..compute.simd_bytes import DOT4, ints_to_floats, load_bytes, signed_to_float, unsigned_to_float
from ..compute.simd_packed import store_joined, store_words
from ..compute.simd_rows import add_rows, row_sum, start_rows, store_row
from ..compute.simd_words import even_words, odd_words
from .repacked_k_kernels import k_groups_of, numbers_of
from .repacked_layout import AHEAD, MINIMA, N_BLOCKS, START, STRIDE, ZERO, Planes
from .repacked_tiles import (
    FEW,
    FEW_TILE,
    GROUPS,
    MOST_ROWS,
    N_RESULTS,
    N_SCALES,
    RESULTS,
    SCALES,
    TILE,
    WEIGHTS,
    lay_down_of,
    stored_products_of,
    walk_of,
)

# Up to this many rows, each by itself is faster than anything that is made ready for all of them.
_ALONE = 3 if DOT4 in ("avx512vnni", "avxvnni") else 1
# Places from the results on: the sums of a block of 256 columns, and those of its minima.
_SUMS, _LEAST = N_RESULTS, 2 * N_RESULTS


def _bytes_of(sixes):
    """Bytes of the numbers of 16 rows and 32 columns."""
    return 384 if sixes else 256


@helper(inline=True)
def _place_of(layout, n_bytes, group, b):
    block = layout[START] + layout[STRIDE] * (group * layout[N_BLOCKS] + b // 8)
    return block + (n_bytes + (64 if layout[MINIMA] else 32)) * (b % 8)


@helper(inline=True)
def _store_scales(data, layout, n_bytes, place, b, floats, g):
    """Scales and minima of both halves of 32 columns; after the last of a block those that give them their size."""
    at, to, minima = place + n_bytes, SCALES + N_SCALES * g, layout[MINIMA]
    store_floats(floats, to, signed_to_float(load_bytes(data, at)))
    store_floats(floats, to + 16, signed_to_float(load_bytes(data, at + 16)))
    end = at + 32
    if minima:
        store_floats(floats, to + 32, unsigned_to_float(load_bytes(data, at + 32)))
        store_floats(floats, to + 48, unsigned_to_float(load_bytes(data, at + 48)))
        end += 32
    if b % 8 == 7:
        store_floats(floats, to + 64, load_halves(data, end))
        if minima:
            store_floats(floats, to + 80, load_halves(data, end + 32))


def _prepare_few_of(sixes):
    n_bytes = _bytes_of(sixes)

    @helper(inline=True)
    def prepare(data, layout, group, b, space, g):
        place = _place_of(layout, n_bytes, group, b)
        for line in range(0, n_bytes, 64):
            prefetch(data, place + line + AHEAD)
        _store_scales(data, layout, n_bytes, place, b, space[0], g)

    return prepare


def _prepare_many_of(sixes):
    numbers, n_bytes = numbers_of(sixes), _bytes_of(sixes)

    @helper(inline=True)
    def prepare(data, layout, group, b, space, g):
        place, zero, words = _place_of(layout, n_bytes, group, b), layout[ZERO], space[1]
        for line in range(0, n_bytes, 64):
            prefetch(data, place + line + AHEAD)
        _store_scales(data, layout, n_bytes, place, b, space[0], g)
        for step in range(4):
            first, second = numbers(data, place, step)
            at, further = 2 * WEIGHTS + 32 * (2 * GROUPS * step + g), 32 * GROUPS
            store_words(words, at, even_words(first, zero))
            store_words(words, at + further, odd_words(first, zero))
            store_words(words, at + 8 * further, even_words(second, zero))
            store_words(words, at + 9 * further, odd_words(second, zero))

    return prepare


@helper(inline=True)
def _scale_first(product, g, floats):
    """The products of the first 16 columns with one row, times their scales."""
    return multiply(product, load_floats(floats, SCALES + N_SCALES * g))


@helper(inline=True)
def _add_second(first, product, g, factors, height, minima, floats, at):
    """The products of both halves added to the sums of the block, and their minima likewise."""
    scales = SCALES + N_SCALES * g
    both = multiply_add(product, load_floats(floats, scales + 16), first)
    sums = multiply_add(both, splat_float(load_number(floats, factors)), load_floats(floats, at + _SUMS))
    store_floats(floats, at + _SUMS, sums)
    if minima:
        of_first, of_second = load_number(floats, factors + height), load_number(floats, factors + 2 * height)
        least = multiply_add(load_floats(floats, scales + 32), splat_float(of_first), load_floats(floats, at + _LEAST))
        least = multiply_add(load_floats(floats, scales + 48), splat_float(of_second), least)
        store_floats(floats, at + _LEAST, least)


def _stored_tile_of(n_rows):
    products = stored_products_of(n_rows, 16)

    @helper(inline=True)
    def tile(data, layout, group, b, space, x, factors, height, at):
        floats, minima = space[0], layout[MINIMA]
        first, second = products(space[1], 0, x), products(space[1], 1, x)
        for r in range(n_rows):
            for g in range(GROUPS):
                i = GROUPS * r + g
                upper = _scale_first(ints_to_floats(first[i]), g, floats)
                _add_second(upper, ints_to_floats(second[i]), g, factors + r, height, minima, floats, at + 16 * i)

    return tile


def _direct_tile(sixes, n_rows):
    numbers, n_bytes = numbers_of(sixes), _bytes_of(sixes)

    @helper(inline=True)
    def tile(data, layout, group, b, space, x, factors, height, at):
        place, minima = _place_of(layout, n_bytes, group, b), layout[MINIMA]
        floats, words, ints = space
        first = start_rows(ints, factors + 3 * height, n_rows)
        second = start_rows(ints, factors + 4 * height, n_rows)
        for step in range(4):
            first = add_rows(first, numbers(data, place, step)[0], words, x + 4 * step)
        for step in range(4):
            second = add_rows(second, numbers(data, place, step)[1], words, x + 4 * step + 16)
        for r in range(n_rows):
            upper = _scale_first(row_sum(first, r), 0, floats)
            _add_second(upper, row_sum(second, r), 0, factors + r, height, minima, floats, at + 16 * r)

    return tile


def _finish_of(width):
    """Add the sums of a block of 256 columns to the results, if this was its last part."""

    @helper
    def finish_block(minima, height, floats):
        nothing = splat_float(np.float32(0))
        for i in range(width * height):
            at, scales = RESULTS + 16 * i, SCALES + N_SCALES * (i % width)
            sums, size = load_floats(floats, at + _SUMS), load_floats(floats, scales + 64)
            result = multiply_add(sums, size, load_floats(floats, at))
            store_floats(floats, at + _SUMS, nothing)
            if minima:
                least, size = load_floats(floats, at + _LEAST), load_floats(floats, scales + 80)
                result = multiply_add(least, size, result)
                store_floats(floats, at + _LEAST, nothing)
            store_floats(floats, at, result)

    @helper(inline=True)
    def finish(layout, b, height, space):
        if b % 8 == 7:
            finish_block(layout[MINIMA], height, space[0])

    return finish


def _k_rows_of(sixes):
    """The kernel for matrices whose numbers have six bits, or four."""
    if FEW == MOST_ROWS:
        walk = walk_of(
            1, FEW_TILE, 8, lay_down_of(store_row, True), _prepare_few_of(sixes),
            functools.partial(_direct_tile, sixes), _finish_of(1),
        )  # fmt: skip
    else:  # six bits and two sums are much to do twice: storing pays from two tiles on
        walk = walk_of(
            GROUPS, TILE, 8, lay_down_of(store_joined, True), _prepare_many_of(sixes),
            _stored_tile_of, _finish_of(GROUPS),
        )  # fmt: skip
    one_row = k_groups_of(sixes)

    @helper
    def k_rows(data, layout, first, last, x, planes, y, at, scratch):
        if len(y) > _ALONE:
            walk(data, layout, first, last, planes, y, at, scratch)
            return
        high, low, d, total, half, words = planes
        for group in range(first, last):  # the weights of one group stay in the cache
            for n in range(len(y)):
                row = Planes(high[n], low[n], d[n], total[n], half[n], words[n])
                one_row(data, layout, group, group + 1, x[n], row, y[n], at + 16 * (group - first))

    return k_rows


nibble_rows, six_rows = _k_rows_of(False), _k_rows_of(True)
