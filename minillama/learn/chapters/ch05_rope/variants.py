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
