"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

from ....layers.rope import rope_forward, rope_half_forward


def interleaved(x, cos, sin, positions):
    return rope_forward(x, cos, sin, positions)[0]


def half(x, cos, sin, positions):
    return rope_half_forward(x, cos, sin, positions)[0]
