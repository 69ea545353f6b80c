"""The permutation between them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.rope import half_to_interleaved
from ...exercises.exercise import exercise


def make_rows(rng: np.random.Generator, H: int, head_dim: int, D: int) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    return rng.normal(size=(H * head_dim, D)).astype(np.float32), head_dim


@exercise(
    title="The permutation between them",
    task="Reorder the rows of wq or wk, head by head, from Hugging Face's layout to Meta's.",
    difficulty=2,
    minutes=15,
    same_as=half_to_interleaved,
    make=make_rows,
    shapes=(
        {"H": 1, "head_dim": 4, "D": 3},
        {"H": 1, "head_dim": 2, "D": 1},
        {"H": 2, "head_dim": 6, "D": 4},
        {"H": 3, "head_dim": 8, "D": 5},
        {"H": 5, "head_dim": 16, "D": 80},
    ),
    axes=("row", "column"),
    hints=(
        "Row b * head_dim/2 + i of a head (b = 0, 1) has to become row 2i + b. Every head by itself.",
        "A reshape gives the two indices b and i an axis of their own; exchanging the two axes exchanges their order.",
        "rows.reshape(-1, 2, head_dim // 2, rows.shape[1])   # (head, b, i, column)\n"
        "... .swapaxes(1, 2).reshape(rows.shape)",
    ),
    why=(
        "Within a head the rows are a table of 2 by head_dim / 2, and the other layout is that table read down its "
        "columns: a reshape and an exchange of two axes. Heads stay whole, because each one is rotated by itself. "
        "Rows of wq and wk move alike, so the dot product of query and key does not notice."
    ),
)
def permute_half_to_interleaved(rows, head_dim):
    """Reorder the rows of wq or wk from Hugging Face's layout to Meta's, head by head.

    Row b * head_dim / 2 + i of a head becomes row 2i + b: the first four rows of a head of
    4 dims, [0, 1, 2, 3], become [0, 2, 1, 3].

    Parameters
    ----------
    rows : ndarray of shape (H * head_dim, D)
    head_dim : int
        Even.

    Returns
    -------
    ndarray of the same shape
    """
    pairs = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])  # (head, b, i, column)
    return pairs.swapaxes(1, 2).reshape(rows.shape)


@permute_half_to_interleaved.mistake(
    "Your function goes the other way: from Meta's layout to Hugging Face's.",
    "For head_dim 4, Hugging Face's rows [0, 1, 2, 3] must come out as [0, 2, 1, 3]; for more than 4 the two "
    "directions differ. Split the axis in (2, head_dim/2), not in (head_dim/2, 2).",
)
def inverse(rows, head_dim):
    return rows.reshape(-1, head_dim // 2, 2, rows.shape[1]).swapaxes(1, 2).reshape(rows.shape)


@permute_half_to_interleaved.mistake(
    "Your function permutes all rows together, across the heads.",
    "Each head has its own pairs: the first axis of the reshape is the head.",
)
def across_heads(rows, head_dim):
    return rows.reshape(2, -1, rows.shape[1]).swapaxes(0, 1).reshape(rows.shape)


@permute_half_to_interleaved.mistake(
    "Your function permutes the columns.",
    "wq is (H * head_dim, D): it is applied as x @ wq.T, so what becomes a dim of a head is a row.",
)
def columns(rows, head_dim):
    n = rows.shape[1] // 2
    order = np.arange(2 * n).reshape(2, n).T.reshape(-1)
    return np.concatenate((rows[:, order], rows[:, 2 * n :]), axis=1)


@permute_half_to_interleaved.mistake(
    "Your function reshapes there and back, which changes nothing.",
    "Between the two reshapes the axes have to be exchanged.",
)
def no_swap(rows, head_dim):
    return rows.reshape(-1, 2, head_dim // 2, rows.shape[1]).reshape(rows.shape)
