"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

AXES = ("batch", "head", "position", "dim")


def torch_attention(q, k, v, positions):
    """PyTorch's own attention in float64, with the mask that the positions give and grouped heads."""
    import torch

    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    group = q.shape[1] // k.shape[1]
    visible = torch.arange(k.shape[2]) <= torch.tensor(positions)[:, None, :, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q64, k64.repeat_interleave(group, 1), v64.repeat_interleave(group, 1), attn_mask=visible
    ).numpy()


def make_heads(
    rng: np.random.Generator, B: int, T: int, past: int, K: int, group: int, head_dim: int
) -> tuple[Any, ...]:
    """Queries of K * group heads, keys and values of K; every sequence of a batch at its own place.

    A chunk of several rows after cached ones leaves one out, half way. In a longer one the first query has scores near
    -760, and the last near 760.
    """
    n_keys = past + T + (2 if past else 0)
    q = rng.normal(size=(B, K * group, T, head_dim)).astype(np.float32)
    k, v = (rng.normal(size=(B, K, n_keys, head_dim)).astype(np.float32) for _ in range(2))
    if past and T > 3:
        k[..., 0] = rng.uniform(0.9, 1.1, k.shape[:-1])
        q[:, :, [0, -1]] = 0
        q[:, :, [0, -1], 0] = 760 * math.sqrt(head_dim) * np.array([-1, 1])
    start = np.where(np.arange(B) == 0, past, rng.integers(0, past + 1, B))
    return q, k, v, start[:, None] + with_gap(T, past)


def with_gap(T: int, past: int) -> np.ndarray:
    """0 ... T - 1 at the beginning of a text; after `past` tokens one is left out half way."""
    return np.arange(T) + (2 * np.arange(T) >= T) * (T > 1 and past > 0)
