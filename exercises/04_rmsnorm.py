"""Chapter 04: RMSNorm, root-mean-square normalisation.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check rmsnorm_forward`. `minillama learn lab 04`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def rmsnorm_forward(x, weight, eps):
    """Divide every row by its root mean square, then scale every dim.

    y = x / sqrt(mean(x**2) + eps) * weight        over the last axis

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    weight : float32 ndarray of shape (D,)
    eps : float

    Returns
    -------
    y : float32 ndarray of shape (B, T, D)
    """
    raise NotImplementedError


def rmsnorm_backward(dy, x, weight, eps):
    """The gradients of a loss through `rmsnorm_forward`.

    With r = 1 / sqrt(mean(x**2) + eps) and x_hat = x * r the output was y = x_hat * weight.

    Parameters
    ----------
    dy : float32 ndarray of shape (B, T, D)
        The gradient of the loss with respect to y.
    x, weight, eps
        What the forward pass was given.

    Returns
    -------
    dx : float32 ndarray of shape (B, T, D)
    dweight : float32 ndarray of shape (D,)
    """
    raise NotImplementedError


def rmsnorm_float16(x, weight, eps):
    """RMSNorm of float16 rows, bit for bit as Meta's model computes it.

    The mean of the squares, the root and the division are float32. The normalised row is rounded
    to float16 and only then multiplied by the weight, in float16.

    Parameters
    ----------
    x : float16 ndarray of shape (N, D)
        Numbers up to 15000: their squares are larger than the largest float16, 65504.
    weight : float16 ndarray of shape (D,)
    eps : float

    Returns
    -------
    y : float16 ndarray of shape (N, D)
    """
    raise NotImplementedError


def rmsnorm_kernel(x, weight, eps):
    """RMSNorm as a kernel: loops over rows and dims, to be compiled by Numba.

    For each row, one pass that adds up the squares and one that writes the result; no array
    besides the output. Any D, not only multiples of 4 or 8. Put `@numba.njit` above the function
    when the loops are right; `fastmath={"reassoc", "contract"}` allows the compiler to add several
    squares at once.

    Parameters
    ----------
    x : float32 ndarray of shape (N, D)
    weight : float32 ndarray of shape (D,)
    eps : float

    Returns
    -------
    y : float32 ndarray of shape (N, D)
    """
    raise NotImplementedError


def add_rmsnorm(x, update, weight, eps):
    """Add a layer's result to the residual stream, and normalise a copy for the next layer.

    Parameters
    ----------
    x : float32 ndarray of shape (N, D)
        The residual stream before the layer.
    update : float32 ndarray of shape (N, D)
        The layer's result.
    weight : float32 ndarray of shape (D,)
        Of the next layer's norm.
    eps : float

    Returns
    -------
    h : float32 ndarray of shape (N, D)
        The residual stream after the layer.
    y : float32 ndarray of shape (N, D)
        What the next layer reads.
    """
    raise NotImplementedError
