"""Functions that several solutions call."""

from __future__ import annotations

from ....ops import REFERENCE as ops


def rmsnorm(x, weight, eps):
    return ops.rmsnorm_forward(x, weight, eps)[0]
