"""Linear layer without a bias, the only kind that LLaMA has.

    y = x W^T              W is stored (out_features, in_features)

    dx = dy W,   dW = dy^T x       summed over all rows

W may be a plain matrix or one that is still packed as its file holds it (16-bit floats,
blocks of small integers). The reference unpacks it. The fast form multiplies a row or two
straight from the packed bytes, because decoding is bound by the bytes that are read, and
unpacks tiles for BLAS when there are many rows of x to share the work. A repacked matrix
(repacked.py) is multiplied in integers, the rows of x rounded to 15 bits; one of floats as it is. Its
products are the same for a row alone and for one among up to 64, on x86 among any number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.array_types import Float
from ..quantization.formats import PackedArray, Weight
from ..quantization.kernels import matvec_packed, matvec_plain, unpack_rows
from ..quantization.repacked import RepackedMatrix
from ..quantization.repacked_layout import Planes
from ..quantization.repacked_rows import MOST_ROWS

Matrix = Weight | RepackedMatrix

# Numbers of an unpacked tile: a few megabytes, however large the matrix.
_TILE_SIZE = 1 << 21
# Numbers of a tile of a gradient that is added to what is there: less than the cache of a core.
_SUM_SIZE = 1 << 18
# Up to this many rows of x the packed kernel, or that of repacked floats, beats unpacking and BLAS.
_FEW_ROWS = 4
# Up to this many rows a repacked matrix of integers is never unpacked: a batch gives what each of its rows would.
_BATCH_ROWS = MOST_ROWS


class LinearSaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    x: Float  # (..., D_in)
    weight: Matrix  # (D_out, D_in)


def _check(x: Float, weight: Matrix) -> None:
    if x.shape[-1] != weight.shape[1]:
        raise ValueError(f"x has rows of {x.shape[-1]}, the weight {weight.shape} takes rows of {weight.shape[1]}")


def _tiles(weight: Matrix, size: int = _TILE_SIZE) -> list[slice]:
    rows = max(1, size // weight.shape[1])
    return [slice(i, min(i + rows, weight.shape[0])) for i in range(0, weight.shape[0], rows)]


def linear_forward(x: Float, weight: Matrix) -> tuple[Float, LinearSaved]:
    """Multiply every row of `x` by the matrix: `x @ weight.T`.

    Parameters
    ----------
    x : ndarray of shape (..., D_in)
    weight : (D_out, D_in), an ndarray or packed

    Returns
    -------
    y : ndarray of shape (..., D_out), same dtype as `x`
    saved : LinearSaved

    Raises
    ------
    ValueError
        When the widths do not agree.
    """
    _check(x, weight)
    if isinstance(weight, np.ndarray):
        return x @ weight.T, LinearSaved(x, weight)
    y = np.empty((*x.shape[:-1], weight.shape[0]), x.dtype)
    for rows in _tiles(weight):
        y[..., rows] = x @ weight.to_float32(rows).T
    return y, LinearSaved(x, weight)


def linear_backward(dy: Float, saved: LinearSaved) -> tuple[Float, Float]:
    """Gradients of the rows and of the matrix, from `dy` (..., D_out).

    Returns
    -------
    dx : ndarray of shape (..., D_in)
    dweight : ndarray of shape (D_out, D_in)

    Raises
    ------
    ValueError
        When the matrix is packed: only plain floats can be trained.
    """
    x, weight = saved
    if not isinstance(weight, np.ndarray):
        raise ValueError(f"a matrix stored as {type(weight).__name__} has no gradient: train plain float32 weights")
    rows_of_dy, rows_of_x = dy.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1])
    return (rows_of_dy @ weight).reshape(x.shape), rows_of_dy.T @ rows_of_x


# --- fast: the same contract -----------------------------------------------------------

# The gradients are two products of BLAS and nothing else: there is nothing to compile.
linear_backward_fast = linear_backward


def linear_backward_into(dy: Float, saved: LinearSaved, dx: Float, dweight: Float, *, add: bool) -> None:
    """`linear_backward` into arrays that are there: `dx` is overwritten, `dweight` too, or added to with `add`.

    BLAS could add by itself, NumPy's `matmul` cannot: tile by tile the sum finds the product in the CPU's cache.
    """
    x, weight = saved
    if not isinstance(weight, np.ndarray):
        raise ValueError(f"a matrix stored as {type(weight).__name__} has no gradient: train plain float32 weights")
    rows_of_dy, rows_of_x = dy.reshape(-1, weight.shape[0]), x.reshape(-1, weight.shape[1])
    np.matmul(rows_of_dy, weight, out=dx.reshape(-1, weight.shape[1]))
    if not add:
        np.matmul(rows_of_dy.T, rows_of_x, out=dweight)
        return
    for rows in _tiles(weight, _SUM_SIZE):
        dweight[rows] += rows_of_dy[:, rows].T @ rows_of_x


def linear_forward_fast(x: Float, weight: Matrix) -> tuple[Float, LinearSaved]:
    """`linear_forward` from packed bytes for few rows, in unpacked tiles with BLAS for many."""
    _check(x, weight)
    n_in = x.shape[-1]
    rows_of_x = np.ascontiguousarray(x).reshape(-1, n_in)
    if isinstance(weight, RepackedMatrix):
        few = len(rows_of_x) <= (_BATCH_ROWS if weight.is_quantized else _FEW_ROWS)
        if x.dtype == np.float32 and (weight.beats_blas or few):
            y = weight.multiply(rows_of_x)
            return y.reshape(*x.shape[:-1], weight.shape[0]), LinearSaved(x, weight)
        y, _ = linear_forward_fast(x, weight.source)  # BLAS is at its best with many rows
        return y, LinearSaved(x, weight)
    if isinstance(weight, PackedArray) and x.dtype == np.float32:
        y = np.empty((len(rows_of_x), weight.shape[0]), np.float32)
        if len(rows_of_x) <= _FEW_ROWS:
            matvec_packed(rows_of_x, weight, y)
        else:
            for tile in _tiles(weight):
                np.matmul(rows_of_x, unpack_rows(weight, tile).T, out=y[:, tile])
    elif (
        isinstance(weight, np.ndarray) and len(rows_of_x) == 1 and weight.dtype == x.dtype and weight.flags.c_contiguous
    ):
        y = np.empty((1, weight.shape[0]), x.dtype)
        matvec_plain(rows_of_x[0], weight, y[0])
    else:
        y, _ = linear_forward(rows_of_x, weight)  # one product, not one for each sequence
    return y.reshape(*x.shape[:-1], weight.shape[0]), LinearSaved(x, weight)


class SharedRounding:
    """`linear_forward_fast` for a run of a model, in which several matrices take the same x.

    Those are wk, wv and wq, then w_gate and w_up. x is rounded once for those that follow each other. It must not
    change in between: a model's wiring does not change what it has handed to a layer.
    """

    def __init__(self) -> None:
        self._x: Float | None = None
        self._planes: Planes | None = None

    def __call__(self, x: Float, weight: Matrix) -> tuple[Float, LinearSaved]:
        """See `linear_forward`."""
        if not (isinstance(weight, RepackedMatrix) and weight.beats_blas and x.dtype == np.float32):
            return linear_forward_fast(x, weight)
        _check(x, weight)
        rows_of_x = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
        if x is not self._x or self._planes is None:
            self._x, self._planes = x, weight.rounded(rows_of_x)
        y = weight.multiply(rows_of_x, self._planes)
        return y.reshape(*x.shape[:-1], weight.shape[0]), LinearSaved(x, weight)
