"""The gate."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np

from ....layers.swiglu import swiglu_forward_fast
from ...exercises.exercise import Speed, exercise
from .silu_stable import silu_stable
from .variants import forward, gelu, logistic, quick_gelu


def make_gate(rng: np.random.Generator, B: int, T: int, hidden: int) -> tuple[Any, ...]:
    """Gates of any size in a batch of one position, where exp of them overflows; a size of 0 is an axis less."""
    gate, up = (2 * rng.normal(size=[2, *(n for n in (B, T) if n), hidden])).astype(np.float32)
    return gate * np.float32(100 if B > 1 and T == 1 else 1), up


def torch_forward(gate, up):
    import torch

    return (torch.nn.functional.silu(torch.tensor(gate)) * torch.tensor(up)).numpy()


def naive_forward(gate, up):
    y = np.empty_like(gate)
    flat_gate, flat_up, flat_y = gate.reshape(-1), up.reshape(-1), y.reshape(-1)
    for i in range(gate.size):
        small = math.exp(-abs(flat_gate[i]))
        flat_y[i] = flat_gate[i] * (1 if flat_gate[i] >= 0 else small) / (1 + small) * flat_up[i]
    return y


def torch_product(gate, up):
    import torch

    return torch.nn.functional.silu(gate) * up


@numba.njit(parallel=True)
def _gate(gate, up, y):
    for i in numba.prange(gate.size):
        small = np.exp(-abs(gate[i]))
        open_ = np.float32(1) if gate[i] >= 0 else small
        y[i] = gate[i] * (open_ / (np.float32(1) + small)) * up[i]


@exercise(
    title="The gate",
    task="silu(gate) * up, element by element; in one pass over memory if you can.",
    difficulty=1,
    minutes=10,
    reference=forward,
    replaces="swiglu",
    make=make_gate,
    shapes=(
        {"B": 1, "T": 1, "hidden": 4},
        {"B": 1, "T": 2, "hidden": 1},
        {"B": 0, "T": 2, "hidden": 3},
        {"B": 0, "T": 0, "hidden": 5},
        {"B": 2, "T": 3, "hidden": 8},
        {"B": 3, "T": 1, "hidden": 33},
        {"B": 3, "T": 5, "hidden": 172},
    ),
    axes=("batch", "position", "hidden"),
    oracle=torch_forward,
    speed=Speed(
        dims={"B": 1, "T": 512, "hidden": 1536},
        flops=lambda B, T, hidden: 6.0 * B * T * hidden,  # abs, exp, two sums and products, a division: about
        bytes=lambda B, T, hidden: 3.0 * 4 * B * T * hidden,
        naive=naive_forward,
        fast=lambda gate, up: swiglu_forward_fast(gate, up)[0],
        torch=torch_product,
    ),
    hints=(
        "Two arrays of one shape, a number at a time: no sums, no axes. Which of the two goes through SiLU?",
        "For speed: NumPy makes a temporary array for every operation, and each goes through memory. A Numba loop "
        "over the flat arrays reads gate and up once and writes y once.",
        "for i in prange(gate.size):                 # on gate.reshape(-1), up.reshape(-1), y.reshape(-1)\n"
        "    small, one = np.exp(-abs(gate[i])), np.float32(1)   # an integer would make float64 of the rest\n"
        "    y[i] = gate[i] * ((one if gate[i] >= 0 else small) / (one + small)) * up[i]",
    ),
    why=(
        "The gate says how much may pass and the other factor what, so only one of them goes through SiLU. No number "
        "depends on its neighbours, which makes it one loop over memory taken as a flat run, and threads can share "
        "that. The kernel writes the product alone, where NumPy would write an array for every step."
    ),
)
def swiglu_forward(gate, up):
    """Let `up` through a gate, element by element.

    y = silu(gate) * up

    Parameters
    ----------
    gate, up : float32 ndarray of shape (..., hidden_dim)
        Gates of any finite size: nothing may become NaN.

    Returns
    -------
    y : ndarray of the same shape and dtype
    """
    y = np.empty(gate.shape, gate.dtype)
    _gate(np.ascontiguousarray(gate).reshape(-1), np.ascontiguousarray(up).reshape(-1), y.reshape(-1))
    return y


@swiglu_forward.mistake(
    "Your function sends `up` through SiLU, and not `gate`.",
    "The names say it: gate (Meta's w1) decides, up (w3) is what passes.",
)
def sends_up_through_silu(gate, up):
    return gate * silu_stable(up)


@swiglu_forward.mistake(
    "Your function sends both through SiLU.",
    "Only the gate has an activation; up stays linear.",
)
def sends_both_through_silu(gate, up):
    return silu_stable(gate) * silu_stable(up)


@swiglu_forward.mistake(
    "Your function multiplies first, and takes SiLU of the product.",
    "SiLU belongs to the gate alone: silu(gate) * up, not silu(gate * up).",
)
def multiplies_first_and_takes_silu_of_product(gate, up):
    return silu_stable(gate * up)


@swiglu_forward.mistake(
    "Your function multiplies without any activation.",
    "gate * up is the bilinear variant. SwiGLU takes SiLU of the gate first.",
)
def multiplies_without_any_activation(gate, up):
    return gate * up


@swiglu_forward.mistake(
    "Your gate is a sigmoid: that is GLU, not SwiGLU.",
    "SiLU is g * sigmoid(g): the factor gate is missing.",
)
def gate_is_sigmoid(gate, up):
    return logistic(gate) * up


@swiglu_forward.mistake(
    "Your gate is GELU: that is GeGLU.",
    "LLaMA's gate is SiLU, g * sigmoid(g).",
)
def gate_is_gelu(gate, up):
    return gelu(gate) * up


@swiglu_forward.mistake(
    "Your gate is ReLU: that is ReGLU.",
    "LLaMA's gate is SiLU, which lets small negative numbers through.",
)
def gate_is_relu(gate, up):
    return np.maximum(gate, 0) * up


@swiglu_forward.mistake(
    "Your function adds the gate to `up`.",
    "A gate multiplies: where it is 0, nothing passes.",
)
def adds_gate_to_up(gate, up):
    return silu_stable(gate) + up


@swiglu_forward.mistake(
    "Your gate is g * sigmoid(1.702 g), the quick form of GELU.",
    "SiLU has no factor inside the sigmoid.",
)
def gate_is_quick_gelu(gate, up):
    return quick_gelu(gate) * up


@swiglu_forward.mistake(
    "Your function divides infinity by infinity for large gates.",
    "exp(g) / (1 + exp(g)) is fine for g < 0 only. Use 1 / (1 + exp(-g)) where g >= 0.",
)
def one_sided_exp(gate, up):
    e = np.exp(gate)
    return gate * e / (1 + e) * up
