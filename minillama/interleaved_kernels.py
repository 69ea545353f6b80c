"""Numba kernels for interleaved matrices; the layout is explained in interleaved.py."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .jit import kernel, kernel_pair
from .simd import (
    load_brain_floats,
    load_halves,
    load_singles,
    multiply,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
)
from .simd_bytes import dot4, high_nibbles, join_planes, load_64_bytes, low_nibbles, splat_int

# Multiplications below which a second thread costs more than it saves.
_SERIAL_SIZE = 131_072


# Bytes ahead of what is multiplied that are asked for from memory.
_AHEAD = 4096
# How the numbers of a matrix are stored: `Layout.kind`.
BYTES, NIBBLES, SINGLES, HALVES, BRAINS = range(5)


class Planes(NamedTuple):
    """Rows of activations, each block of 32 rounded to 15 bits and a sign."""

    high: NDArray[np.int8]  # (N, C)   x = d * (128 * high + low)
    low: NDArray[np.int8]  # (N, C)
    d: NDArray[np.float32]  # (N, C / 32)
    total: NDArray[np.int64]  # (N, C / 32)  sum of 128 * high + low over the block


@kernel
def quantize_row(x, high, low, d, total):
    """Round one row (C,) into its planes; a block that is not finite gets the scale NaN."""
    for b in range(d.size):
        largest, check = np.float32(0), np.float32(0)
        for i in range(32 * b, 32 * b + 32):
            largest = max(largest, abs(x[i]))
            check += x[i] * np.float32(0)  # NaN if any number is NaN or infinite
        d[b] = largest / np.float32(127 * 128) + check
        factor = np.float32(0) if largest == 0 else np.float32(127 * 128) / largest
        count = np.int32(0)
        for i in range(32 * b, 32 * b + 32):
            q = np.rint(x[i] * factor)
            upper = np.rint(q * np.float32(1 / 128))
            high[i] = np.int8(np.int32(upper))
            low[i] = np.int8(np.int32(q - np.float32(128) * upper))
            count += np.int32(q)
        total[b] = count


def _quantize_body(x, high, low, d, total):
    for n in prange(len(x)):
        quantize_row(x[n], high[n], low[n], d[n], total[n])


_quantize_serial, _quantize_parallel = kernel_pair(_quantize_body)


def no_planes(n_rows: int) -> Planes:
    """In place of `quantize_rows` for a matrix of floats, which takes the activations as they are."""
    nothing = np.empty((n_rows, 0), np.int8)
    return Planes(nothing, nothing, np.empty((n_rows, 0), np.float32), np.empty((n_rows, 0), np.int64))


def quantize_rows(x: NDArray[np.float32]) -> Planes:
    """Round rows (N, C), C a multiple of 32, into their planes."""
    n_rows, n_columns = x.shape
    planes = Planes(
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns), np.int8),
        np.empty((n_rows, n_columns // 32), np.float32),
        np.empty((n_rows, n_columns // 32), np.int64),
    )
    (_quantize_serial if x.size < _SERIAL_SIZE else _quantize_parallel)(x, *planes)
    return planes


@kernel
def _scales(data, at, block, wide):
    """The scales or minima of 16 rows, for one block of columns."""
    if wide:
        return load_singles(data, at + 64 * block)
    return load_halves(data, at + 32 * block)


@kernel
def _floats(data, at, index, kind):
    """The 16 weights of one column, whatever kind of float they are."""
    if kind == SINGLES:
        return load_singles(data, at + 64 * index)
    if kind == HALVES:
        return load_halves(data, at + 32 * index)
    return load_brain_floats(data, at + 32 * index)


@kernel
def _row_group_of_floats(data, layout, group, x):
    """Four sums at a time, because each has to wait for its own last addition."""
    at, n_columns, kind = layout[0], layout[4], layout[5]
    first, fours = group * n_columns, n_columns // 4 * 4
    y0 = y1 = y2 = y3 = splat_float(np.float32(0))
    for c in range(0, fours, 4):
        y0 = multiply_add(_floats(data, at, first + c, kind), splat_float(x[c]), y0)
        y1 = multiply_add(_floats(data, at, first + c + 1, kind), splat_float(x[c + 1]), y1)
        y2 = multiply_add(_floats(data, at, first + c + 2, kind), splat_float(x[c + 2]), y2)
        y3 = multiply_add(_floats(data, at, first + c + 3, kind), splat_float(x[c + 3]), y3)
    for c in range(fours, n_columns):
        y0 = multiply_add(_floats(data, at, first + c, kind), splat_float(x[c]), y0)
    one = splat_float(np.float32(1))
    return multiply_add(multiply_add(y0, one, y1), one, multiply_add(y2, one, y3))


@kernel
def row_group(data, layout, group, x, high, low, d, total):
    """16 outputs: rows 16 * group … of the matrix with one row of activations x, or its planes."""
    if layout[5] >= SINGLES:
        return _row_group_of_floats(data, layout, group, x)
    return _row_group_of_integers(data, layout, group, high, low, d, total)


@kernel
def _row_group_of_integers(data, layout, group, high, low, d, total):
    quants, scales, minima, n_blocks = layout[0], layout[1], layout[2], layout[4]
    nibbles, zero, wide = layout[5] == NIBBLES, layout[6], layout[7]
    y = splat_float(np.float32(0))
    for b in range(n_blocks):
        block, c = group * n_blocks + b, 32 * b
        high_sums, low_sums = splat_int(0), splat_int(-zero * total[b])
        if nibbles:
            for step in range(4):
                packed = load_64_bytes(data, quants + 256 * block + 64 * step)
                prefetch(data, quants + 256 * block + 64 * step + _AHEAD)
                first, second = low_nibbles(packed), high_nibbles(packed)
                high_sums = dot4(dot4(high_sums, first, high, c + 4 * step), second, high, c + 16 + 4 * step)
                low_sums = dot4(dot4(low_sums, first, low, c + 4 * step), second, low, c + 16 + 4 * step)
        else:
            for step in range(8):
                weights = load_64_bytes(data, quants + 512 * block + 64 * step)
                prefetch(data, quants + 512 * block + 64 * step + _AHEAD)
                high_sums = dot4(high_sums, weights, high, c + 4 * step)
                low_sums = dot4(low_sums, weights, low, c + 4 * step)
        y = multiply_add(
            join_planes(high_sums, low_sums), multiply(_scales(data, scales, block, wide), splat_float(d[b])), y
        )
        if minima >= 0:
            y = multiply_add(_scales(data, minima, block, wide), splat_float(d[b] * np.float32(total[b])), y)
    return y


@kernel
def _four_rows(data, layout, group, high, low, d, total, n, y):
    """`row_group` for rows n … n + 3 of activations at once: the weights are unpacked once for the four."""
    quants, scales, minima, n_blocks = layout[0], layout[1], layout[2], layout[4]
    nibbles, zero, wide = layout[5] == NIBBLES, layout[6], layout[7]
    ha, hb, hc, hd = high[n], high[n + 1], high[n + 2], high[n + 3]
    la, lb, lc, ld = low[n], low[n + 1], low[n + 2], low[n + 3]
    ya = yb = yc = yd = splat_float(np.float32(0))
    for b in range(n_blocks):
        block, x = group * n_blocks + b, 32 * b
        h0 = h1 = h2 = h3 = splat_int(0)
        l0, l1 = splat_int(-zero * total[n, b]), splat_int(-zero * total[n + 1, b])
        l2, l3 = splat_int(-zero * total[n + 2, b]), splat_int(-zero * total[n + 3, b])
        for step in range(8):
            if nibbles:
                packed = load_64_bytes(data, quants + 256 * block + 64 * (step % 4))
                weights = low_nibbles(packed) if step < 4 else high_nibbles(packed)
            else:
                weights = load_64_bytes(data, quants + 512 * block + 64 * step)
            at = x + 4 * step
            h0, l0 = dot4(h0, weights, ha, at), dot4(l0, weights, la, at)
            h1, l1 = dot4(h1, weights, hb, at), dot4(l1, weights, lb, at)
            h2, l2 = dot4(h2, weights, hc, at), dot4(l2, weights, lc, at)
            h3, l3 = dot4(h3, weights, hd, at), dot4(l3, weights, ld, at)
        scale = _scales(data, scales, block, wide)
        ya = multiply_add(join_planes(h0, l0), multiply(scale, splat_float(d[n, b])), ya)
        yb = multiply_add(join_planes(h1, l1), multiply(scale, splat_float(d[n + 1, b])), yb)
        yc = multiply_add(join_planes(h2, l2), multiply(scale, splat_float(d[n + 2, b])), yc)
        yd = multiply_add(join_planes(h3, l3), multiply(scale, splat_float(d[n + 3, b])), yd)
        if minima >= 0:
            minimum = _scales(data, minima, block, wide)
            ya = multiply_add(minimum, splat_float(d[n, b] * np.float32(total[n, b])), ya)
            yb = multiply_add(minimum, splat_float(d[n + 1, b] * np.float32(total[n + 1, b])), yb)
            yc = multiply_add(minimum, splat_float(d[n + 2, b] * np.float32(total[n + 2, b])), yc)
            yd = multiply_add(minimum, splat_float(d[n + 3, b] * np.float32(total[n + 3, b])), yd)
    store_floats(y[n], 16 * group, ya)
    store_floats(y[n + 1], 16 * group, yb)
    store_floats(y[n + 2], 16 * group, yc)
    store_floats(y[n + 3], 16 * group, yd)


@kernel
def _multiply_groups(data, layout, x, high, low, d, total, y, first, last):
    n_rows = len(high)
    fours = n_rows // 4 * 4 if layout[5] < SINGLES else 0
    for group in range(first, last):
        for n in range(0, fours, 4):
            _four_rows(data, layout, group, high, low, d, total, n, y)
        for n in range(fours, n_rows):
            store_floats(y[n], 16 * group, row_group(data, layout, group, x[n], high[n], low[n], d[n], total[n]))


@kernel(parallel=True)
def _multiply_parallel(data, layout, x, high, low, d, total, y, n_parts):
    n_groups = layout[3]
    for part in prange(n_parts):
        first, last = part * n_groups // n_parts, (part + 1) * n_groups // n_parts
        _multiply_groups(data, layout, x, high, low, d, total, y, first, last)


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
        _multiply_groups(data, layout, x, *planes, y, 0, int(layout[3]))
    else:
        _multiply_parallel(data, layout, x, *planes, y, n_threads)
