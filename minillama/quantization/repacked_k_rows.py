"""Numba kernels for many rows of activations and a matrix with a scale for every 16 columns: Q2_K, Q3_K and Q6_K.

With many rows there is time to multiply every number by its s first, 13 bits and exact, and x is whole again,
15 bits: half as many products as with bytes and planes, and one sum for 32 columns. 32 products of 28 bits are all
that an int32 holds.

Four groups of 16 rows of the matrix are unpacked together, 32 columns at a time, into memory that stays in the
first-level cache, and meet four rows of activations at once: 16 sums, none of which waits for its own last addition.
"""

from __future__ import annotations

import numpy as np

from ..compute.jit import helper, threaded
from ..compute.simd import load_floats, load_halves, load_number, multiply, multiply_add, splat_float, store_floats
from ..compute.simd_bytes import ints_to_floats, load_bytes, splat_int, unsigned_to_float
from ..compute.simd_packed import dot2, load_words, scaled_even, scaled_odd, store_joined, store_words
from .repacked_k_kernels import add_least, numbers_of
from .repacked_layout import K_NIBBLES, K_SIXES, MINIMA, N_BLOCKS, N_GROUPS, START, STRIDE, ZERO

# Multiplications from which a second thread saves more than it costs.
_THREADED_SIZE = 131_072
# Rows of activations that meet four groups once they are unpacked.
_TILE = 64
_FOUR = 4 * 16  # outputs of four groups


@threaded(from_size=_THREADED_SIZE)
def _join_rows(first, last, high, low, tiles):
    """Whole activations, as words, in the order in which the tiles are read."""
    for n in range(first, last):
        tile, row = tiles[n // _TILE], n % _TILE
        for b in range(high.shape[1] // 32):
            at = 32 * (_TILE * b + row)
            store_joined(tile, at, high[n], low[n], 32 * b)
            store_joined(tile, at + 16, high[n], low[n], 32 * b + 16)


def _unpack_of(sixes):
    """32 columns of a group, each number less the zero and times its scale: 16 times two columns."""
    numbers = numbers_of(sixes)
    at_scales = 384 if sixes else 256

    @helper
    def unpack(data, place, zero, words, at):
        """Every 64 bytes of four groups belong together: those of this one are at `at`, and four times as far on."""
        scale_1, scale_2 = load_bytes(data, place + at_scales), load_bytes(data, place + at_scales + 16)
        for step in range(4):
            first, second = numbers(data, place, step)
            to = at + 4 * 32 * 2 * step
            store_words(words, to, scaled_even(first, scale_1, zero))
            store_words(words, to + 4 * 32, scaled_odd(first, scale_1, zero))
            store_words(words, to + 4 * 32 * 8, scaled_even(second, scale_2, zero))
            store_words(words, to + 4 * 32 * 9, scaled_odd(second, scale_2, zero))

    return unpack


@helper(inline=True)
def _add_products(sums, words, x, c):
    """Two columns of four groups with one row of activations."""
    return (
        dot2(sums[0], words[0], x, c), dot2(sums[1], words[1], x, c),
        dot2(sums[2], words[2], x, c), dot2(sums[3], words[3], x, c),
    )  # fmt: skip


@helper
def _four_by_four(words, x, c):
    """32 columns of four groups, unpacked, with four rows of activations of a tile."""
    nothing = splat_int(0)
    one = two = three = four = (nothing, nothing, nothing, nothing)
    for k in range(16):
        at = 4 * 32 * k
        w = load_words(words, at), load_words(words, at + 32), load_words(words, at + 64), load_words(words, at + 96)
        one, two = _add_products(one, w, x, c + 2 * k), _add_products(two, w, x, c + 32 + 2 * k)
        three, four = _add_products(three, w, x, c + 64 + 2 * k), _add_products(four, w, x, c + 96 + 2 * k)
    return one, two, three, four


@helper(inline=True)
def _add_row(products, sizes, d, sums, at):
    """The sums of 32 columns, as the numbers that they stand for, added to 4 times 16 outputs."""
    for g in range(4):
        place, scale = at + 16 * g, multiply(load_floats(sizes, 16 * g), splat_float(d))
        store_floats(sums, place, multiply_add(ints_to_floats(products[g]), scale, load_floats(sums, place)))


@helper
def _add_minima(data, place, end, planes_of_floats, n_parts, i, first, last, sums, group):
    """Minima of 32 columns of one group with every row of the tile."""
    d, total, half = planes_of_floats
    size = load_halves(data, end)
    minima_1 = multiply(unsigned_to_float(load_bytes(data, place)), size)
    minima_2 = multiply(unsigned_to_float(load_bytes(data, place + 16)), size)
    for n in range(last - first):
        b, at = n_parts * (first + n) + i, _FOUR * n + 16 * group
        store_floats(sums, at, add_least(minima_1, minima_2, d, total, half, b, load_floats(sums, at)))


def _k_rows_of(sixes):
    """The product of four groups of 16 rows with a tile of activations; the last group counts more than once at
    the end of a matrix."""
    unpack, n_bytes = _unpack_of(sixes), 384 if sixes else 256

    @helper
    def k_rows(data, layout, group, first, last, x, planes_of_floats, words, sizes, sums):
        """Rows first ... last - 1 of activations, those of a tile; x and sums are of that tile, and all are flat."""
        stride, n_blocks, zero, minima = layout[STRIDE], layout[N_BLOCKS], layout[ZERO], layout[MINIMA]
        step_of_32, n_parts = n_bytes + (64 if minima else 32), 8 * n_blocks
        for at in range(0, _FOUR * _TILE, 16):
            store_floats(sums, at, splat_float(np.float32(0)))
        for i in range(n_parts):
            for g in range(4):
                own = min(group + g, layout[N_GROUPS] - 1)
                block = layout[START] + stride * (own * n_blocks + i // 8)
                place, end = block + step_of_32 * (i % 8), block + 8 * step_of_32
                unpack(data, place, zero, words, 32 * g)
                store_floats(sizes, 16 * g, load_halves(data, end))
                if minima:
                    at_minima = place + n_bytes + 32
                    _add_minima(data, at_minima, end + 32, planes_of_floats, n_parts, i, first, last, sums, g)
            d = planes_of_floats[0]
            for n in range(0, last - first, 4):
                one, two, three, four = _four_by_four(words, x, 32 * (_TILE * i + n))
                at = n_parts * (first + n) + i
                least = n_parts * (last - 1) + i
                _add_row(one, sizes, load_number(d, at), sums, _FOUR * n)
                _add_row(two, sizes, load_number(d, min(at + n_parts, least)), sums, _FOUR * (n + 1))
                _add_row(three, sizes, load_number(d, min(at + 2 * n_parts, least)), sums, _FOUR * (n + 2))
                _add_row(four, sizes, load_number(d, min(at + 3 * n_parts, least)), sums, _FOUR * (n + 3))

    return k_rows


def _multiply_tiles_of(k_rows):
    @threaded(from_size=_THREADED_SIZE, borrows=False)
    def multiply_tiles(first, last, data, layout, tiles, d, total, half, y):
        """Groups of 16 rows of the matrix with any number of rows of activations."""
        words, sizes = np.empty(16 * 4 * 32, np.int16), np.empty(_FOUR, np.float32)
        sums = np.empty(_FOUR * _TILE, np.float32)
        for tile in range(len(tiles)):
            n, end = _TILE * tile, min(_TILE * (tile + 1), len(y))
            for group in range(first, last, 4):
                k_rows(data, layout, group, n, end, tiles[tile], (d, total, half), words, sizes, sums)
                for i in range(end - n):
                    for g in range(min(4, last - group)):
                        store_floats(y[n + i], 16 * (group + g), load_floats(sums, _FOUR * i + 16 * g))

    return multiply_tiles


_MULTIPLY_TILES = {K_NIBBLES: _multiply_tiles_of(_k_rows_of(False)), K_SIXES: _multiply_tiles_of(_k_rows_of(True))}


def multiply_k_rows(data, layout, planes, y):
    """Fill y (N, 16 * n_groups) as `repacked_rows.multiply_rows` does.

    What the innermost loop reads lies in the order in which it is read: rows of activations a power of two apart
    would share a few places of the cache.
    """
    n_rows, n_columns = planes.high.shape
    tiles = np.empty((-(-n_rows // _TILE), _TILE * n_columns), np.int16)
    _join_rows(n_rows, planes.high, planes.low, tiles, size=planes.high.size)
    flat = (part.reshape(-1) for part in (planes.d, planes.total, planes.half))
    numbers = np.array(layout, np.int64)
    _MULTIPLY_TILES[layout.kind](layout.n_groups, data, numbers, tiles, *flat, y, size=y.size * n_columns)
