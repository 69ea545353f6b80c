"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

from ....layers.linear import LinearSaved
from ....layers.linear import linear_backward as package_linear_backward


def linear_gradients(dy, x, weight):
    return package_linear_backward(dy, LinearSaved(x, weight))
