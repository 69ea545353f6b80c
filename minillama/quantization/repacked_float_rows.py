"""Numba kernels for several rows of activations and a repacked matrix of floats.

Every sum is that of `float_groups` in repacked_kernels.py: four for each output, of every fourth column, so that none
waits for its own last addition. With four rows there are as many without that, so here one class of columns comes
after the other.
"""

from __future__ import annotations

import numpy as np

from ..compute.jit import helper
from ..compute.simd import (
    load_brain_floats,
    load_floats,
    load_halves,
    load_number,
    load_singles,
    multiply_add,
    splat_float,
    store_floats,
)
from .repacked_layout import N_BLOCKS, START


def _float_rows_of(load, n_bytes):
    """The kernel for matrices of floats of `n_bytes` bytes, 16 of which `load` reads."""

    @helper(inline=True)
    def add_column(data, place, column, rows, sums):
        weights = load(data, place + 16 * n_bytes * column)
        return (
            multiply_add(weights, splat_float(load_number(rows[0], column)), sums[0]),
            multiply_add(weights, splat_float(load_number(rows[1], column)), sums[1]),
            multiply_add(weights, splat_float(load_number(rows[2], column)), sums[2]),
            multiply_add(weights, splat_float(load_number(rows[3], column)), sums[3]),
        )

    @helper
    def four_rows(data, place, n_columns, a, b, c, d, scratch):
        """Into scratch: for each class of columns the sums of four rows."""
        rows, fours = (a, b, c, d), n_columns // 4 * 4
        nothing = splat_float(np.float32(0))
        for first in range(4):
            sums = (nothing, nothing, nothing, nothing)
            for column in range(first, fours, 4):
                sums = add_column(data, place, column, rows, sums)
            if first == 0:
                for column in range(fours, n_columns):
                    sums = add_column(data, place, column, rows, sums)
            store_floats(scratch, 64 * first, sums[0])
            store_floats(scratch, 64 * first + 16, sums[1])
            store_floats(scratch, 64 * first + 32, sums[2])
            store_floats(scratch, 64 * first + 48, sums[3])

    @helper
    def store_row(scratch, r, y, at):
        one, y0, y1 = splat_float(np.float32(1)), load_floats(scratch, 16 * r), load_floats(scratch, 16 * r + 64)
        y2, y3 = load_floats(scratch, 16 * r + 128), load_floats(scratch, 16 * r + 192)
        store_floats(y, at, multiply_add(multiply_add(y0, one, y1), one, multiply_add(y2, one, y3)))

    @helper
    def float_rows(data, layout, first, last, x, planes, y, at, scratch):
        n_columns, n_rows = layout[N_BLOCKS], len(x)
        for group in range(first, last):
            place = layout[START] + 16 * n_bytes * group * n_columns
            for n in range(0, n_rows, 4):
                end = n_rows - 1
                b, c, d = min(n + 1, end), min(n + 2, end), min(n + 3, end)
                four_rows(data, place, n_columns, x[n], x[b], x[c], x[d], scratch)
                for r in range(min(4, n_rows - n)):
                    store_row(scratch, r, y[n + r], at + 16 * (group - first))

    return float_rows


single_rows = _float_rows_of(load_singles, 4)
half_rows = _float_rows_of(load_halves, 2)
brain_rows = _float_rows_of(load_brain_floats, 2)
