"""SiLU for any number."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .shared import sigmoid
from .variants import gelu, logistic, quick_gelu


def make_numbers(rng: np.random.Generator, B: int, T: int, D: int, spread: int) -> tuple[Any, ...]:
    """Numbers of shape (B, T, D); sizes of 0 are axes that are not there."""
    return ((spread * rng.normal(size=[n for n in (B, T, D) if n])).astype(np.float32),)


def torch_silu(g):
    import torch

    return torch.nn.functional.silu(torch.tensor(g, dtype=torch.float64)).numpy()


@exercise(
    title="SiLU for any number",
    task="g * sigmoid(g) for any finite number, without an overflow on the way.",
    difficulty=1,
    minutes=10,
    make=make_numbers,
    shapes=(
        {"B": 0, "T": 1, "D": 4, "spread": 1},
        {"B": 0, "T": 1, "D": 1, "spread": 2},
        {"B": 0, "T": 0, "D": 5, "spread": 3},
        {"B": 2, "T": 3, "D": 7, "spread": 4},
        {"B": 0, "T": 2, "D": 33, "spread": 30},
        {"B": 0, "T": 3, "D": 64, "spread": 1000},
    ),
    axes=("batch", "row", "dim"),
    oracle=torch_silu,
    atol=1e-7,
    hints=(
        "sigmoid(g) = 1 / (1 + exp(-g)). In float32 exp is infinite from 89 on: for which g is that a problem?",
        "exp of a number that is not positive lies between 0 and 1. Divide numerator and denominator of "
        "sigmoid(g) by what makes only exp(-|g|) appear: for g < 0 it is exp(g) / (1 + exp(g)).",
        "small = np.exp(-np.abs(g))                             # at most 1\n"
        "sigmoid = np.where(g >= 0, 1, small) / (1 + small)     # then times g",
    ),
    why=(
        "The formula as it stands overflows far below 0, but exp(-|g|) is at most 1, and the sigmoid of either sign "
        "can be written with it. `np.where` computes both of its branches, so each of them has to be safe, not only "
        "the one that is taken. Times g, the sigmoid becomes a line on the right and dies away on the left."
    ),
)
def silu_stable(g):
    """SiLU, also called swish, for any finite number.

    silu(g) = g * sigmoid(g) = g / (1 + exp(-g))

    Nothing should overflow on the way, not even in numbers that are thrown away afterwards:
    the check remarks on it.

    Parameters
    ----------
    g : float32 ndarray of any shape

    Returns
    -------
    y : ndarray of the same shape and dtype
    """
    return g * sigmoid(g)


@silu_stable.mistake(
    "Your function divides infinity by infinity for large g.",
    "exp(g) / (1 + exp(g)) is fine for g < 0 only. Use 1 / (1 + exp(-g)) where g >= 0.",
)
def one_sided_exp(g):
    e = np.exp(g)
    return g * e / (1 + e)


@silu_stable.mistake(
    "Your function is the sigmoid: the factor g is missing.",
    "The sigmoid lies between 0 and 1. SiLU multiplies it by g, so that it grows like g on the right.",
)
def is_the_sigmoid(g):
    return logistic(g)


@silu_stable.mistake(
    "Your function is GELU, in its tanh form.",
    "GPT-2 uses GELU. The two look alike, LLaMA has SiLU: g * sigmoid(g).",
)
def is_gelu_in_its_tanh_form(g):
    return gelu(g)


@silu_stable.mistake(
    "Your function is g * sigmoid(1.702 g), the quick form of GELU.",
    "SiLU has no factor inside the sigmoid.",
)
def is_the_quick_gelu(g):
    return quick_gelu(g)


@silu_stable.mistake(
    "Your function is ReLU.",
    "SiLU is smooth and dips below 0, to -0.278 at g = -1.278.",
)
def is_relu(g):
    return np.maximum(g, 0)


@silu_stable.mistake(
    "Your function closes the gate where it should open: it computes g * sigmoid(-g).",
    "Large g must pass: sigmoid(g) = 1 / (1 + exp(-g)), with the minus.",
)
def closes_gate_where_it_should_open(g):
    return g * logistic(-g)


@silu_stable.mistake(
    "Your function cuts g off at 20 before anything else.",
    "That avoids the overflow, but silu(1000) is 1000, not 20. Nothing needs to be cut off if exp is taken of -|g|.",
)
def cuts_g_off_at_20_before_anything(g):
    return silu_stable(np.clip(g, -20, 20))


@silu_stable.mistake(
    "Your function is g * sigmoid(2 g).",
    "In the tanh form the sigmoid is (1 + tanh(g / 2)) / 2, with half of g inside; in the other form it has exp(-g).",
)
def sigmoid_of_2g(g):
    return g * logistic(2 * g)
