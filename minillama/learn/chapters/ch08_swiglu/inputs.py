"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def make_ffn(rng: np.random.Generator, B: int, T: int, D: int, hidden: int) -> tuple[Any, ...]:
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    w_gate, w_up = (2 * rng.normal(size=(2, hidden, D)) / math.sqrt(D)).astype(np.float32)
    return x, w_gate, w_up, (rng.normal(size=(D, hidden)) / math.sqrt(hidden)).astype(np.float32)


def torch_feed_forward(x, w_gate, w_up, w_down):
    import torch
    import torch.nn.functional as F

    x, w_gate, w_up, w_down = (torch.tensor(a, dtype=torch.float64) for a in (x, w_gate, w_up, w_down))
    return F.linear(F.silu(F.linear(x, w_gate)) * F.linear(x, w_up), w_down).numpy()


FFN_SHAPES = (
    {"B": 1, "T": 1, "D": 3, "hidden": 3},
    {"B": 1, "T": 1, "D": 1, "hidden": 2},
    {"B": 2, "T": 3, "D": 4, "hidden": 7},
    {"B": 3, "T": 1, "D": 6, "hidden": 16},
    {"B": 2, "T": 5, "D": 24, "hidden": 64},
)
