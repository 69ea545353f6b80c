"""Root-mean-square layer normalisation (Zhang & Sennrich 2019, arXiv:1910.07467).

    y = x / sqrt(mean(x**2) + eps) * weight          over the last axis

Unlike LayerNorm it neither subtracts a mean nor adds a bias. LLaMA 2 normalises the input of
every attention and feed-forward layer, and the end of the residual stream (section 2.2).

The statistics are float32 at least: in float16 the squares of values above 256 are infinite.
The normalised row is rounded back to the dtype of `x` before it meets the weight, as in
Meta's model.py.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from ..jit import kernel, kernel_pair

Float = NDArray[np.floating]

# Below this many numbers a second thread costs more than it saves.
_SERIAL_SIZE = 16_384


class RMSNormCache(NamedTuple):
    """What the backward pass needs from the forward pass."""

    x: Float  # (..., D)
    weight: Float  # (D,)
    rrms: Float  # (..., 1)  reciprocal root mean square, float32 at least


def _check(x: Float, weight: Float) -> None:
    if weight.shape != x.shape[-1:]:
        raise ValueError(f"weight must have shape {x.shape[-1:]} to scale rows of x {x.shape}, got {weight.shape}")


def rmsnorm_forward(x: Float, weight: Float, eps: float) -> tuple[Float, RMSNormCache]:
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
    cache : RMSNormCache

    Raises
    ------
    ValueError
        When `weight` does not have the width of `x`.
    """
    _check(x, weight)
    wide = x.astype(np.result_type(x.dtype, np.float32), copy=False)
    rrms = 1 / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + wide.dtype.type(eps))
    return (wide * rrms).astype(x.dtype, copy=False) * weight, RMSNormCache(x, weight, rrms)


# --- numba kernels: the same contract, one pass over memory per row -----------------


@kernel(borrows=True)
def normalise_row(x, weight, eps, y):  # x, weight, y (D,) -> reciprocal root mean square
    sum_of_squares = x.dtype.type(0)
    for j in range(x.size):
        sum_of_squares += x[j] * x[j]
    rrms = x.dtype.type(1) / np.sqrt(sum_of_squares / x.dtype.type(x.size) + eps)
    for j in range(x.size):
        y[j] = x[j] * rrms * weight[j]
    return rrms


def _normalise_body(x, weight, eps, y, rrms):  # x, y (N, D); rrms (N,)
    for i in prange(len(x)):
        rrms[i] = normalise_row(x[i], weight, eps, y[i])


_normalise, _normalise_parallel = kernel_pair(_normalise_body)


def rmsnorm_forward_fast(x: Float, weight: Float, eps: float) -> tuple[Float, RMSNormCache]:
    """`rmsnorm_forward`, compiled; float32 and float64 (NumPy does the others)."""
    _check(x, weight)
    if x.dtype == np.float16 or x.dtype != weight.dtype:
        return rmsnorm_forward(x, weight, eps)  # Numba on CPU has no float16
    d = x.shape[-1]
    x = np.ascontiguousarray(x)
    y, rrms = np.empty(x.shape, x.dtype), np.empty((*x.shape[:-1], 1), x.dtype)
    normalise = _normalise if x.size < _SERIAL_SIZE else _normalise_parallel
    normalise(x.reshape(-1, d), weight, x.dtype.type(eps), y.reshape(-1, d), rrms.reshape(-1))
    return y, RMSNormCache(x, weight, rrms)
