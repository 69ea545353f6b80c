"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np

EPS = 1e-5
FIELDS = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")


def shapes_of(header):
    """The shape of every tensor, stacked over the layers; and of what stands at "rope"."""
    d, f, n, v = (header[name] for name in ("dim", "hidden_dim", "n_layers", "vocab_size"))
    h = d // header["n_heads"]
    kv = header["n_kv_heads"] * h
    return {
        **{"token_embedding": (v, d), "attention_norm": (n, d), "wq": (n, d, d), "wk": (n, kv, d), "wv": (n, kv, d)},
        **{"wo": (n, d, d), "ffn_norm": (n, d), "w_gate": (n, f, d), "w_down": (n, d, f), "w_up": (n, f, d)},
        **{"final_norm": (d,), "rope": (2, header["max_seq_len"], h // 2), "output": (v, d)},
    }


def make_file(
    rng: np.random.Generator, H: int, K: int, head_dim: int, hidden: int, L: int, V: int, S: int, tied: int
) -> tuple[Any, ...]:
    if head_dim % 2 or H % K:
        raise ValueError("head_dim must be even, and K a divisor of H")
    numbers = (H * head_dim, hidden, L, H, K, V, S)
    shapes = shapes_of(dict(zip(FIELDS, numbers)))
    header = struct.pack("<7i", *numbers[:5], V if tied else -V, S)
    size = sum(math.prod(shape) for name, shape in shapes.items() if name != "output" or not tied)
    return (header + rng.normal(size=size).astype("<f4").tobytes(),)


FILE_SHAPES = (
    {"H": 2, "K": 1, "head_dim": 2, "hidden": 3, "L": 2, "V": 5, "S": 3, "tied": 0},
    {"H": 1, "K": 1, "head_dim": 2, "hidden": 1, "L": 1, "V": 3, "S": 1, "tied": 1},
    {"H": 4, "K": 2, "head_dim": 2, "hidden": 11, "L": 3, "V": 7, "S": 9, "tied": 1},
    {"H": 3, "K": 3, "head_dim": 4, "hidden": 20, "L": 2, "V": 40, "S": 16, "tied": 0},
    {"H": 8, "K": 4, "head_dim": 8, "hidden": 172, "L": 2, "V": 65, "S": 12, "tied": 1},
)
