"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

import numpy as np

from ....layers.rope import rope_forward


def interleaved(x, cos, sin, positions):
    return rope_forward(x, cos, sin, positions)[0]


def half(x, cos, sin, positions):
    """The rotation of the pairs (x[i], x[i + head_dim/2]), Hugging Face's."""
    c, s = cos[positions][:, None], sin[positions][:, None]
    first, second = np.split(x, 2, axis=-1)
    return np.concatenate((first * c - second * s, first * s + second * c), axis=-1)


def overwritten(x, cos, sin, positions, first, second):
    """The rotation written into one array: the second of each pair meets the first one as it is already turned."""
    c, s = cos[positions][:, None], sin[positions][:, None]
    y = x.copy()
    y[..., first] = y[..., first] * c - y[..., second] * s
    y[..., second] = y[..., first] * s + y[..., second] * c
    return y


EVEN, ODD = slice(0, None, 2), slice(1, None, 2)


def first_of_batch(positions):
    """The first sequence's positions for all."""
    return np.broadcast_to(positions[:1], positions.shape)


def without_gaps(positions):
    """Positions that run on by one from the first."""
    return positions[..., :1] + np.arange(positions.shape[-1])
