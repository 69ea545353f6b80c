"""Chapter 05: RoPE, rotary position embedding. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def rope_angles(head_dim, positions, theta):
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
    return positions[:, None] * frequencies


def rope_interleaved(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]  # (B, 1, T, head_dim / 2)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = even * c - odd * s
    y[..., 1::2] = even * s + odd * c
    return y


def rope_half(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)


def permute_half_to_interleaved(rows, head_dim):
    pairs = rows.reshape(-1, 2, head_dim // 2, rows.shape[1])  # (head, b, i, column)
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def rope_offsets(x, lengths, theta):
    positions = lengths[:, None] + np.arange(x.shape[2])  # (B, T)
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = (positions[..., None] * frequencies)[:, None]  # (B, 1, T, head_dim / 2)
    c, s = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


def rope_backward(dy, cos, sin, positions):
    return rope_interleaved(dy, cos, -sin, positions)
