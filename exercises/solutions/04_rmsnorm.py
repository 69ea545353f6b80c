"""Chapter 04: RMSNorm, root-mean-square normalisation. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np
from numba import njit


def rmsnorm_forward(x, weight, eps):
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # (B, T, 1)
    return x / np.sqrt(mean_square + eps) * weight


def rmsnorm_backward(dy, x, weight, eps):
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x_hat, g = x * r, dy * weight
    dx = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum(dy * x_hat, axis=(0, 1))
    return dx, dweight


def rmsnorm_float16(x, weight, eps):
    wide = x.astype(np.float32)
    wide = wide / np.sqrt(np.mean(wide * wide, axis=-1, keepdims=True) + np.float32(eps))
    return wide.astype(x.dtype) * weight


@njit(fastmath={"reassoc", "contract"})
def rmsnorm_kernel(x, weight, eps):
    n, d = x.shape
    y = np.empty_like(x)
    for i in range(n):
        total = np.float32(0)
        for j in range(d):
            total += x[i, j] * x[i, j]
        r = np.float32(1 / np.sqrt(total / d + eps))
        for j in range(d):
            y[i, j] = x[i, j] * r * weight[j]
    return y


def add_rmsnorm(x, update, weight, eps):
    h = x + update
    return h, rmsnorm_forward(h, weight, eps)
