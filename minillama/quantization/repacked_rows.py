"""Products of repacked matrices with several rows of activations; the layout is explained in repacked.py.

The weights are read from memory once for all rows. Each row's products are those that it has alone, to the last bit:
what a prompt or a batch comes to does not depend on how its rows are grouped.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import types
from numpy.typing import NDArray

from ..compute.jit import threaded
from ..compute.pointers import address_of, caller
from .repacked_block_rows import levels_rows, themselves_rows
from .repacked_float_rows import brain_rows, half_rows, single_rows
from .repacked_k_rows import nibble_rows, six_rows
from .repacked_kernels import address_of_kind, multiply_groups
from .repacked_layout import (
    BRAINS,
    BYTES,
    HALVES,
    K_NIBBLES,
    K_SIXES,
    LEVELS,
    NIBBLES,
    SINGLES,
    MatrixLayout,
    Planes,
)
from .repacked_tiles import MOST_ROWS, ROWS_SCRATCH

__all__ = ["MOST_ROWS", "ROWS_SCRATCH", "address_of_rows_kind", "multiply_group_rows", "multiply_rows"]

# Multiplications from which a second thread saves more than it costs.
_THREADED_SIZE = 131_072

# --- called by address, as those of one row are: only the kinds that a model has are compiled

_BY_KIND = {
    BYTES: themselves_rows,
    NIBBLES: themselves_rows,
    LEVELS: levels_rows,
    K_NIBBLES: nibble_rows,
    K_SIXES: six_rows,
    SINGLES: single_rows,
    HALVES: half_rows,
    BRAINS: brain_rows,
}
_FLOATS = types.Array(types.float32, 2, "C")
_SIGNED_BYTES = types.Array(types.int8, 2, "C")
_ROWS_ARGUMENTS = (
    types.Array(types.uint8, 1, "C"), types.Array(types.int64, 1, "C"), types.intp, types.intp, _FLOATS,
    types.NamedTuple((_SIGNED_BYTES, _SIGNED_BYTES, _FLOATS, _FLOATS, _FLOATS), Planes), _FLOATS, types.intp,
    types.Array(types.float32, 1, "C"),
)  # fmt: skip
# multiply_group_rows(address, (data, layout, first, last, x, planes, y, at, scratch)): groups `first` ... `last` - 1
# of 16 rows of a matrix times up to MOST_ROWS rows of activations x (B, C), or their planes where the matrix has
# integers. The products go to y (B, ...) from column `at` on. scratch is memory of this thread alone, of
# ROWS_SCRATCH elements.
multiply_group_rows = caller(_ROWS_ARGUMENTS)


@functools.cache
def address_of_rows_kind(kind: int) -> int:
    """What `multiply_group_rows` takes for a kind of matrix."""
    return address_of(_BY_KIND[kind], _ROWS_ARGUMENTS)


# --- for the layers


@threaded(from_size=_THREADED_SIZE)
def _multiply_one(first, last, data, layout, x, high, low, d, total, half, y, address):
    """Groups of 16 rows of the matrix with one row of activations."""
    planes = Planes(high[0], low[0], d[0], total[0], half[0])
    multiply_groups(address, (data, layout, first, last, x[0], planes, y[0], 16 * first))


@threaded(from_size=_THREADED_SIZE, borrows=False)
def _multiply_all(first, last, data, layout, x, high, low, d, total, half, y, address):
    """Groups of 16 rows of the matrix with any number of rows of activations."""
    scratch = np.empty(ROWS_SCRATCH, np.float32)
    for n in range(0, len(x), MOST_ROWS):
        end = min(n + MOST_ROWS, len(x))
        planes = Planes(high[n:end], low[n:end], d[n:end], total[n:end], half[n:end])
        multiply_group_rows(address, (data, layout, first, last, x[n:end], planes, y[n:end], 16 * first, scratch))


def multiply_rows(
    data: NDArray[np.uint8], layout: MatrixLayout, x: NDArray[np.float32], planes: Planes, y: NDArray[np.float32]
) -> None:
    """Fill y (N, 16 * n_groups) with the products of N rows of activations and the matrix."""
    one = len(x) == 1
    multiply, address = (_multiply_one, address_of_kind) if one else (_multiply_all, address_of_rows_kind)
    numbers = np.array(layout, np.int64)
    multiply(layout.n_groups, data, numbers, x, *planes, y, address(layout.kind), size=y.size * x.shape[1])
