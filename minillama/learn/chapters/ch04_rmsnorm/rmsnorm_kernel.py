"""The fused kernel."""

from __future__ import annotations

import numpy as np
from numba import njit

from ....layers.rmsnorm import rmsnorm_forward_fast
from ...exercises.exercise import Speed, exercise
from .inputs import make_flat, torch_forward
from .variants import forward, mean_of_squares


def fast(x, weight, eps):
    return rmsnorm_forward_fast(x, weight, eps)[0]


def naive(x, weight, eps):
    y = np.empty_like(x)
    n, d = x.shape
    for i in range(n):
        total = 0.0
        for j in range(d):
            total += float(x[i, j]) ** 2
        r = 1 / (total / d + eps) ** 0.5
        for j in range(d):
            y[i, j] = x[i, j] * r * weight[j]
    return y


def torch_rows(x, weight, eps):
    import torch

    return torch.nn.functional.rms_norm(x, weight.shape, weight, eps)


def on_flat_rows(function):
    """A model's rows have a batch and a position; the kernel takes (N, D)."""

    def forward(x, weight, eps):
        return function(np.ascontiguousarray(x).reshape(-1, x.shape[-1]), weight, eps).reshape(x.shape)

    return forward


@exercise(
    title="The fused kernel",
    task="The same for rows (N, D), as loops for Numba: two passes over a row and no temporary array.",
    difficulty=2,
    minutes=20,
    reference=forward,
    replaces="rmsnorm",
    as_layer=on_flat_rows,
    make=make_flat,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 2, "D": 3},
        {"N": 5, "D": 9},
        {"N": 7, "D": 66},
    ),
    axes=("row", "dim"),
    oracle=torch_forward,
    speed=Speed(
        dims={"N": 1024, "D": 576},
        flops=lambda N, D: 4 * N * D,
        bytes=lambda N, D: 4 * (2 * N * D + D),
        naive=naive,
        fast=fast,
        torch=torch_rows,
    ),
    hints=(
        "For each row: one loop adds up the squares, then one number is computed, then a second loop writes the "
        "results. Write it in plain Python first; Numba's @njit takes it as it is.",
        "The sum starts again at 0 for every row, inside the loop over rows. The output is np.empty_like(x).",
        "for i in range(x.shape[0]):\n"
        "    total = 0.0\n"
        "    for j in range(x.shape[1]):\n"
        "        total += x[i, j] * x[i, j]\n"
        "    r = 1 / np.sqrt(total / x.shape[1] + eps)\n"
        "    ...                      # second loop: y[i, j] = x[i, j] * r * weight[j]",
    ),
    why=(
        "NumPy writes an array for the squares, one for the quotient and one for the product, and reads each again; "
        "two loops over a row need none, and the second finds the row still in the cache. The total begins at 0 for "
        "every row, so rows do not depend on one another. One division for each row, and a multiplication for each "
        "number, is cheaper than a division for each number."
    ),
)
@njit(fastmath={"reassoc", "contract"})
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


def with_sums(x, weight, eps, sums, count=None):
    """RMSNorm of rows with given sums of squares."""
    return (x / np.sqrt(sums / (count or x.shape[1]) + eps) * weight).astype(x.dtype)


def sums_of(x):
    return np.sum(x.astype(np.float64) ** 2, axis=1, keepdims=True)


@rmsnorm_kernel.mistake(
    "Your sum goes on from row to row: it is not set back to 0.",
    "The accumulator belongs inside the loop over rows. The first row is right, later ones come out too small.",
)
def sum_goes_on_from_row_to_row(x, weight, eps):
    return with_sums(x, weight, eps, np.cumsum(sums_of(x), axis=0))


@rmsnorm_kernel.mistake(
    "Your function divides the sum by the number of rows.",
    "The mean is over the dims of one row: divide by x.shape[1].",
)
def divides_sum_by_number_of_rows(x, weight, eps):
    return with_sums(x, weight, eps, sums_of(x), len(x))


@rmsnorm_kernel.mistake(
    "Your function normalises every row with the first row's number.",
    "Each row has its own root mean square: compute it inside the loop over rows.",
)
def normalises_every_row_with_the_first_number(x, weight, eps):
    return with_sums(x, weight, eps, sums_of(x[:1]))


@rmsnorm_kernel.mistake(
    "Your sum leaves out the last dims when their number is no multiple of 4.",
    "A loop that takes four at a time needs a second one for the rest: from d // 4 * 4 to d.",
)
def unrolled(x, weight, eps):
    whole = x.shape[1] // 4 * 4
    return with_sums(x, weight, eps, sums_of(x[:, :whole]))


@rmsnorm_kernel.mistake(
    "Your function writes nothing into the last dims when their number is no multiple of 4.",
    "The loop that writes four at a time needs a second one for the rest: from d // 4 * 4 to d.",
)
def unrolled_write(x, weight, eps):
    y = forward(x, weight, eps)
    y[:, x.shape[1] // 4 * 4 :] = 0
    return y


@rmsnorm_kernel.mistake(
    "Your function adds eps outside the root.",
    "It belongs to the mean square: sqrt(mean(x**2) + eps). A row of size 0.003 shows it: inside, eps 1e-5 "
    "takes away a third of the result; outside, next to nothing.",
)
def adds_eps_outside_root(x, weight, eps):
    return x / (np.sqrt(mean_of_squares(x)) + eps) * weight


@rmsnorm_kernel.mistake(
    "Your function leaves out eps.",
    "Without eps a row of zeros is 0/0 = NaN, and noise of a very small row is blown up to size 1.",
)
def leaves_out_eps(x, weight, eps):
    return x / np.sqrt(mean_of_squares(x)) * weight


@rmsnorm_kernel.mistake(
    "Your function divides by the root of the sum of squares, not of their mean.",
    "That makes the length of a row 1. RMSNorm makes its root mean square 1: the length becomes sqrt(dim).",
)
def divides_by_root_of_sum_of_squares(x, weight, eps):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps) * weight
