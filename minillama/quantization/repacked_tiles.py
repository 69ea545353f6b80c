"""What the products of many rows of activations share: the scratch memory of a thread, and the walk through it.

The rows (at most 64) are laid down in the order in which tiles read them, a stretch of columns at a
time: for a block of 32 columns those of the first row, of the second … Beside them lie the factors
of each row and block. Rows a power of two apart, as in an array, would share a few places of the
cache. The weights of a block are unpacked once, into memory that stays in the first-level cache, and
meet all rows; there, too, the results of 16 outputs wait from block to block.

For a few rows storing the unpacked weights does not pay: they meet the rows from their registers.
"""

from __future__ import annotations

import numpy as np

from ..compute.jit import helper
from ..compute.simd import load_floats, splat_float, store_floats
from ..compute.simd_bytes import DOT4
from ..compute.simd_rows import add_tile, no_sums
from .repacked_layout import N_BLOCKS, ZERO

MOST_ROWS = 64  # of activations at once
# How many times 32 columns are laid down at once: a multiple of the eight of a block of 256.
STRETCH = 64
# Up to this many rows the unpacked weights are not stored: on x86, which multiplies words well.
FEW = {"avx2": 4, "avxvnni": 8, "avx512vnni": 24}.get(DOT4, MOST_ROWS)
# As many sums as registers hold beside what they are made of: rows of a tile with stored weights, and groups
# of 16 outputs; rows of a tile without.
TILE, GROUPS, FEW_TILE = {"avx512vnni": (4, 2, 4), "avx2": (4, 1, 4)}.get(DOT4, (4, 1, 2))

# Places in the scratch memory, in elements of float32. It begins with the activations, as int16.
FACTORS = MOST_ROWS * STRETCH * 32 // 2
N_FACTORS = 5  # of a row and block: d, what minima are multiplied with, and what sums begin with (int32)
WEIGHTS = FACTORS + N_FACTORS * MOST_ROWS * STRETCH  # 32 columns of each group, as int16
SCALES = WEIGHTS + GROUPS * 16 * 32 // 2
N_SCALES = 16 * 8  # up to eight vectors of each group
RESULTS = SCALES + GROUPS * N_SCALES  # of (rows, groups, 16 outputs)
N_RESULTS = MOST_ROWS * GROUPS * 16
ROWS_SCRATCH = RESULTS + 3 * N_RESULTS  # K types have sums inside sums


@helper(inline=True)
def _height_of(n_rows):
    """Rows with the one that fills up the last tile."""
    return (n_rows + 1) // 2 * 2


@helper(inline=True)
def _store_factors(space, at, height, zero, d, first, second):
    """Of a row and a block; `first` and `second` are sums of its activations."""
    floats, ints = space[0], space[2]
    floats[at], floats[at + height], floats[at + 2 * height] = d, d * first, d * second
    ints[at + 3 * height], ints[at + 4 * height] = -zero * np.int64(first), -zero * np.int64(second)


def lay_down_of(store, halves):
    """With activations as `store` writes them, and sums of whole blocks or of both of their halves."""

    @helper
    def lay_down_row(high, low, d, total, half, n, height, begin, end, zero, space):
        for b in range(begin, end):
            at = 32 * (height * (b - begin) + n)
            store(space[1], at, high, low, 32 * b)
            store(space[1], at + 16, high, low, 32 * b + 16)
            first, second = (half[b], total[b] - half[b]) if halves else (total[b], np.float32(0))
            _store_factors(space, FACTORS + N_FACTORS * height * (b - begin) + n, height, zero, d[b], first, second)

    @helper
    def lay_down(planes, height, begin, end, zero, space):
        """Blocks begin ... end - 1 of every row; the last one again where that fills up a tile."""
        high, low, d, total, half = planes
        for n in range(height):
            i = min(n, len(high) - 1)
            lay_down_row(high[i], low[i], d[i], total[i], half[i], n, height, begin, end, zero, space)

    return lay_down


def stored_products_of(n_rows, columns):
    """The sums of `n_rows` rows and all groups, over 32 columns or one half of them, from stored words."""
    n_sums = n_rows * GROUPS

    @helper(inline=True)
    def products(words, half, x):
        sums = no_sums(n_sums)
        for k in range(0, columns // 2, 2):
            at, column = 2 * WEIGHTS + 32 * GROUPS * (8 * half + k), x + 16 * half + 2 * k
            sums = add_tile(sums, words, at, words, column, GROUPS)
            sums = add_tile(sums, words, at + 32 * GROUPS, words, column + 2, GROUPS)
        return sums

    return products


@helper
def _read_results(y, at, height, width, n_own, is_first, floats):
    """What the columns before have come to, if there were any; sums inside sums begin anew."""
    nothing = splat_float(np.float32(0))
    for place in range(RESULTS, RESULTS + 16 * width * height, 16):
        store_floats(floats, place, nothing)
        store_floats(floats, place + N_RESULTS, nothing)
        store_floats(floats, place + 2 * N_RESULTS, nothing)
    if is_first:
        return
    for n in range(len(y)):
        for g in range(n_own):
            store_floats(floats, RESULTS + 16 * (width * n + g), load_floats(y[n], at + 16 * g))


@helper
def _write_results(y, at, width, n_own, floats):
    for n in range(len(y)):
        for g in range(n_own):
            store_floats(y[n], at + 16 * g, load_floats(floats, RESULTS + 16 * (width * n + g)))


def walk_of(width, n_tile, parts, lay_down, prepare, tile_of, finish):
    """The kernel for `width` times 16 outputs at a time.

    Parameters
    ----------
    n_tile : int
        Rows of a tile; two of them where no more are left.
    parts : int
        How many times 32 columns a block of the matrix has.
    lay_down : made by `lay_down_of`
    prepare : (data, layout, group, b, space, g)
        Store scales, and weights if they are to be, of block b of a group, as the one with number g.
    tile_of : makes for a number of rows (data, layout, group, b, space, x, factors, height, at)
        The products of block b of these rows, added to the results at `at`.
    finish : (layout, b, height, space)
        What is to be done after block b of all rows.
    """
    tile, two = tile_of(n_tile), tile_of(2)

    @helper
    def group_rows(data, layout, first, last, planes, y, at, scratch):
        space = scratch, scratch.view(np.int16), scratch.view(np.int32)
        height, n_blocks = _height_of(len(y)), parts * layout[N_BLOCKS]
        for begin in range(0, n_blocks, STRETCH):
            end = min(begin + STRETCH, n_blocks)
            lay_down(planes, height, begin, end, layout[ZERO], space)
            for group in range(first, last, width):
                here, n_own = at + 16 * (group - first), min(width, last - group)
                _read_results(y, here, height, width, n_own, begin == 0, scratch)
                for b in range(begin, end):
                    for g in range(width):
                        prepare(data, layout, group + min(g, n_own - 1), b, space, g)
                    x, factors = 32 * height * (b - begin), FACTORS + N_FACTORS * height * (b - begin)
                    whole = height // n_tile * n_tile
                    for n in range(0, whole, n_tile):
                        tile(data, layout, group, b, space, x + 32 * n, factors + n, height, RESULTS + 16 * width * n)
                    for n in range(whole, height, 2):
                        two(data, layout, group, b, space, x + 32 * n, factors + n, height, RESULTS + 16 * width * n)
                    finish(layout, b, height, space)
                _write_results(y, here, width, n_own, scratch)

    return group_rows
