"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

from ....layers.rmsnorm import rmsnorm_forward


def normalised(x, weight, eps):
    return rmsnorm_forward(x, weight, eps)[0]
