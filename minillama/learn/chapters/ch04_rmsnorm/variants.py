"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.rmsnorm import rmsnorm_forward as package_rmsnorm_forward


def forward(x, weight, eps):
    return package_rmsnorm_forward(x, weight, eps)[0]


def mean_of_squares(x, axis: Any = -1):
    return np.mean(x * x, axis=axis, keepdims=True)
