"""Root-mean-square layer normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

    y = x / sqrt(mean(x**2) + eps) * weight          over the last axis

Backward, with r = 1 / sqrt(mean(x**2) + eps) and x_hat = x * r:

    dweight = sum over rows of dy * x_hat
    dx      = r * (g - x_hat * mean(g * x_hat)),     g = dy * weight

Unlike LayerNorm it neither subtracts a mean nor adds a bias. LLaMA 2 normalises the input of
every attention and feed-forward layer, and the end of the residual stream (section 2.2).

The statistics are float32 at least: in float16 the squares of values above 256 are infinite.
The normalised row is rounded back to the dtype of `x` before it meets the weight, as in
Meta's model.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.array_types import Float
from ..compute.jit import helper, threaded
from ..compute.simd import load_floats, multiply_add, splat_float, sum_of

_ROWS = 64  # rows whose gradients of the weight are added up by themselves


class RMSNormSaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    x: Float  # (..., D)
    weight: Float  # (D,)
    rrms: Float  # (..., 1)  reciprocal root mean square, float32 at least


def _check(x: Float, weight: Float) -> None:
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"weight must have shape {x.shape[-1:]} to scale rows of x {x.shape}, got {weight.shape}")


def rmsnorm_forward(x: Float, weight: Float, eps: float) -> tuple[Float, RMSNormSaved]:
    """Normalise each row of `x` to unit root mean square, then scale it.

    Parameters
    ----------
    x : ndarray of shape (..., D)
    weight : ndarray of shape (D,)
    eps : float
        Added to the mean square, inside the root; 1e-5 in LLaMA 2.

    Returns
    -------
    y : ndarray of shape (..., D), same dtype as `x`
    saved : RMSNormSaved

    Raises
    ------
    ValueError
        When `weight` does not have the width of `x`.
    """
    _check(x, weight)
    wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
    rrms = 1 / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + wide.dtype.type(eps))
    return (wide * rrms).astype(x.dtype, copy=False) * weight, RMSNormSaved(x, weight, rrms)


def rmsnorm_backward(dy: Float, saved: RMSNormSaved) -> tuple[Float, Float]:
    """Gradients of the rows and of the weight, from `dy` (..., D).

    Returns
    -------
    dx : ndarray of shape (..., D), same dtype as `x`
    dweight : ndarray of shape (D,)
    """
    x, weight, rrms = saved
    x_hat = x * rrms
    g = dy * weight
    dx = rrms * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum(dy * x_hat, axis=tuple(range(x.ndim - 1)))
    return dx.astype(x.dtype, copy=False), dweight.astype(weight.dtype, copy=False)


# --- numba kernels: the same contract, one pass over memory per row -----------------


@helper
def normalise_row(x, weight, eps, y):  # x, weight, y (D,) -> reciprocal root mean square
    sum_of_squares = x.dtype.type(0)
    for j in range(x.size):
        sum_of_squares += x[j] * x[j]
    rrms = x.dtype.type(1) / np.sqrt(sum_of_squares / x.dtype.type(x.size) + eps)
    for j in range(x.size):
        y[j] = x[j] * rrms * weight[j]
    return rrms


@helper(exact=True)
def normalise_row_in_order(x, weight, eps, y):
    """`normalise_row` of float32 with a fixed order of additions: 64 sums side by side, the same bits everywhere."""
    a = b = c = d = splat_float(np.float32(0))
    whole = x.size // 64 * 64
    for j in range(0, whole, 64):
        p, q, r, s = load_floats(x, j), load_floats(x, j + 16), load_floats(x, j + 32), load_floats(x, j + 48)
        a, b, c, d = multiply_add(p, p, a), multiply_add(q, q, b), multiply_add(r, r, c), multiply_add(s, s, d)
    one = splat_float(np.float32(1))
    sum_of_squares = sum_of(multiply_add(multiply_add(a, one, b), one, multiply_add(c, one, d)))
    for j in range(whole, x.size):
        sum_of_squares += x[j] * x[j]
    rrms = np.float32(1) / np.sqrt(sum_of_squares / np.float32(x.size) + eps)
    for j in range(x.size):
        y[j] = x[j] * rrms * weight[j]


@threaded(from_size=16_384)
def _normalise(first, last, x, weight, eps, y, rrms):  # x, y (N, D); rrms (N,)
    for i in range(first, last):
        rrms[i] = normalise_row(x[i], weight, eps, y[i])


@helper
def _backward_row(dy, x, weight, rrms, dx, dweight):  # all (D,), rrms a number
    dot = x.dtype.type(0)
    for j in range(x.size):
        dot += dy[j] * weight[j] * x[j]
    shrink = dot * rrms * rrms / x.dtype.type(x.size)  # mean(g * x_hat) * r
    for j in range(x.size):
        dx[j] = rrms * (dy[j] * weight[j] - x[j] * shrink)
        dweight[j] += dy[j] * x[j] * rrms


@threaded(from_size=16_384)
def _backward(first, last, dy, x, weight, rrms, dx, partial):  # dy, x, dx (N, D); partial (chunks, D)
    for c in range(first, last):
        partial[c] = 0
        for i in range(c * _ROWS, min((c + 1) * _ROWS, len(x))):
            _backward_row(dy[i], x[i], weight, rrms[i], dx[i], partial[c])


def rmsnorm_forward_fast(x: Float, weight: Float, eps: float) -> tuple[Float, RMSNormSaved]:
    """`rmsnorm_forward`, compiled; float32 and float64 (NumPy does the others)."""
    _check(x, weight)
    if x.dtype == np.float16 or x.dtype != weight.dtype:
        return rmsnorm_forward(x, weight, eps)  # Numba on CPU has no float16
    d = x.shape[-1]
    x = np.ascontiguousarray(x)
    y, rrms = np.empty(x.shape, x.dtype), np.empty((*x.shape[:-1], 1), x.dtype)
    rows = x.reshape(-1, d)
    _normalise(len(rows), rows, weight, x.dtype.type(eps), y.reshape(-1, d), rrms.reshape(-1), size=x.size)
    return y, RMSNormSaved(x, weight, rrms)


def rmsnorm_backward_fast(dy: Float, saved: RMSNormSaved) -> tuple[Float, Float]:
    """`rmsnorm_backward`, compiled; float32 and float64 (NumPy does the others)."""
    x, weight, rrms = saved
    if not x.dtype == weight.dtype == dy.dtype == rrms.dtype:
        return rmsnorm_backward(dy, saved)
    d = x.shape[-1]
    dx, rows = np.empty(x.shape, x.dtype), np.ascontiguousarray(x).reshape(-1, d)
    partial = np.empty((-(-len(rows) // _ROWS), d), x.dtype)
    dy_rows, dx_rows = np.ascontiguousarray(dy).reshape(-1, d), dx.reshape(-1, d)
    _backward(len(partial), dy_rows, rows, weight, rrms.reshape(-1), dx_rows, partial, size=x.size)
    return dx, partial.sum(axis=0)
