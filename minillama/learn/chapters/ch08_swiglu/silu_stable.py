"""SiLU for any number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .shared import sigmoid
from .variants import gelu, logistic


def make_z(rng: np.random.Generator, B: int, D: int, spread: int) -> tuple[Any, ...]:
    return ((spread * rng.normal(size=(B, D))).astype(np.float32),)


def torch_silu(z):
    import torch

    return torch.nn.functional.silu(torch.tensor(z, dtype=torch.float64)).numpy()


@exercise(
    title="SiLU for any number",
    task="z * sigmoid(z) for numbers of any size, without an overflow on the way.",
    difficulty=1,
    minutes=10,
    make=make_z,
    shapes=(
        {"B": 1, "D": 4, "spread": 1},
        {"B": 1, "D": 1, "spread": 2},
        {"B": 3, "D": 7, "spread": 4},
        {"B": 2, "D": 33, "spread": 30},
        {"B": 3, "D": 64, "spread": 1000},
    ),
    axes=("row", "dim"),
    oracle=torch_silu,
    atol=1e-7,
    hints=(
        "sigmoid(z) = 1 / (1 + exp(-z)). In float32 exp is infinite from 89 on: for which z is that a problem?",
        "exp of a number that is not positive lies between 0 and 1. Divide numerator and denominator of "
        "sigmoid(z) by what makes only exp(-|z|) appear: for z < 0 it is exp(z) / (1 + exp(z)).",
        "small = np.exp(-np.abs(z))                             # at most 1\n"
        "sigmoid = np.where(z >= 0, 1, small) / (1 + small)     # then times z",
    ),
)
def silu_stable(z):
    """SiLU, also called swish, for numbers of any size.

    silu(z) = z * sigmoid(z) = z / (1 + exp(-z))

    Nothing should overflow on the way, not even in numbers that are thrown away afterwards:
    the check remarks on it.

    Parameters
    ----------
    z : float32 ndarray of any shape

    Returns
    -------
    y : ndarray of the same shape and dtype
    """
    return z * sigmoid(z)


@silu_stable.mistake(
    "Your function divides infinity by infinity for large z.",
    "exp(z) / (1 + exp(z)) is fine for z < 0 only. Use 1 / (1 + exp(-z)) where z >= 0.",
)
def one_sided_exp(z):
    e = np.exp(z)
    return z * e / (1 + e)


@silu_stable.mistake(
    "Your function is the sigmoid: the factor z is missing.",
    "The sigmoid lies between 0 and 1. SiLU multiplies it by z, so that it grows like z on the right.",
)
def is_the_sigmoid(z):
    return logistic(z)


@silu_stable.mistake(
    "Your function is GELU, in its tanh form.",
    "GPT-2 uses GELU. The two look alike, LLaMA has SiLU: z * sigmoid(z).",
)
def is_gelu_in_its_tanh_form(z):
    return gelu(z)


@silu_stable.mistake(
    "Your function is z * sigmoid(1.702 z), the quick form of GELU.",
    "SiLU has no factor inside the sigmoid.",
)
def is_the_quick_gelu(z):
    return z * logistic(1.702 * z)


@silu_stable.mistake(
    "Your function is ReLU.",
    "SiLU is smooth and dips below 0, to -0.278 at z = -1.278.",
)
def is_relu(z):
    return np.maximum(z, 0)


@silu_stable.mistake(
    "Your function closes the gate where it should open: it computes z * sigmoid(-z).",
    "Large z must pass: sigmoid(z) = 1 / (1 + exp(-z)), with the minus.",
)
def closes_gate_where_it_should_open(z):
    return z * logistic(-z)


@silu_stable.mistake(
    "Your function cuts z off at 20 before anything else.",
    "That avoids the overflow, but silu(1000) is 1000, not 20. Nothing needs to be cut off if exp is taken of -|z|.",
)
def cuts_z_off_at_20_before_anything(z):
    return silu_stable(np.clip(z, -20, 20))
