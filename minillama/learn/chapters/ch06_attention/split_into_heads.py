"""From one wide vector to many heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import AXES


def make_joined(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    return rng.normal(size=(B, T, H * head_dim)).astype(np.float32), H


@exercise(
    title="From one wide vector to many heads",
    task="Cut every token's vector (H * head_dim) into heads: (B, T, H * head_dim) becomes (B, H, T, head_dim).",
    difficulty=1,
    minutes=5,
    make=make_joined,
    shapes=(
        {"B": 1, "T": 2, "H": 2, "head_dim": 2},
        {"B": 1, "T": 1, "H": 1, "head_dim": 2},
        {"B": 2, "T": 1, "H": 3, "head_dim": 4},
        {"B": 3, "T": 5, "H": 2, "head_dim": 6},
        {"B": 2, "T": 4, "H": 4, "head_dim": 4},
    ),
    axes=AXES,
    hints=(
        "Head 0 is the first head_dim numbers of every token. A reshape never moves numbers in memory; which axis can "
        "it split without mixing tokens?",
        "Split the last axis in (H, head_dim); then the axes are (B, T, H, head_dim), and two of them have to change "
        "places.",
        "return x.reshape(x.shape[0], x.shape[1], n_heads, -1).swapaxes(1, 2)",
    ),
    why=(
        "The numbers of a head lie side by side, so a reshape can cut the last axis without moving anything. Only "
        "then do two axes change places, because a matrix product works on the last two and treats each head before "
        "them by itself. A reshape to the final shape at once reads memory in its old order, and mixes tokens."
    ),
)
def split_into_heads(x, n_heads):
    """Cut the vector of every token into heads: head j is numbers j * head_dim ... (j + 1) * head_dim - 1.

    Parameters
    ----------
    x : ndarray of shape (B, T, H * head_dim)
    n_heads : int
        H.

    Returns
    -------
    ndarray of shape (B, H, T, head_dim)
    """
    return x.reshape(x.shape[0], x.shape[1], n_heads, -1).swapaxes(1, 2)


@split_into_heads.mistake(
    "Your function reshapes to (B, H, T, head_dim) at once, which mixes tokens and heads.",
    "A reshape keeps the order in memory. Split the last axis first, then exchange two axes.",
)
def reshapes_at_once(x, n_heads):
    return x.reshape(x.shape[0], n_heads, x.shape[1], -1)


@split_into_heads.mistake(
    "Your function gives each head every H-th number instead of neighbouring ones.",
    "A head is a run of head_dim neighbours: the last axis splits in (H, head_dim), not in (head_dim, H).",
)
def gives_each_head_every_hth_number(x, n_heads):
    return np.moveaxis(x.reshape(*x.shape[:2], -1, n_heads), -1, 1)


@split_into_heads.mistake(
    "Your function leaves the head behind the position: (B, T, H, head_dim).",
    "Attention multiplies matrices (T, head_dim), the last two axes: bring the head forward with swapaxes(1, 2).",
)
def leaves_head_behind_position(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1)


@split_into_heads.mistake(
    "Your function puts dim before position: (B, H, head_dim, T).",
    "Two axes change places, head and position; head_dim stays last.",
)
def puts_dim_before_position(x, n_heads):
    return x.reshape(*x.shape[:2], n_heads, -1).transpose(0, 2, 3, 1)


@split_into_heads.mistake(
    "Your heads come out in reverse order.",
    "Head 0 is the first head_dim numbers of a token.",
)
def heads_come_out_in_reverse_order(x, n_heads):
    return split_into_heads(x, n_heads)[:, ::-1]


@split_into_heads.mistake(
    "Your function exchanges position and features before it splits them.",
    "The split comes first: reshape (B, T, H * head_dim) to (B, T, H, head_dim), then swapaxes(1, 2).",
)
def exchanges_before_it_splits(x, n_heads):
    return x.swapaxes(1, 2).reshape(x.shape[0], n_heads, x.shape[1], -1)
