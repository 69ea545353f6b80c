"""Chapter 01: from NumPy to Numba.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check stable_softmax`. `minillama learn lab 01`
opens the chapter. Any helper functions of your own may stand beside these:
compiled kernels too, which take arrays to write into and are called by the functions below.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np
from numba import njit, prange


def c_strides(shape, itemsize):
    """The strides of a C-contiguous array, computed by hand.

    Parameters
    ----------
    shape : list of int
    itemsize : int
        Bytes of an element.

    Returns
    -------
    strides : list of int
        For every axis, the bytes from one element to the next.
    """
    raise NotImplementedError


def cache_lines_read(address, stride, count, itemsize, line):
    """How many cache lines a walk through memory touches.

    Element i lies at address + i * stride. Memory is read in lines of `line` bytes that begin at
    multiples of `line`; no element crosses from one line to the next.

    Parameters
    ----------
    address, stride : int
        Bytes; the stride is positive.
    count : int
        Elements.
    itemsize, line : int
        Bytes.

    Returns
    -------
    n : int
        Each line once.
    """
    raise NotImplementedError


def roofline_seconds(flops, n_bytes, peak_flops, bandwidth):
    """The least time that each kernel can take on a machine.

    Parameters
    ----------
    flops, n_bytes : ndarray of shape (n,)
        Arithmetic operations of n kernels, and bytes that they move to and from memory.
    peak_flops, bandwidth : float
        Operations and bytes per second of the machine, which works at both at the same time.

    Returns
    -------
    seconds : ndarray of shape (n,)
    """
    raise NotImplementedError


def stable_softmax(x):
    """Softmax over the last axis, right for scores however large.

    p[i] = exp(x[i]) / sum over j of exp(x[j])

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, V)
        Finite scores of up to 1e30 in size, -1000 or 1000 for example; some may be -inf, never a
        whole row.

    Returns
    -------
    p : ndarray of shape (B, T, V), same dtype as `x`
        Every row sums to 1.
    """
    raise NotImplementedError


def parallel_matvec(weight, x):
    """Matrix times vector: y[i] = sum over j of weight[i, j] * x[j].

    The check looks at the numbers alone, so `weight @ x` passes. The task is a kernel of your own:
    @njit(parallel=True) and prange over the rows.

    Parameters
    ----------
    weight : float32 ndarray of shape (n_out, n_in)
    x : float32 ndarray of shape (n_in,)

    Returns
    -------
    y : float32 ndarray of shape (n_out,)
    """
    raise NotImplementedError


def scatter_add_parallel(ids, rows, vocab_size):
    """Add row t of `rows` to row ids[t] of the result: the gradient of an embedding.

    out[v] = sum of rows[t] over all t with ids[t] == v

    This kernel has a data race, and now and then an addition is lost:

        @njit(parallel=True)
        def add(ids, rows, out):
            for t in prange(len(ids)):
                for j in range(rows.shape[1]):
                    out[ids[t], j] += rows[t, j]

    Two threads that hold the same id read the same old number, and both write back theirs. Write
    one that shares the work out in another way. The check runs it again and again for a moment and
    compares; a race shows itself by chance, so a pass proves less here than it does elsewhere.

    Parameters
    ----------
    ids : int64 ndarray of shape (n_tokens,)
        0 ... vocab_size - 1, with many repeats.
    rows : float32 ndarray of shape (n_tokens, dim)
    vocab_size : int

    Returns
    -------
    out : float32 ndarray of shape (vocab_size, dim)
        Zeros where an id never occurs.
    """
    raise NotImplementedError


def pairwise_sum(x):
    """The sum of float32 numbers, as the sum of two halves that are summed in the same way.

    The error of a running sum grows with the count of numbers, that of the pairwise sum with its
    logarithm. float64 inside would pass too; the task is to do without.

    Parameters
    ----------
    x : float32 ndarray of shape (n,), n at least 1

    Returns
    -------
    total : float32
    """
    raise NotImplementedError
