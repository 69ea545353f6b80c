"""The formats of llama.cpp's newer quantisers: K blocks of 256, and 4-bit levels that are not even.

A K block has two kinds of scale: a small integer for each sub-block of 16 or 32 neighbours, and
one float16 for all 256, which gives those integers their size. So each sub-block has a scale of its
own at 4 to 8 bits,

    w = d * s * q                     (Q3_K, Q6_K: sub-blocks of 16; IQ4_XS: of 32)
    w = d * s * q - d_min * m         (Q2_K: of 16; Q4_K, Q5_K: of 32).

In IQ4_NL and IQ4_XS q is not the stored number but the level it stands for (`IQ4_LEVELS`): dense
around zero, where most weights are.

Every function here takes blocks (n, bytes) and gives float32 (n, elements), or the parts of which
they are made. Layouts: ggml's ggml-common.h.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Bytes, Float32
from .bits import bits_of_rows, half, nibbles

# The 16 levels of IQ4_NL and IQ4_XS: kvalues_iq4nl in ggml-common.h.
IQ4_LEVELS = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.int8)


class SixteenParts(NamedTuple):
    """Blocks of 256 in 16 sub-blocks of 16: w = d * scale * (q - zero) - d_min * minimum."""

    q: Bytes  # (n, 16, 16)
    zero: int
    scale: NDArray[np.int8]  # (n, 16)
    d: Float32  # (n, 1)
    minimum: Bytes | None  # (n, 16), in Q2_K alone
    d_min: Float32 | None  # (n, 1)


def _dequantize_sixteens(parts: SixteenParts) -> Float32:
    """The products are exact in float32: 11 bits of d, 7 of the scale, 6 of q."""
    q = parts.q.astype(np.int8) - np.int8(parts.zero)
    weights = (parts.d * parts.scale)[:, :, None] * q
    if parts.minimum is not None and parts.d_min is not None:
        weights = weights - (parts.d_min * parts.minimum)[:, :, None]
    return weights.reshape(-1, 256)


def q2_k_parts(blocks: Bytes) -> SixteenParts:
    """16 bytes of scales (low half) and minima (high half), 64 bytes of bit pairs, d, d_min (f16)."""
    q = bits_of_rows(blocks[:, 16:80].reshape(-1, 2, 32), 2)
    scale, minimum = (blocks[:, :16] & 15).view(np.int8), blocks[:, :16] >> 4
    return SixteenParts(q.reshape(-1, 16, 16), 0, scale, half(blocks, 80), minimum, half(blocks, 82))


def q3_k_parts(blocks: Bytes) -> SixteenParts:
    """32 bytes of third bits, 64 of the lower bit pairs, 12 of scales less 32, d (f16).

    Scale i has its lower half in byte i % 8, low for i < 8 and high after, and its upper two bits
    in byte 8 + i % 4, at bit 2 * (i // 4).
    """
    low = bits_of_rows(blocks[:, 32:96].reshape(-1, 2, 32), 2)
    third = bits_of_rows(blocks[:, :32].reshape(-1, 1, 32), 1)
    shifts = np.array([0, 2, 4, 6], np.uint8)[:, None]
    upper = (blocks[:, None, 104:108] >> shifts & 3).reshape(-1, 16)
    scale = (nibbles(blocks[:, 96:104]) | upper << 4).view(np.int8) - np.int8(32)
    return SixteenParts((low | third << 2).reshape(-1, 16, 16), 4, scale, half(blocks, 108), None, None)


def q6_k_parts(blocks: Bytes) -> SixteenParts:
    """128 bytes of low nibbles, 64 of upper bit pairs, 16 int8 scales, d (f16) at the end.

    Each half of the block has its own 64 + 32 bytes; in it, row r of four groups of 32
    elements takes the nibbles of ql bytes 32 * (r % 2) ..., low for r < 2 and high after,
    and bits 2r and 2r + 1 of the qh bytes.
    """
    ql = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate((ql & 15, ql >> 4), axis=2).reshape(-1, 8, 32)
    q = low | bits_of_rows(blocks[:, 128:192].reshape(-1, 2, 32), 2) << 4
    scale = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    return SixteenParts(q.reshape(-1, 16, 16), 32, scale, half(blocks, 208), None, None)


def dequantize_q2_k(blocks: Bytes) -> Float32:
    return _dequantize_sixteens(q2_k_parts(blocks))


def dequantize_q3_k(blocks: Bytes) -> Float32:
    return _dequantize_sixteens(q3_k_parts(blocks))


def dequantize_q6_k(blocks: Bytes) -> Float32:
    return _dequantize_sixteens(q6_k_parts(blocks))


def _scales_and_minima(b: Bytes) -> tuple[Bytes, Bytes]:
    """Unpack the 6-bit scales and minima of the 8 sub-blocks from 12 bytes: two of (n, 8)."""
    scales = np.concatenate((b[:, 0:4] & 63, (b[:, 8:12] & 15) | (b[:, 0:4] >> 6) << 4), axis=1)
    minima = np.concatenate((b[:, 4:8] & 63, (b[:, 8:12] >> 4) | (b[:, 4:8] >> 6) << 4), axis=1)
    return scales, minima


def _sub_blocks(qs: Bytes) -> Bytes:
    """128 bytes to (n, 8, 32): chunk c of 32 bytes holds sub-block 2c (low) and 2c + 1 (high)."""
    chunks = qs.reshape(-1, 4, 1, 32)
    return np.concatenate((chunks & 15, chunks >> 4), axis=2).reshape(-1, 8, 32)


def q4_or_q5_k_parts(blocks: Bytes) -> tuple[Bytes, Float32, Float32]:
    """The eight sub-blocks of Q4_K and Q5_K blocks: w = scale * q + minimum.

    Q4_K is d, d_min (f16), 12 bytes of scales, 128 bytes of nibbles; Q5_K has 32 bytes of fifth
    bits before the nibbles, bit j of byte l for element l of sub-block j.

    Returns
    -------
    q : (n, 8, 32); scale, minimum : (n, 8, 1)
    """
    scales, minima = _scales_and_minima(blocks[:, 4:16])
    q = _sub_blocks(blocks[:, -128:])
    if blocks.shape[1] == 176:
        q = q | bits_of_rows(blocks[:, 16:48].reshape(-1, 1, 32), 1) << 4
    return q, (half(blocks, 0) * scales)[:, :, None], -(half(blocks, 2) * minima)[:, :, None]


def dequantize_q4_or_q5_k(blocks: Bytes) -> Float32:
    q, scale, minimum = q4_or_q5_k_parts(blocks)
    return (scale * q + minimum).reshape(-1, 256)


def dequantize_iq4_nl(blocks: Bytes) -> Float32:
    """d (f16), 16 bytes of levels' numbers, in the order of Q4_0."""
    return half(blocks, 0) * IQ4_LEVELS[nibbles(blocks[:, 2:])]


def iq4_xs_parts(blocks: Bytes) -> tuple[Bytes, Float32]:
    """d (f16), 16 upper bit pairs of the scales, 8 lower halves of them, 128 bytes of levels' numbers.

    Sub-block j of 32 has the lower half of its scale in nibble j % 2 of byte j // 2, the upper
    bits at bit 2j of the 16, and its 16 bytes in the order of Q4_0; 32 is taken from the scale.

    Returns
    -------
    packed : (n, 8, 16) bytes of two levels' numbers; scale : (n, 8, 1)
    """
    lower = (blocks[:, 4:8, None] >> np.array([0, 4], np.uint8) & 15).reshape(-1, 8)
    upper = (blocks[:, 2:4, None] >> np.array([0, 2, 4, 6], np.uint8) & 3).reshape(-1, 8)
    scale = (lower | upper << 4).view(np.int8) - np.int8(32)
    return blocks[:, 8:].reshape(-1, 8, 16), (half(blocks, 0) * scale)[:, :, None]


def dequantize_iq4_xs(blocks: Bytes) -> Float32:
    packed, scale = iq4_xs_parts(blocks)
    q = np.concatenate((packed & 15, packed >> 4), axis=2)
    return (scale * IQ4_LEVELS[q]).reshape(-1, 256)
