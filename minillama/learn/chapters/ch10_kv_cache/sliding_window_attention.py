"""A window that slides."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.attention import attention_forward
from ...exercises.exercise import exercise


def make_window(
    rng: np.random.Generator, B: int, H: int, K: int, T: int, window: int, head_dim: int
) -> tuple[Any, ...]:
    """A chunk that starts where the window has already left something behind, and unused room at the end.

    For heads of four numbers the first and the last have scores near 760 and -760: exp of them leaves float64.
    """
    if H % K:
        raise ValueError("H must be a multiple of K")
    start = (512 if window > 10 else 0) + rng.integers(window + 1, 2 * window + 4, (B, 1))
    start[1:2] = 0
    positions = start + np.arange(T) + (np.arange(T) > 2)  # a gap after three
    n_keys = int(positions.max()) + 3
    q = 2 * rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    k, v = rng.normal(size=(2, B, K, n_keys, head_dim)).astype(np.float32)
    if head_dim == 4:  # all scores are exact in float32
        q[0, [0, -1]] = 0
        q[0, [0, -1], :, 0] = np.array([[2 * 760], [-2 * 760]])
        k[0, :, :, 0] = 1 + rng.integers(-8, 9, (K, n_keys)) / 512
    return q, k, v, positions, window


def torch_window(q, k, v, positions, window):
    import torch

    keys, queries = torch.arange(k.shape[2]), torch.tensor(positions)[:, :, None]
    visible = (keys <= queries) & (keys > queries - window)
    q, k, v = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None], enable_gqa=True)
    return y.numpy()


@exercise(
    title="A window that slides",
    task="Attention in which a query sees its own key and the window - 1 before it: a cache of bounded size.",
    difficulty=2,
    minutes=20,
    make=make_window,
    oracle=torch_window,
    shapes=(
        {"B": 1, "H": 1, "K": 1, "T": 2, "window": 2, "head_dim": 2},
        {"B": 1, "H": 2, "K": 1, "T": 1, "window": 1, "head_dim": 2},
        {"B": 2, "H": 4, "K": 2, "T": 3, "window": 3, "head_dim": 4},
        {"B": 3, "H": 6, "K": 2, "T": 7, "window": 4, "head_dim": 8},
        {"B": 2, "H": 3, "K": 3, "T": 9, "window": 16, "head_dim": 6},
    ),
    axes=("batch", "head", "query", "dim"),
    hints=(
        "Only the mask differs from causal attention: it gets a second condition. How far away, counted in "
        "positions, may a key be?",
        "The distance of key s from a query at position m is m - s. Visible are distances 0 ... window - 1.",
        "distance = positions[:, :, None] - np.arange(k.shape[2])      # (B, T, S)\n"
        "visible = (distance >= 0) & (distance < window)\n"
        "scores = np.where(visible[:, None], scores, -np.inf)          # before the softmax",
    ),
    why=(
        "The distance of query and key says both: below 0 is the future, from `window` on the forgotten past. Each "
        "query measures from its own position, so the window slides within a chunk too. Layers hand on what they have "
        "seen, so two of them reach nearly two windows back."
    ),
)
def sliding_window_attention(q, k, v, positions, window):
    """Causal attention in which a query at position m sees only the keys m - window + 1 ... m.

    y[b, j, t] = sum over visible s of softmax_s(q[b, j, t] . k[b, g, s] / sqrt(head_dim)) v[b, g, s]

    with g = j // (H / K), the key head of query head j. Scores may be as large as 2000 in size, where exp
    overflows.

    Parameters
    ----------
    q : ndarray of shape (B, H, T, head_dim)
    k, v : ndarray of shape (B, K, S, head_dim)
    positions : integer ndarray of shape (B, T)
        Where each query stands in its own sequence: below S, rising, and there may be gaps.
    window : int
        1 or more; the query's own key counts.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `q`
    """
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, head_dim)
    scores = q @ k.swapaxes(2, 3) / q.dtype.type(np.sqrt(q.shape[3]))
    distance = positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S)
    visible = (distance >= 0) & (distance < window)
    scores = np.where(visible[:, None], scores, q.dtype.type(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def masked_attention(q, k, v, visible, *, after=False):
    """Attention with the mask (B, T, S); `after` applies it to the probabilities instead of the scores."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[3]))
    if not after:
        scores = np.where(visible[:, None], scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.where(visible[:, None], weights, np.float32(0)) @ v


def _distance(k, positions):
    return positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S): 0 for a query's own key


@sliding_window_attention.mistake(
    "Your window is one key too long.",
    "The query's own key counts: distances 0 ... window - 1, which is m - s < window and not <=.",
)
def window_one_more(q, k, v, positions, window):
    return sliding_window_attention(q, k, v, positions, window + 1)


@sliding_window_attention.mistake(
    "Your function ignores the window.",
    "It is plain causal attention: keys at a distance of `window` and more have to be hidden too.",
)
def window_full(q, k, v, positions, window):
    return attention_forward(q, k, v, positions)[0]


@sliding_window_attention.mistake(
    "Your window reaches into the future.",
    "The distance m - s must not be negative: an absolute value lets a query see the keys after it.",
)
def window_both_sides(q, k, v, positions, window):
    return masked_attention(q, k, v, np.abs(_distance(k, positions)) < window)


@sliding_window_attention.mistake(
    "Your window is that of the chunk's first query, for all of them.",
    "The window slides: each query of a chunk has its own.",
)
def window_of_chunk(q, k, v, positions, window):
    distance = _distance(k, positions)
    return masked_attention(q, k, v, (distance >= 0) & (distance[:, :1] < window))


@sliding_window_attention.mistake(
    "Your function keeps the first keys of the text, not the last ones.",
    "The window ends at the query: keys m - window + 1 ... m.",
)
def window_first_keys(q, k, v, positions, window):
    keys = np.arange(k.shape[2])
    return masked_attention(q, k, v, (keys <= positions[:, :, None]) & (keys < window))


@sliding_window_attention.mistake(
    "Your function hides keys after the softmax: the weights no longer add up to 1.",
    "Put -inf in the scores first; then the softmax shares all the weight among visible keys.",
)
def window_after_softmax(q, k, v, positions, window):
    distance = _distance(k, positions)
    return masked_attention(q, k, v, (distance >= 0) & (distance < window), after=True)


@sliding_window_attention.mistake(
    "Your function counts positions from 0 in every chunk.",
    "The first query of a chunk stands at positions[b, 0]: use the positions that are given.",
)
def window_from_zero(q, k, v, positions, window):
    return sliding_window_attention(q, k, v, np.broadcast_to(np.arange(positions.shape[1]), positions.shape), window)
