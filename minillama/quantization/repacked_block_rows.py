"""Numba kernels for many rows of activations and a matrix with a scale for every 32 columns; see repacked_tiles.py.

Every step on floats is that of `integer_groups` in repacked_kernels.py, in the same order: a row comes out the
same to the last bit, alone or among others.
"""

from __future__ import annotations

import functools

from ..compute.jit import helper
from ..compute.simd import load_floats, load_number, multiply, multiply_add, prefetch, splat_float, store_floats
from ..compute.simd_bytes import high_nibbles, ints_to_floats, load_64_bytes, low_nibbles
from ..compute.simd_packed import store_joined, store_words
from ..compute.simd_rows import add_rows, even_words, odd_words, row_sum, start_rows, store_row
from .repacked_kernels import _levels, _scales, _themselves
from .repacked_layout import BYTES, KIND, MINIMA, N_BLOCKS, START, STRIDE, WIDE, ZERO
from .repacked_tiles import (
    FEW,
    FEW_TILE,
    GROUPS,
    N_SCALES,
    SCALES,
    TILE,
    WEIGHTS,
    lay_down_of,
    stored_products_of,
    walk_of,
)

# Bytes ahead of what is multiplied that are asked for from memory.
_AHEAD = 16384


@helper(inline=True)
def _place_of(layout, group, b):
    return layout[START] + layout[STRIDE] * (group * layout[N_BLOCKS] + b)


@helper(inline=True)
def _store_scales(data, layout, place, floats, g):
    at, wide = place + (512 if layout[KIND] == BYTES else 256), layout[WIDE]
    store_floats(floats, SCALES + N_SCALES * g, _scales(data, at, wide))
    if layout[MINIMA]:
        store_floats(floats, SCALES + N_SCALES * g + 16, _scales(data, at + (64 if wide else 32), wide))


@helper(inline=True)
def _prepare_few(data, layout, group, b, space, g):
    _store_scales(data, layout, _place_of(layout, group, b), space[0], g)


def _prepare_many_of(meaning):
    @helper(inline=True)
    def prepare(data, layout, group, b, space, g):
        place, nibbles, zero = _place_of(layout, group, b), layout[KIND] != BYTES, layout[ZERO]
        _store_scales(data, layout, place, space[0], g)
        for step in range(4):
            packed = load_64_bytes(data, place + 64 * step)
            prefetch(data, place + 64 * step + _AHEAD)
            if nibbles:
                first, second = meaning(low_nibbles(packed)), meaning(high_nibbles(packed))
            else:
                first, second = packed, load_64_bytes(data, place + 64 * (step + 4))
                prefetch(data, place + 64 * (step + 4) + _AHEAD)
            at, further = 2 * WEIGHTS + 32 * (2 * GROUPS * step + g), 32 * GROUPS
            store_words(space[1], at, even_words(first, zero))
            store_words(space[1], at + further, odd_words(first, zero))
            store_words(space[1], at + 8 * further, even_words(second, zero))
            store_words(space[1], at + 9 * further, odd_words(second, zero))

    return prepare


@helper(inline=True)
def _add_block(products, factors, row, height, g, minima, floats, at):
    """The sums of one row and one group, as the numbers that they stand for, added to 16 results."""
    place = SCALES + N_SCALES * g
    d = splat_float(load_number(floats, factors + row))
    result = multiply_add(products, multiply(load_floats(floats, place), d), load_floats(floats, at))
    if minima:
        total = splat_float(load_number(floats, factors + height + row))
        result = multiply_add(load_floats(floats, place + 16), total, result)
    store_floats(floats, at, result)


def _stored_tile_of(n_rows):
    products = stored_products_of(n_rows, 32)

    @helper(inline=True)
    def tile(data, layout, group, b, space, x, factors, height, at):
        sums, minima = products(space[1], 0, x), layout[MINIMA]
        for r in range(n_rows):
            for g in range(GROUPS):
                i = GROUPS * r + g
                _add_block(ints_to_floats(sums[i]), factors, r, height, g, minima, space[0], at + 16 * i)

    return tile


def _direct_tile(meaning, n_rows):
    @helper(inline=True)
    def tile(data, layout, group, b, space, x, factors, height, at):
        place, words, minima = _place_of(layout, group, b), space[1], layout[MINIMA]
        sums = start_rows(space[2], factors + 3 * height, n_rows)
        if layout[KIND] != BYTES:
            for step in range(4):
                packed = load_64_bytes(data, place + 64 * step)
                prefetch(data, place + 64 * step + _AHEAD)
                sums = add_rows(sums, meaning(low_nibbles(packed)), words, x + 4 * step)
                sums = add_rows(sums, meaning(high_nibbles(packed)), words, x + 4 * step + 16)
        else:
            for step in range(8):
                sums = add_rows(sums, load_64_bytes(data, place + 64 * step), words, x + 4 * step)
                prefetch(data, place + 64 * step + _AHEAD)
        for r in range(n_rows):
            _add_block(row_sum(sums, r), factors, r, height, 0, minima, space[0], at + 16 * r)

    return tile


@helper(inline=True)
def _nothing_more(layout, b, height, space):
    """A block of 32 columns is done with its tiles."""


def block_rows_of(meaning):
    """The kernel for matrices of integers; `meaning` of what nibbles stand for."""
    few = walk_of(
        1,
        FEW_TILE,
        1,
        lay_down_of(store_row, False),
        _prepare_few,
        functools.partial(_direct_tile, meaning),
        _nothing_more,
    )
    many = walk_of(
        GROUPS, TILE, 1, lay_down_of(store_joined, False), _prepare_many_of(meaning), _stored_tile_of, _nothing_more
    )

    @helper
    def block_rows(data, layout, first, last, x, planes, y, at, scratch):
        if len(y) <= FEW:
            few(data, layout, first, last, planes, y, at, scratch)
        else:
            many(data, layout, first, last, planes, y, at, scratch)

    return block_rows


themselves_rows, levels_rows = block_rows_of(_themselves), block_rows_of(_levels)
