"""Numba kernels for repacked matrices and many rows of activations; the layout is explained in repacked.py."""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..compute.jit import helper, threaded
from ..compute.pointers import address_of, caller
from ..compute.simd import load_floats, multiply, multiply_add, splat_float, store_floats
from ..compute.simd_bytes import dot4, high_nibbles, join_planes, load_64_bytes, low_nibbles, splat_int
from .repacked_block_rows import levels_rows, themselves_rows
from .repacked_tiles import ROWS_SCRATCH
from .repacked_k_rows import nibble_rows, six_rows
from .repacked_kernels import _BY_KIND, _levels, _scales, _themselves, address_of_kind, multiply_groups
from .repacked_layout import (
    BYTES,
    K_NIBBLES,
    K_SIXES,
    KIND,
    LEVELS,
    MINIMA,
    N_BLOCKS,
    NIBBLES,
    START,
    STRIDE,
    WIDE,
    ZERO,
    MatrixLayout,
    Planes,
)

# Multiplications from which a second thread saves more than it costs.
_THREADED_SIZE = 131_072


def _each_row_of(one_row):
    """The kernel for several rows of activations from that for one."""

    @helper
    def group_rows(data, layout, first, last, x, planes, y, at, scratch):
        high, low, d, total, half = planes
        for n in range(len(x)):
            one_row(data, layout, first, last, x[n], Planes(high[n], low[n], d[n], total[n], half[n]), y[n], at)

    return group_rows


# --- the products of several rows of activations, called by address as those of one are

_BY_KIND_ROWS = {BYTES: themselves_rows, NIBBLES: themselves_rows, LEVELS: levels_rows, K_NIBBLES: nibble_rows, K_SIXES: six_rows}
_FLOATS = types.Array(types.float32, 2, "C")
_SIGNED_BYTES = types.Array(types.int8, 2, "C")
_ROWS_ARGUMENTS = (
    types.Array(types.uint8, 1, "C"), types.Array(types.int64, 1, "C"), types.intp, types.intp, _FLOATS,
    types.NamedTuple((_SIGNED_BYTES, _SIGNED_BYTES, _FLOATS, _FLOATS, _FLOATS), Planes), _FLOATS, types.intp,
    types.Array(types.float32, 1, "C"),
)  # fmt: skip
# multiply_group_rows(address, (data, layout, first, last, x, planes, y, at, scratch)): groups `first` ... `last` - 1
# of 16 rows of a matrix times at most 64 rows of activations x (B, C), or their planes where the matrix has integers.
# The products go to y (B, ...) from column `at` on. Each row's are those of `multiply_groups`, to the last bit.
# scratch is memory of the thread alone, ROWS_SCRATCH elements.
multiply_group_rows = caller(_ROWS_ARGUMENTS)


@functools.cache
def address_of_rows_kind(kind: int) -> int:
    """What `multiply_group_rows` takes for a kind of matrix."""
    return address_of(_BY_KIND_ROWS[kind] if kind in _BY_KIND_ROWS else _each_row_of(_BY_KIND[kind]), _ROWS_ARGUMENTS)


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


_multiply_fours = _multiply_fours_of(_four_rows_of(_themselves))
_FOURS = {BYTES: _multiply_fours, NIBBLES: _multiply_fours, LEVELS: _multiply_fours_of(_four_rows_of(_levels))}


@threaded(from_size=_THREADED_SIZE)
def _multiply_each(first, last, data, layout, x, high, low, d, total, half, y, address):
    """Groups of 16 rows of the matrix with every row of activations by itself."""
    for n in range(len(high)):
        planes = Planes(high[n], low[n], d[n], total[n], half[n])
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
        rows = (a[fours:] for a in (x, *planes, y))
        _multiply_each(layout.n_groups, data, numbers, *rows, address_of_kind(layout.kind), size=size)
