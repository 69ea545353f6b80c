"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

import math

import numpy as np

from ....layers.swiglu import swiglu_forward as package_swiglu_forward


def logistic(g):
    small = np.exp(-np.abs(g))
    return np.where(g >= 0, 1, small) / (1 + small)


def gelu(g):
    """The tanh form, as GPT-2 has it."""
    return 0.5 * g * (1 + np.tanh(math.sqrt(2 / math.pi) * (g + 0.044715 * g**3)))


def quick_gelu(g):
    return g * logistic(1.702 * g)


def forward(gate, up):
    return package_swiglu_forward(gate, up)[0]
