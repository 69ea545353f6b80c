"""Copies of the key heads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_keys(rng: np.random.Generator, B: int, K: int, group: int, S: int, head_dim: int) -> tuple[Any, ...]:
    return rng.normal(size=(B, K, S, head_dim)).astype(np.float32), group


def torch_repeat(k, group):
    import torch

    return torch.tensor(k).repeat_interleave(group, dim=1).numpy()


@exercise(
    title="Copies of the key heads",
    task="Repeat every key head `group` times, so that there are as many as query heads: Meta's repeat_kv.",
    difficulty=1,
    minutes=5,
    make=make_keys,
    shapes=(
        {"B": 1, "K": 2, "group": 2, "S": 2, "head_dim": 2},
        {"B": 1, "K": 1, "group": 1, "S": 1, "head_dim": 2},
        {"B": 2, "K": 1, "group": 3, "S": 4, "head_dim": 2},
        {"B": 3, "K": 3, "group": 2, "S": 5, "head_dim": 4},
        {"B": 2, "K": 2, "group": 4, "S": 3, "head_dim": 6},
    ),
    axes=("batch", "head", "key", "dim"),
    oracle=torch_repeat,
    hints=(
        "The copies of a head stand side by side: heads a, b become a, a, b, b. NumPy has a function that repeats "
        "along an axis.",
        "np.tile gives a, b, a, b; np.repeat gives a, a, b, b. The head is axis 1.",
        "return np.repeat(k, group, axis=1)",
    ),
    why=(
        "Query heads of a group stand side by side, so the copies of their key head have to stand so too; then number "
        "j of one is for number j of the other. `np.repeat` does that along the axis of the heads, while `np.tile` "
        "would lay out the whole row of heads again and again. Copies cost memory, and are made only for a layer that "
        "knows no groups."
    ),
)
def repeat_kv_heads(k, group):
    """Copy every head `group` times, copies side by side: heads a, b become a, a, b, b for a group of 2.

    Parameters
    ----------
    k : ndarray of shape (B, K, S, head_dim)
    group : int

    Returns
    -------
    ndarray of shape (B, K * group, S, head_dim)
    """
    return np.repeat(k, group, axis=1)


@repeat_kv_heads.mistake(
    "Your function tiles: heads a, b become a, b, a, b.",
    "Neighbours share a key head: a, a, b, b. In NumPy np.repeat, in PyTorch repeat_interleave "
    "(Tensor.repeat is NumPy's tile).",
)
def tiles_heads(k, group):
    return np.tile(k, (1, group, 1, 1))


@repeat_kv_heads.mistake(
    "Your function repeats single numbers, not heads.",
    "np.repeat without an axis flattens first: say axis=1.",
)
def repeat_flat(k, group):
    return np.repeat(k, group).reshape(k.shape[0], -1, *k.shape[2:])


@repeat_kv_heads.mistake(
    "Your function repeats the keys of each head.",
    "Axis 2 is the key's position. What is shared are heads: axis 1.",
)
def repeat_positions(k, group):
    return np.repeat(k, group, axis=2)


@repeat_kv_heads.mistake(
    "Your function repeats the keys of each head, and cuts the result into heads.",
    "The axis for the copies belongs right behind the head, before the key's position: (B, K, group, S, head_dim).",
)
def repeat_positions_as_heads(k, group):
    return repeat_positions(k, group).reshape(k.shape[0], -1, *k.shape[2:])


@repeat_kv_heads.mistake(
    "Your function mixes the sequences of the batch.",
    "Repeat along axis 1, the head; a reshape over (batch, head) must keep the batch in front.",
)
def repeat_batch(k, group):
    return np.tile(k, (group, 1, 1, 1)).reshape(k.shape[0], -1, *k.shape[2:])


@repeat_kv_heads.mistake(
    "All your heads are copies of head 0.",
    "Each of the K heads has to be there, `group` times.",
)
def all_heads_are_copies_of_head_0(k, group):
    return np.repeat(k[:, :1], group * k.shape[1], axis=1)
