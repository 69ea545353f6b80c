"""Matrix times vector, on all cores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

from ....quantization.kernels import matvec_plain
from ...exercises.exercise import Speed, exercise
from .inputs import in_threads


def make_matrix(rng: np.random.Generator, n_out: int, n_in: int) -> tuple[Any, ...]:
    return rng.normal(size=(n_out, n_in)).astype(np.float32), rng.normal(size=n_in).astype(np.float32)


def matvec(weight, x):
    return weight @ x


def matvec_fast(weight, x):
    y = np.empty(len(weight), x.dtype)
    matvec_plain(x, weight, y)
    return y


def matvec_loops(weight, x):
    y = np.zeros(len(weight), x.dtype)
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            y[i] += weight[i, j] * x[j]
    return y


def torch_matvec(weight, x):
    import torch

    return (torch.tensor(weight, dtype=torch.float64) @ torch.tensor(x, dtype=torch.float64)).numpy()


@njit(parallel=True, fastmath={"reassoc", "contract"})
def _multiply(weight, x, y):
    for i in prange(weight.shape[0]):
        total = np.float32(0)
        for j in range(weight.shape[1]):
            total += weight[i, j] * x[j]
        y[i] = total


def row_after_row(function):
    """A model multiplies many rows of x."""

    def forward(x, weight):
        rows = [function(weight, row) for row in x.reshape(-1, x.shape[-1])]
        return np.stack(rows).reshape(*x.shape[:-1], len(weight))

    return forward


@exercise(
    title="Matrix times vector, on all cores",
    task="Multiply a matrix with a vector, with the rows shared out to threads by prange.",
    difficulty=2,
    minutes=20,
    reference=matvec,
    replaces="linear",
    as_layer=row_after_row,
    make=make_matrix,
    shapes=(
        {"n_out": 3, "n_in": 3},
        {"n_out": 1, "n_in": 1},
        {"n_out": 2, "n_in": 5},
        {"n_out": 7, "n_in": 18},
        {"n_out": 33, "n_in": 6},
        {"n_out": 259, "n_in": 131},
    ),
    axes=("row",),
    observe=in_threads,
    oracle=torch_matvec,
    speed=Speed(
        dims={"n_out": 4096, "n_in": 4096},
        flops=lambda n_out, n_in: 2.0 * n_out * n_in,
        bytes=lambda n_out, n_in: 4.0 * (n_out * n_in + n_in + n_out),
        naive=matvec_loops,
        fast=matvec_fast,
        torch=lambda weight, x: weight @ x,
    ),
    atol=1e-5,
    hints=(
        "Each output is the sum of one row times x. Which loop can be shared out to threads so that no two threads "
        "write to the same place?",
        "@njit(parallel=True), prange over the rows, range over the columns. Add up in a variable that begins at 0 for "
        "every row, then write it once.",
        "for i in prange(weight.shape[0]):\n    total = np.float32(0)\n    for j in range(weight.shape[1]):\n"
        "        total += weight[i, j] * x[j]\n    y[i] = total",
    ),
    why=(
        "Each number of the result is a sum of its own, so threads can share the rows out and never write to the same "
        "place. The total is a local float32 that begins at 0 for every row, and the compiler keeps it in a register. "
        "Permission to reassociate lets it add several products at once; without it a sum must stay in its written "
        "order."
    ),
)
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
    y = np.empty(len(weight), np.float32)
    _multiply(weight, x, y)
    return y


@parallel_matvec.mistake(
    "Your function multiplies with the transposed matrix.",
    "weight is (n_out, n_in): y[i] is the sum over j of weight[i, j] * x[j].",
)
def transposed(weight, x):
    return x @ weight


@parallel_matvec.mistake(
    "Your sum is not set to 0 for every row: each row has all earlier ones in it.",
    "The variable that adds up belongs inside the loop over rows.",
)
def sum_is_not_set_to_0(weight, x):
    return np.cumsum(weight @ x)


@parallel_matvec.mistake(
    "Your function leaves out the last columns, those that do not fill a group of four.",
    "n_in need not be a multiple of the group: add the rest in a loop of its own.",
)
def leaves_out_the_last_columns(weight, x):
    return weight[:, : len(x) // 4 * 4] @ x[: len(x) // 4 * 4]


@parallel_matvec.mistake(
    "Your function leaves out the last rows, those that do not share out evenly in fours.",
    "The rows left over belong to somebody too: the last part goes to the end, or let prange share out the "
    "rows themselves.",
)
def without_last_rows(weight, x):
    y = matvec(weight, x)
    y[len(y) // 4 * 4 :] = 0
    return y


@parallel_matvec.mistake(
    "Your function keeps the last product of each row instead of the sum.",
    "`total += ...`, not `total = ...`.",
)
def keeps_the_last_product_of_each_row(weight, x):
    return weight[:, -1] * x[-1]


@parallel_matvec.mistake(
    "Your function cuts every product to an integer.",
    "A sum that begins as the integer 0 stays one if it is kept in an integer array: np.float32(0).",
)
def cuts_every_product_to_integer(weight, x):
    return np.trunc(weight * x).sum(axis=1)
