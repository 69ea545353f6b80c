"""From MHA to GQA."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import POOL_SHAPES
from .variants import by_head


def make_heads_rows(rng: np.random.Generator, K: int, group: int, head_dim: int, D: int) -> tuple[Any, ...]:
    """The rows of wk or wv for K * group heads; the columns are many enough to be halved by mistake."""
    return rng.normal(size=(K * group * head_dim, D)).astype(np.float32), K * group, K


@exercise(
    title="From MHA to GQA",
    task="Make the key (or value) weights of a GQA model from those of an MHA model: the mean over each group's heads.",
    difficulty=2,
    minutes=10,
    make=make_heads_rows,
    shapes=POOL_SHAPES,
    axes=("row", "column"),
    hints=(
        "Row j * head_dim + i of w belongs to head j. Which heads belong to one group, and which of their rows are "
        "averaged with one another?",
        "A reshape to (n_kv_heads, group, head_dim, D) gives each index an axis. The mean goes over the group.",
        "head_dim = len(w) // n_heads\n"
        "grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, head_dim, w.shape[1])\n"
        "return grouped.mean(axis=1).reshape(n_kv_heads * head_dim, w.shape[1])",
    ),
    why=(
        "With the rows as (group, member, row of the head, column) a mean over the members mixes heads and leaves the "
        "rows of each where they are. A mean keeps the size of the weights, where a sum would make all scores larger. "
        "The result is a beginning and not an equal: heads that ask for different things have no common mean, so such "
        "a model is trained on."
    ),
)
def pool_heads_into_groups(w, n_heads, n_kv_heads):
    """Key (or value) weights for n_kv_heads heads: the mean of the heads of each group.

    Parameters
    ----------
    w : ndarray of shape (n_heads * head_dim, D)
        Of an MHA model; rows j * head_dim ... (j + 1) * head_dim - 1 are head j.
    n_heads, n_kv_heads : int
        A group is n_heads / n_kv_heads neighbouring heads.

    Returns
    -------
    ndarray of shape (n_kv_heads * head_dim, D)
    """
    head_dim = len(w) // n_heads
    grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, head_dim, w.shape[1])
    return grouped.mean(axis=1).reshape(-1, w.shape[1])


@pool_heads_into_groups.mistake(
    "Your function averages neighbouring rows, not heads.",
    "Rows next to one another are dims of one head. Average row i of each head of the group.",
)
def pool_rows(w, n_heads, n_kv_heads):
    return w.reshape(-1, n_heads // n_kv_heads, w.shape[1]).mean(axis=1)


@pool_heads_into_groups.mistake(
    "Your function averages heads that are n_kv_heads apart.",
    "A group is made of neighbouring heads: split the heads in (n_kv_heads, group), not in (group, n_kv_heads).",
)
def pool_tiled(w, n_heads, n_kv_heads):
    head_dim = len(w) // n_heads
    return w.reshape(-1, n_kv_heads, head_dim, w.shape[1]).mean(axis=0).reshape(-1, w.shape[1])


@pool_heads_into_groups.mistake(
    "Your function adds the heads of a group up instead of averaging them.",
    "A sum makes keys `group` times as long, and so all scores larger: take the mean.",
)
def adds_heads_up(w, n_heads, n_kv_heads):
    return pool_heads_into_groups(w, n_heads, n_kv_heads) * np.float32(n_heads // n_kv_heads)


@pool_heads_into_groups.mistake(
    "Your function keeps the first head of each group.",
    "That is possible, but throws the other heads away; here the mean of the group is asked for.",
)
def pool_first(w, n_heads, n_kv_heads):
    return by_head(w, n_heads)[:: n_heads // n_kv_heads].reshape(-1, w.shape[1])


@pool_heads_into_groups.mistake(
    "Your function keeps the first n_kv_heads heads.",
    "They all belong to the first groups. Every group has to give one head, the mean of its own.",
)
def pool_front(w, n_heads, n_kv_heads):
    return by_head(w, n_heads)[:n_kv_heads].reshape(-1, w.shape[1])


@pool_heads_into_groups.mistake(
    "Your function averages all heads and repeats the result.",
    "That is MQA with copies. Each group has a mean of its own.",
)
def pool_all(w, n_heads, n_kv_heads):
    return np.tile(by_head(w, n_heads).mean(axis=0), (n_kv_heads, 1))
