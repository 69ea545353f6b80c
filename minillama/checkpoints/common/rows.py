"""The order of rows that RoPE's layout decides: of wq and wk, of their biases, and of the norms of a head.

Hugging Face, and GGUF files of qwen2 and qwen3, rotate the two halves of a head against each other; Meta, llama2.c
and GGUF files of llama rotate neighbours, as this package does. Readers and writers reorder here; layers/rope.py
says why.
"""

from __future__ import annotations

import numpy as np

from ...layers.rope import half_to_interleaved, interleaved_to_half
from ...quantization.formats import PackedArray, Weight

_ROTATED = (".wq", ".wk", ".bq", ".bk", ".q_norm", ".k_norm")


def is_rotated(name: str) -> bool:
    """Whether the rows of a parameter stand in RoPE's order."""
    return name.endswith(_ROTATED)


def in_interleaved_order(name: str, weight: Weight, head_dim: int) -> Weight:
    """A parameter whose rows stood in halves, in this package's order; others come back as they are."""
    if not is_rotated(name):
        return weight
    if isinstance(weight, PackedArray):  # a row moves as its bytes
        return PackedArray(half_to_interleaved(weight.data, head_dim), weight.format, weight.n_columns)
    assert isinstance(weight, np.ndarray)  # readers make no other kind
    return half_to_interleaved(weight, head_dim)


def order_in_halves(name: str, n_rows: int, head_dim: int) -> np.ndarray:
    """Which row of a parameter comes first, second … where halves are rotated: for writers."""
    rows = np.arange(n_rows)
    return interleaved_to_half(rows, head_dim) if is_rotated(name) else rows
