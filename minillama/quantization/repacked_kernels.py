"""Numba kernels for repacked matrices; the layout is explained in repacked.py."""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..compute.jit import helper, threaded
from ..compute.pointers import address_of, caller
from ..compute.simd import (
    load_brain_floats,
    load_floats,
    load_halves,
    load_number,
    load_singles,
    max_of,
    maximum,
    multiply,
    multiply_add,
    prefetch,
    round_floats,
    splat_float,
    store_floats,
    sum_of,
)
from ..compute.simd_bytes import (
    dot4,
    high_nibbles,
    join_planes,
    load_64_bytes,
    low_nibbles,
    splat_int,
    store_signed_bytes,
)
from ..compute.simd_packed import store_joined
from ..compute.simd_words import USES_WORDS
from .repacked_k_kernels import k_groups_of
from .repacked_k_rows import multiply_k_rows
from .repacked_layout import (
    AHEAD,
    BRAINS,
    BYTES,
    HALVES,
    K_NIBBLES,
    K_SIXES,
    KIND,
    LEVELS,
    MINIMA,
    N_BLOCKS,
    NIBBLES,
    SINGLES,
    START,
    STRIDE,
    WIDE,
    ZERO,
    MatrixLayout,
    Planes,
)
from .repacked_sums import byte_sums, level_sums, levels, nibble_sums, themselves

# Multiplications from which a second thread saves more than it costs.
_THREADED_SIZE = 131_072


@helper(inline=True)
def _round_half_block(x, at, factor, high, low, words):
    """16 numbers of a block into the two planes, and words; returns the sum of 128 * high + low."""
    q = round_floats(multiply(load_floats(x, at), splat_float(factor)))
    upper = round_floats(multiply(q, splat_float(np.float32(1 / 128))))
    store_signed_bytes(high, at, upper)
    store_signed_bytes(low, at, multiply_add(upper, splat_float(np.float32(-128)), q))
    if USES_WORDS:
        store_joined(words, at, high, low, at)
    return sum_of(q)


@helper
def quantize_row(x, high, low, d, total, half, words):
    """Round one row (C,) into its planes; a block that is not finite gets the scale NaN."""
    zero, minus_one = splat_float(np.float32(0)), splat_float(np.float32(-1))
    for b in range(d.size):
        one, two = load_floats(x, 32 * b), load_floats(x, 32 * b + 16)
        sizes = maximum(maximum(one, multiply(one, minus_one)), maximum(two, multiply(two, minus_one)))
        largest = max_of(maximum(sizes, zero))  # 0 instead of NaN
        check = sum_of(multiply_add(one, zero, multiply(two, zero)))  # NaN if any is NaN or infinite
        d[b] = largest / np.float32(127 * 128) + check
        usable = largest > 0 and check == 0
        factor = np.float32(127 * 128) / largest if usable else np.float32(0)
        if usable:
            half[b] = _round_half_block(x, 32 * b, factor, high, low, words)
            total[b] = half[b] + _round_half_block(x, 32 * b + 16, factor, high, low, words)
        else:
            high[32 * b : 32 * b + 32] = 0
            low[32 * b : 32 * b + 32] = 0
            words[32 * b : 32 * b + 32] = 0
            total[b] = half[b] = 0


@threaded(from_size=_THREADED_SIZE)
def _quantize(first, last, x, high, low, d, total, half, words):
    for n in range(first, last):
        quantize_row(x[n], high[n], low[n], d[n], total[n], half[n], words[n])


def no_planes(n_rows: int) -> Planes:
    """In place of `quantize_rows` for a matrix of floats, which takes the activations as they are."""
    numbers, blocks = np.empty((n_rows, 0), np.int8), np.empty((n_rows, 0), np.float32)
    return Planes(numbers, numbers, blocks, blocks, blocks, np.empty((n_rows, 0), np.int16))


def quantize_rows(x: NDArray[np.float32]) -> Planes:
    """Round rows (N, C), C a multiple of 32, into their planes."""
    n_rows, n_columns = x.shape
    planes = Planes(
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns // 32), np.float32),
        np.empty((n_rows, n_columns // 32), np.float32),
        np.empty((n_rows, n_columns // 32), np.float32),
        np.empty((n_rows, n_columns if USES_WORDS else 0), np.int16),
    )
    _quantize(n_rows, x, *planes, size=x.size)
    return planes


@helper(inline=True)
def _scales(data, at, wide):
    """The scales or minima of 16 rows, for one block of columns."""
    if wide:
        return load_singles(data, at)
    return load_halves(data, at)


def _integer_groups_of(sums_of_nibbles, sums_of_bytes):
    """The kernel for matrices of integers, from the sums of a block; those of nibbles say what nibbles stand for."""

    @helper
    def integer_groups(data, layout, first, last, x, planes, y, at):
        stride, n_blocks, nibbles = layout[STRIDE], layout[N_BLOCKS], layout[KIND] != BYTES
        zero, wide, minima = layout[ZERO], layout[WIDE], layout[MINIMA]
        scales, step_of_minima = 256 if nibbles else 512, 64 if wide else 32
        at_block = layout[START] + stride * first * n_blocks
        for group in range(first, last):
            result = splat_float(np.float32(0))
            for b in range(n_blocks):
                d, total = load_number(planes.d, b), load_number(planes.total, b)
                if nibbles:
                    sums = sums_of_nibbles(data, at_block, planes, b, zero)
                else:
                    sums = sums_of_bytes(data, at_block, planes, b, zero)
                prefetch(data, at_block + scales + AHEAD)
                scale = multiply(_scales(data, at_block + scales, wide), splat_float(d))
                result = multiply_add(sums, scale, result)
                if minima:
                    minimum = _scales(data, at_block + scales + step_of_minima, wide)
                    result = multiply_add(minimum, multiply(splat_float(d), splat_float(total)), result)
                at_block += stride
            store_floats(y, at + 16 * (group - first), result)

    return integer_groups


def _float_groups(load, n_bytes):
    """The kernel for matrices of floats of `n_bytes` bytes, 16 of which `load` reads."""

    @helper
    def float_groups(data, layout, first, last, x, planes, y, at):
        """Four sums at a time, because each has to wait for its own last addition."""
        start, n_columns = layout[START], layout[N_BLOCKS]
        fours = n_columns // 4 * 4
        one = splat_float(np.float32(1))
        for group in range(first, last):
            place = start + 16 * n_bytes * group * n_columns
            y0 = y1 = y2 = y3 = splat_float(np.float32(0))
            for c in range(0, fours, 4):
                column = place + 16 * n_bytes * c
                y0 = multiply_add(load(data, column), splat_float(x[c]), y0)
                y1 = multiply_add(load(data, column + 16 * n_bytes), splat_float(x[c + 1]), y1)
                y2 = multiply_add(load(data, column + 32 * n_bytes), splat_float(x[c + 2]), y2)
                y3 = multiply_add(load(data, column + 48 * n_bytes), splat_float(x[c + 3]), y3)
            for c in range(fours, n_columns):
                y0 = multiply_add(load(data, place + 16 * n_bytes * c), splat_float(x[c]), y0)
            total = multiply_add(multiply_add(y0, one, y1), one, multiply_add(y2, one, y3))
            store_floats(y, at + 16 * (group - first), total)

    return float_groups


# --- the products of one row of activations: called by address, only the kinds that a model has are compiled

_integer_groups = _integer_groups_of(nibble_sums(), byte_sums())
_BY_KIND = {
    BYTES: _integer_groups,
    NIBBLES: _integer_groups,
    LEVELS: _integer_groups_of(level_sums(), byte_sums()),
    K_NIBBLES: k_groups_of(sixes=False),
    K_SIXES: k_groups_of(sixes=True),
    SINGLES: _float_groups(load_singles, 4),
    HALVES: _float_groups(load_halves, 2),
    BRAINS: _float_groups(load_brain_floats, 2),
}
_FLOATS = types.Array(types.float32, 1, "C")
_SIGNED_BYTES = types.Array(types.int8, 1, "C")
_WORDS = types.Array(types.int16, 1, "C")
_ROW_ARGUMENTS = (
    types.Array(types.uint8, 1, "C"), types.Array(types.int64, 1, "C"), types.intp, types.intp, _FLOATS,
    types.NamedTuple((_SIGNED_BYTES, _SIGNED_BYTES, _FLOATS, _FLOATS, _FLOATS, _WORDS), Planes), _FLOATS, types.intp,
)  # fmt: skip
# multiply_groups(address, (data, layout, first, last, x, planes, y, at)): groups `first` ... `last` - 1 of 16 rows
# of a matrix times one row of activations: x, or its planes where the matrix has integers. The products go to
# y from element `at` on.
multiply_groups = caller(_ROW_ARGUMENTS)


@functools.cache
def address_of_kind(kind: int) -> int:
    """What `multiply_groups` takes for a kind of matrix."""
    return address_of(_BY_KIND[kind], _ROW_ARGUMENTS)


@helper(inline=True)
def _scaled_sums(high_sums, low_sums, scale, minimum, d, total, y, at):
    """Add the sums of one block, as the numbers that they stand for, to 16 outputs."""
    result = multiply_add(join_planes(high_sums, low_sums), multiply(scale, splat_float(d)), load_floats(y, at))
    store_floats(y, at, multiply_add(minimum, splat_float(d * total), result))


def _four_rows_of(meaning):
    @helper(inline=True)
    def weights_of_step(data, at, step, nibbles):
        """64 numbers of a block: 4 neighbouring columns of 16 rows."""
        if nibbles:
            packed = load_64_bytes(data, at + 64 * (step % 4))
            return meaning(low_nibbles(packed) if step < 4 else high_nibbles(packed))
        return load_64_bytes(data, at + 64 * step)

    @helper
    def four_rows(data, layout, group, n_groups, high, low, d, total, n, y):
        """Rows n ... n + 3 of activations times one group or two: 4 x 32 outputs.

        A number of the weights then serves four rows and one of the activations 32 columns of the
        result, and the sixteen sums of a block stay in registers.
        """
        start, stride, n_blocks, nibbles = layout[START], layout[STRIDE], layout[N_BLOCKS], layout[KIND] != BYTES
        zero, wide, minima = layout[ZERO], layout[WIDE], layout[MINIMA]
        scales, step_of_minima = 256 if nibbles else 512, 64 if wide else 32
        ha, hb, hc, hd = high[n], high[n + 1], high[n + 2], high[n + 3]
        la, lb, lc, ld = low[n], low[n + 1], low[n + 2], low[n + 3]
        other = n_groups - 1  # 1 if there is a second group; otherwise the first is computed twice
        nothing = splat_float(np.float32(0))
        for i in range(n, n + 4):
            store_floats(y[i], 16 * group, nothing)
            store_floats(y[i], 16 * (group + other), nothing)
        for b in range(n_blocks):
            here, x = start + stride * (group * n_blocks + b), 32 * b
            there = here + stride * n_blocks * other
            h0 = h1 = h2 = h3 = g0 = g1 = g2 = g3 = splat_int(0)
            l0 = l1 = l2 = l3 = splat_int(0)
            if zero:
                l0, l1 = splat_int(-zero * np.int64(total[n, b])), splat_int(-zero * np.int64(total[n + 1, b]))
                l2, l3 = splat_int(-zero * np.int64(total[n + 2, b])), splat_int(-zero * np.int64(total[n + 3, b]))
            m0, m1, m2, m3 = l0, l1, l2, l3
            for step in range(8):
                w, v = weights_of_step(data, here, step, nibbles), weights_of_step(data, there, step, nibbles)
                at = x + 4 * step
                h0, l0, g0, m0 = dot4(h0, w, ha, at), dot4(l0, w, la, at), dot4(g0, v, ha, at), dot4(m0, v, la, at)
                h1, l1, g1, m1 = dot4(h1, w, hb, at), dot4(l1, w, lb, at), dot4(g1, v, hb, at), dot4(m1, v, lb, at)
                h2, l2, g2, m2 = dot4(h2, w, hc, at), dot4(l2, w, lc, at), dot4(g2, v, hc, at), dot4(m2, v, lc, at)
                h3, l3, g3, m3 = dot4(h3, w, hd, at), dot4(l3, w, ld, at), dot4(g3, v, hd, at), dot4(m3, v, ld, at)
            here, there = here + scales, there + scales
            scale, minimum = _scales(data, here, wide), nothing
            scale_2, minimum_2 = _scales(data, there, wide), nothing
            if minima:
                minimum = _scales(data, here + step_of_minima, wide)
                minimum_2 = _scales(data, there + step_of_minima, wide)
            _scaled_sums(h0, l0, scale, minimum, d[n, b], total[n, b], y[n], 16 * group)
            _scaled_sums(h1, l1, scale, minimum, d[n + 1, b], total[n + 1, b], y[n + 1], 16 * group)
            _scaled_sums(h2, l2, scale, minimum, d[n + 2, b], total[n + 2, b], y[n + 2], 16 * group)
            _scaled_sums(h3, l3, scale, minimum, d[n + 3, b], total[n + 3, b], y[n + 3], 16 * group)
            if other:
                at = 16 * group + 16
                _scaled_sums(g0, m0, scale_2, minimum_2, d[n, b], total[n, b], y[n], at)
                _scaled_sums(g1, m1, scale_2, minimum_2, d[n + 1, b], total[n + 1, b], y[n + 1], at)
                _scaled_sums(g2, m2, scale_2, minimum_2, d[n + 2, b], total[n + 2, b], y[n + 2], at)
                _scaled_sums(g3, m3, scale_2, minimum_2, d[n + 3, b], total[n + 3, b], y[n + 3], at)

    return four_rows


def _multiply_fours_of(four_rows):
    @threaded(from_size=_THREADED_SIZE)
    def multiply_fours(first, last, data, layout, x, high, low, d, total, y):
        """Groups of 16 rows of a matrix of integers with activations whose number is a multiple of four."""
        for group in range(first, last, 2):
            for n in range(0, len(high), 4):
                four_rows(data, layout, group, min(2, last - group), high, low, d, total, n, y)

    return multiply_fours


_multiply_fours = _multiply_fours_of(_four_rows_of(themselves))
_FOURS = {BYTES: _multiply_fours, NIBBLES: _multiply_fours, LEVELS: _multiply_fours_of(_four_rows_of(levels))}


@threaded(from_size=_THREADED_SIZE)
def _multiply_each(first, last, data, layout, x, high, low, d, total, half, words, y, address):
    """Groups of 16 rows of the matrix with every row of activations by itself."""
    for n in range(len(high)):
        planes = Planes(high[n], low[n], d[n], total[n], half[n], words[n])
        multiply_groups(address, (data, layout, first, last, x[n], planes, y[n], 16 * first))


def multiply_rows(
    data: NDArray[np.uint8], layout: MatrixLayout, x: NDArray[np.float32], planes: Planes, y: NDArray[np.float32]
) -> None:
    """Fill y (N, 16 * n_groups) with the products of N rows of activations and the matrix."""
    if layout.kind in (K_NIBBLES, K_SIXES) and len(x) > 1:
        multiply_k_rows(data, layout, planes, y)
        return
    numbers, size = np.array(layout, np.int64), y.size * x.shape[1]
    fours = len(x) // 4 * 4 if layout.kind in _FOURS else 0
    if fours:
        rows = (a[:fours] for a in (x, *planes[:4], y))
        _FOURS[layout.kind](layout.n_groups, data, numbers, *rows, size=size)
    if fours < len(x):
        rest = (a[fours:] for a in (x, *planes, y))
        _multiply_each(layout.n_groups, data, numbers, *rest, address_of_kind(layout.kind), size=size)
