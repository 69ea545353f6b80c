"""Reading blocks byte by byte: float16 scales, and numbers of fewer than eight bits."""

from __future__ import annotations

import numpy as np

from ..compute.array_types import Bytes, Float32


def half(blocks: Bytes, at: int) -> Float32:
    """The float16 at byte `at` of every block, as float32 of shape (n, 1)."""
    return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)


def nibbles(packed: Bytes) -> Bytes:
    """Split bytes (n, k) into 4-bit numbers (n, 2k): all the low halves, then all the high ones."""
    return np.concatenate((packed & 15, packed >> 4), axis=1)


def bits_of_rows(packed: Bytes, n_bits: int) -> Bytes:
    """Split bytes (n, k, 32) into numbers of 1 or 2 bits: (n, k * 8 / n_bits, 32).

    Every run of 32 bytes holds 8 / n_bits rows of 32 numbers: the lowest bits of all its bytes
    are the first row, the next bits the second …
    """
    shifts = np.arange(0, 8, n_bits, dtype=np.uint8)[:, None]
    rows = packed[:, :, None, :] >> shifts & np.uint8((1 << n_bits) - 1)
    return rows.reshape(len(packed), -1, 32)
