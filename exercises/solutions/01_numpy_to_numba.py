"""Chapter 01: from NumPy to Numba. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np
from numba import njit, prange


def c_strides(shape, itemsize):
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return strides


def cache_lines_read(address, stride, count, itemsize, line):
    return len({(address + i * stride) // line for i in range(count)})


def roofline_seconds(flops, n_bytes, peak_flops, bandwidth):
    return np.maximum(flops / peak_flops, n_bytes / bandwidth)


def stable_softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@njit(parallel=True, fastmath={"reassoc", "contract"})
def _multiply(weight, x, y):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[j]
        y[i] = total


def parallel_matvec(weight, x):
    y = np.empty(len(weight), np.float32)
    _multiply(weight, x, y)
    return y


@njit(parallel=True)
def _add(ids, rows, out):
    for j in prange(rows.shape[1]):  # column j of the result belongs to one thread
        for t in range(len(ids)):
            out[ids[t], j] += rows[t, j]


def scatter_add_parallel(ids, rows, vocab_size):
    out = np.zeros((vocab_size, rows.shape[1]), np.float32)
    _add(ids, rows, out)
    return out


def pairwise_sum(x):
    if len(x) <= 32:
        total = np.float32(0)
        for number in x:
            total += number
        return total
    middle = len(x) // 2
    return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])
