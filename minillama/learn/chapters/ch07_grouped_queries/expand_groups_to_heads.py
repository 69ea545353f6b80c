"""Every GQA is an MHA."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import POOL_SHAPES
from .variants import by_head


def make_group_rows(rng: np.random.Generator, K: int, group: int, head_dim: int, D: int) -> tuple[Any, ...]:
    return rng.normal(size=(K * head_dim, D)).astype(np.float32), K * group, K


@exercise(
    title="Every GQA is an MHA",
    task="Make key (or value) weights with n_heads heads that compute exactly what the grouped ones compute.",
    difficulty=2,
    minutes=10,
    make=make_group_rows,
    shapes=POOL_SHAPES,
    axes=("row", "column"),
    hints=(
        "When every query head has a key head of its own, which weights must that key head have so that nothing "
        "changes?",
        "Those of its group: every head's block of head_dim rows is there `group` times, side by side. Repeat blocks, "
        "not rows.",
        "heads = w.reshape(n_kv_heads, -1, w.shape[1])           # (K, head_dim, D)\n"
        "return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])",
    ),
    why=(
        "If every member of a group gets its own copy of the weights, each computes the very key that all of them "
        "shared, and nothing changes. The copies stand side by side, in the order in which query heads read them. "
        "That is why every GQA model is an MHA model with equal heads, and why the way back loses something."
    ),
)
def expand_groups_to_heads(w, n_heads, n_kv_heads):
    """Key (or value) weights for n_heads heads with which MHA computes what GQA computed.

    Parameters
    ----------
    w : ndarray of shape (n_kv_heads * head_dim, D)
        Of a GQA model.
    n_heads, n_kv_heads : int

    Returns
    -------
    ndarray of shape (n_heads * head_dim, D)
    """
    heads = w.reshape(n_kv_heads, -1, w.shape[1])  # (K, head_dim, D)
    return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])


@expand_groups_to_heads.mistake(
    "Your function tiles: the key heads a, b become a, b, a, b.",
    "Neighbouring query heads read the same key head: a, a, b, b.",
)
def tiles_key_heads(w, n_heads, n_kv_heads):
    return np.tile(w, (n_heads // n_kv_heads, 1))


@expand_groups_to_heads.mistake(
    "Your function repeats single rows.",
    "A head is a block of head_dim rows, and its rows have to stay in order: repeat blocks.",
)
def repeats_single_rows(w, n_heads, n_kv_heads):
    return np.repeat(w, n_heads // n_kv_heads, axis=0)


@expand_groups_to_heads.mistake(
    "Your function shares the weights out: each copy is divided by the size of the group.",
    "Every query head reads its own copy, and must find there what it found before: no division.",
)
def shares_weights_out(w, n_heads, n_kv_heads):
    return expand_groups_to_heads(w, n_heads, n_kv_heads) / np.float32(n_heads // n_kv_heads)


@expand_groups_to_heads.mistake(
    "Only the first head of each group gets the weights; the others are zero.",
    "With a key of zeros a query head would look at everything alike. Every head of the group needs the copy.",
)
def expand_padded(w, n_heads, n_kv_heads):
    head_dim, group = len(w) // n_kv_heads, n_heads // n_kv_heads
    out = np.zeros((n_kv_heads, group, head_dim, w.shape[1]), w.dtype)
    out[:, 0] = by_head(w, n_kv_heads)
    return out.reshape(-1, w.shape[1])


@expand_groups_to_heads.mistake(
    "All your heads are copies of key head 0.",
    "Each group has a key head of its own.",
)
def all_heads_are_copies_of_head_0(w, n_heads, n_kv_heads):
    return np.tile(w[: len(w) // n_kv_heads], (n_heads, 1))
