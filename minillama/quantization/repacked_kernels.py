"""Numba kernels for interleaved matrices; the layout is explained in repacked.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..compute.jit import kernel, kernel_pair
from ..compute.simd import (
    load_brain_floats,
    load_floats,
    load_halves,
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

# Multiplications below which a second thread costs more than it saves.
_SERIAL_SIZE = 131_072


# Bytes ahead of what is multiplied that are asked for from memory.
_AHEAD = 16384
# How the numbers of a matrix are stored: `Layout.kind`.
BYTES, NIBBLES, SINGLES, HALVES, BRAINS = range(5)


class Planes(NamedTuple):
    """Rows of activations, each block of 32 rounded to 15 bits and a sign."""

    high: NDArray[np.int8]  # (N, C)   x = d * (128 * high + low)
    low: NDArray[np.int8]  # (N, C)
    d: NDArray[np.float32]  # (N, C / 32)
    total: NDArray[np.float32]  # (N, C / 32)  sum of 128 * high + low over the block, exact below 2 ** 24


@kernel(borrows=True)
def _round_half_block(x, at, factor, high, low):
    """16 numbers of a block into the two planes; returns the sum of 128 * high + low."""
    q = round_floats(multiply(load_floats(x, at), splat_float(factor)))
    upper = round_floats(multiply(q, splat_float(np.float32(1 / 128))))
    store_signed_bytes(high, at, upper)
    store_signed_bytes(low, at, multiply_add(upper, splat_float(np.float32(-128)), q))
    return sum_of(q)


@kernel(borrows=True)
def quantize_row(x, high, low, d, total):
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
            sums = _round_half_block(x, 32 * b, factor, high, low)
            sums += _round_half_block(x, 32 * b + 16, factor, high, low)
            total[b] = sums
        else:
            high[32 * b : 32 * b + 32] = 0
            low[32 * b : 32 * b + 32] = 0
            total[b] = 0


def _quantize_body(x, high, low, d, total):
    for n in prange(len(x)):
        quantize_row(x[n], high[n], low[n], d[n], total[n])


_quantize_serial, _quantize_parallel = kernel_pair(_quantize_body)


def no_planes(n_rows: int) -> Planes:
    """In place of `quantize_rows` for a matrix of floats, which takes the activations as they are."""
    nothing = np.empty((n_rows, 0), np.int8)
    return Planes(nothing, nothing, np.empty((n_rows, 0), np.float32), np.empty((n_rows, 0), np.float32))


def quantize_rows(x: NDArray[np.float32]) -> Planes:
    """Round rows (N, C), C a multiple of 32, into their planes."""
    n_rows, n_columns = x.shape
    planes = Planes(
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns // 32), np.float32),
        np.empty((n_rows, n_columns // 32), np.float32),
    )
    (_quantize_serial if x.size < _SERIAL_SIZE else _quantize_parallel)(x, *planes)
    return planes


# Helpers that take arrays are straight lines: Numba then sees that the arrays outlive them, and
# does not count references in the loops around them.


@kernel(borrows=True)
def _scales(data, at, wide):
    """The scales or minima of 16 rows, for one block of columns."""
    if wide:
        return load_singles(data, at)
    return load_halves(data, at)


@kernel(borrows=True)
def _add_nibbles(data, at, high, low, c, high_sums, low_sums):
    """Add the products of 128 numbers in the 64 bytes from `at` on: columns c ... c + 3 and c + 16 ... c + 19."""
    packed = load_64_bytes(data, at)
    prefetch(data, at + _AHEAD)
    first, second = low_nibbles(packed), high_nibbles(packed)
    high_sums = dot4(dot4(high_sums, first, high, c), second, high, c + 16)
    low_sums = dot4(dot4(low_sums, first, low, c), second, low, c + 16)
    return high_sums, low_sums


@kernel(borrows=True)
def _add_bytes(data, at, high, low, c, high_sums, low_sums):
    """Add the products of the 64 numbers from byte `at` on: columns c ... c + 3."""
    weights = load_64_bytes(data, at)
    prefetch(data, at + _AHEAD)
    return dot4(high_sums, weights, high, c), dot4(low_sums, weights, low, c)


@kernel(borrows=True)
def _integer_groups(data, layout, first, last, high, low, d, total, y, at):
    start, stride, n_blocks, nibbles = layout[0], layout[1], layout[3], layout[4] == NIBBLES
    zero, wide, minima = layout[5], layout[6], layout[7]
    scales, step_of_minima = 256 if nibbles else 512, 64 if wide else 32
    at_block = start + stride * first * n_blocks
    for group in range(first, last):
        result = splat_float(np.float32(0))
        for b in range(n_blocks):
            high_sums, low_sums = splat_int(0), splat_int(-zero * np.int64(total[b]))
            if nibbles:
                for step in range(4):
                    high_sums, low_sums = _add_nibbles(
                        data, at_block + 64 * step, high, low, 32 * b + 4 * step, high_sums, low_sums
                    )
            else:
                for step in range(8):
                    high_sums, low_sums = _add_bytes(
                        data, at_block + 64 * step, high, low, 32 * b + 4 * step, high_sums, low_sums
                    )
            prefetch(data, at_block + scales + _AHEAD)
            scale = multiply(_scales(data, at_block + scales, wide), splat_float(d[b]))
            result = multiply_add(join_planes(high_sums, low_sums), scale, result)
            if minima:
                minimum = _scales(data, at_block + scales + step_of_minima, wide)
                result = multiply_add(minimum, splat_float(d[b] * total[b]), result)
            at_block += stride
        store_floats(y, at + 16 * (group - first), result)


@kernel(borrows=True)
def _floats(data, at, index, kind):
    """The 16 weights of one column, whatever kind of float they are."""
    if kind == SINGLES:
        return load_singles(data, at + 64 * index)
    if kind == HALVES:
        return load_halves(data, at + 32 * index)
    return load_brain_floats(data, at + 32 * index)


@kernel(borrows=True)
def _float_groups(data, layout, kind, first, last, x, y, at):
    """Four sums at a time, because each has to wait for its own last addition."""
    place, n_columns = layout[0], layout[3]
    fours = n_columns // 4 * 4
    one = splat_float(np.float32(1))
    for group in range(first, last):
        start = group * n_columns
        y0 = y1 = y2 = y3 = splat_float(np.float32(0))
        for c in range(0, fours, 4):
            y0 = multiply_add(_floats(data, place, start + c, kind), splat_float(x[c]), y0)
            y1 = multiply_add(_floats(data, place, start + c + 1, kind), splat_float(x[c + 1]), y1)
            y2 = multiply_add(_floats(data, place, start + c + 2, kind), splat_float(x[c + 2]), y2)
            y3 = multiply_add(_floats(data, place, start + c + 3, kind), splat_float(x[c + 3]), y3)
        for c in range(fours, n_columns):
            y0 = multiply_add(_floats(data, place, start + c, kind), splat_float(x[c]), y0)
        total = multiply_add(multiply_add(y0, one, y1), one, multiply_add(y2, one, y3))
        store_floats(y, at + 16 * (group - first), total)


@kernel(borrows=True)
def multiply_groups(data, layout, first, last, x, high, low, d, total, y, at):
    """Groups `first` ... `last` - 1 of 16 rows of a matrix times one row of activations.

    The activations are x, or their planes where the matrix has integers; the products go to y
    from element `at` on.
    """
    kind = layout[4]
    if kind < SINGLES:
        _integer_groups(data, layout, first, last, high, low, d, total, y, at)
    elif kind == SINGLES:
        _float_groups(data, layout, SINGLES, first, last, x, y, at)
    elif kind == HALVES:
        _float_groups(data, layout, HALVES, first, last, x, y, at)
    else:
        _float_groups(data, layout, BRAINS, first, last, x, y, at)


@kernel(borrows=True)
def _weights_of_step(data, at, step, nibbles):
    """64 numbers of a block: 4 neighbouring columns of 16 rows."""
    if nibbles:
        packed = load_64_bytes(data, at + 64 * (step % 4))
        return low_nibbles(packed) if step < 4 else high_nibbles(packed)
    return load_64_bytes(data, at + 64 * step)


@kernel(borrows=True)
def _scaled_sums(high_sums, low_sums, scale, minimum, d, total, y, at):
    """Add the sums of one block, as the numbers that they stand for, to 16 outputs."""
    result = multiply_add(join_planes(high_sums, low_sums), multiply(scale, splat_float(d)), load_floats(y, at))
    store_floats(y, at, multiply_add(minimum, splat_float(d * total), result))


@kernel(borrows=True)
def _four_rows(data, layout, group, n_groups, high, low, d, total, n, y):
    """Rows n ... n + 3 of activations times one group or two: 4 x 32 outputs.

    A number of the weights then serves four rows and one of the activations 32 columns of the
    result, and the sixteen sums of a block stay in registers.
    """
    start, stride, n_blocks, nibbles = layout[0], layout[1], layout[3], layout[4] == NIBBLES
    zero, wide, minima = layout[5], layout[6], layout[7]
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
            w, v = _weights_of_step(data, here, step, nibbles), _weights_of_step(data, there, step, nibbles)
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


@kernel(borrows=True)
def _multiply_range(data, layout, x, high, low, d, total, y, first, last):
    n_rows = len(high)
    fours = n_rows // 4 * 4 if layout[4] < SINGLES else 0
    if fours:
        for group in range(first, last, 2):
            for n in range(0, fours, 4):
                _four_rows(data, layout, group, min(2, last - group), high, low, d, total, n, y)
    for n in range(fours, n_rows):
        multiply_groups(data, layout, first, last, x[n], high[n], low[n], d[n], total[n], y[n], 16 * first)


@kernel(parallel=True)
def _multiply_parallel(data, layout, x, high, low, d, total, y, n_parts):
    n_groups = layout[2]
    for part in prange(n_parts):
        first, last = part * n_groups // n_parts, (part + 1) * n_groups // n_parts
        _multiply_range(data, layout, x, high, low, d, total, y, first, last)


def multiply_rows(
    data: NDArray[np.uint8],
    layout: NDArray[np.int64],
    x: NDArray[np.float32],
    planes: Planes,
    y: NDArray[np.float32],
    n_threads: int,
) -> None:
    """Fill y (N, 16 * n_groups) with the products of N rows of activations and the matrix."""
    if n_threads == 1 or y.size * x.shape[1] < _SERIAL_SIZE:
        _multiply_range(data, layout, x, *planes, y, 0, int(layout[2]))
    else:
        _multiply_parallel(data, layout, x, *planes, y, n_threads)
