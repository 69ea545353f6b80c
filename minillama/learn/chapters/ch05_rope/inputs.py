"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.rope import rope_table

THETA = 10000.0
SHAPES = (
    {"B": 1, "T": 2, "H": 1, "head_dim": 4},
    {"B": 1, "T": 1, "H": 1, "head_dim": 2},
    {"B": 2, "T": 3, "H": 2, "head_dim": 6},
    {"B": 3, "T": 7, "H": 5, "head_dim": 8},
    {"B": 1, "T": 33, "H": 3, "head_dim": 64},
)
AXES = ("batch", "head", "position", "dim")


def make_inputs(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    """x (B, H, T, head_dim), the table, and positions that start anywhere, each sequence at its own.

    Chunks of more than three rows have gaps; so they rise, but not by one. In a large batch they are far, and in no
    order.
    """
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    far = 600 if B > 2 else 0
    x = rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    cos, sin = rope_table(head_dim, 2 * T + 12 + far, THETA)
    start = rng.integers(0, 12, (B, 1)) if B > 1 or T > 2 else np.zeros((B, 1), np.int64)
    gaps = np.cumsum(rng.integers(0, 2, T)) if T > 3 else 0
    positions = start + far + np.arange(T) + gaps
    return x, cos, sin, rng.permuted(positions, axis=1) if far else positions
