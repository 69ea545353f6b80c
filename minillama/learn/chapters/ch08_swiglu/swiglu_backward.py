"""The gradient of the gate."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .shared import sigmoid
from .silu_stable import silu_stable
from .variants import logistic


def make_backward(rng: np.random.Generator, B: int, T: int, hidden: int, spread: int) -> tuple[Any, ...]:
    """Arrays of shape (B, T, hidden); a size of 0 is an axis that is not there."""
    shape = [*(n for n in (B, T) if n), hidden]
    dy, up = rng.normal(size=[2, *shape]).astype(np.float32)
    return dy, (spread * rng.normal(size=shape)).astype(np.float32), up


def torch_backward(dy, gate, up):
    import torch

    gate, up = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (gate, up))
    (torch.nn.functional.silu(gate) * up).backward(torch.tensor(dy, dtype=torch.float64))
    return gate.grad.numpy(), up.grad.numpy()


@exercise(
    title="The gradient of the gate",
    task="Gradients of a loss with respect to gate and up, given dy, its gradient with respect to silu(gate) * up.",
    difficulty=2,
    minutes=20,
    make=make_backward,
    shapes=(
        {"B": 1, "T": 1, "hidden": 4, "spread": 2},
        {"B": 1, "T": 1, "hidden": 1, "spread": 1},
        {"B": 0, "T": 2, "hidden": 3, "spread": 2},
        {"B": 2, "T": 3, "hidden": 5, "spread": 2},
        {"B": 3, "T": 2, "hidden": 33, "spread": 3},
        {"B": 3, "T": 5, "hidden": 16, "spread": 200},
    ),
    axes=("batch", "position", "hidden"),
    outputs=("dgate", "dup"),
    oracle=torch_backward,
    hints=(
        "y = silu(gate) * up is a product. What multiplies up in it is up's gradient, times dy; and the other way "
        "round, with the slope of silu.",
        "With s = sigmoid(g), s' = s (1 - s). The product rule on g * s gives silu'(g) = s + g s (1 - s).",
        "s = sigmoid(gate)                                   # the stable one\n"
        "dgate = dy * up * s * (1 + gate * (1 - s))\n"
        "dup = dy * gate * s",
    ),
    why=(
        "A product hands each factor the other one: dup gets silu(gate), and dgate gets up times the slope of SiLU. "
        "By the product rule that slope is s + g s (1 - s), in which the sigmoid s is already there. With a sigmoid "
        "that cannot overflow, no gate however large makes infinity over infinity."
    ),
)
def swiglu_backward(dy, gate, up):
    """Gradients of the loss with respect to the inputs of y = silu(gate) * up.

    A gate of 2 with up 1 and dy 1 has dgate 1.091 and dup 1.762; a gate of 0 with up 3 and dy 1 has
    dgate 1.5 and dup 0.

    Parameters
    ----------
    dy : float32 ndarray of shape (..., hidden_dim)
        Gradient of the loss with respect to y.
    gate, up : float32 ndarray of shape (..., hidden_dim)
        Of up to 10000 in size: nothing may become NaN.

    Returns
    -------
    dgate, dup : ndarray of the same shape
    """
    s = sigmoid(gate)
    dgate = dy * up * s * (1 + gate * (1 - s))
    dup = dy * gate * s
    return dgate, dup


def slope(g):
    """silu'(g)."""
    s = logistic(g)
    return s * (1 + g * (1 - s))


@swiglu_backward.mistake(
    "Your slope of SiLU is sigmoid(g): half of the product rule is missing.",
    "g occurs twice in g * sigmoid(g): the slope is s + g s (1 - s).",
)
def slope_of_silu_is_sigmoid(dy, gate, up):
    return (dy * up * logistic(gate), dy * silu_stable(gate))


@swiglu_backward.mistake(
    "Your slope of SiLU is that of the sigmoid, s (1 - s).",
    "SiLU is g * sigmoid(g), and needs the product rule: s + g s (1 - s).",
)
def slope_of_silu_is_that_of_sigmoid(dy, gate, up):
    return (dy * up * logistic(gate) * (1 - logistic(gate)), dy * silu_stable(gate))


@swiglu_backward.mistake(
    "Your slope of SiLU has the wrong sign in its second term.",
    "sigmoid rises: s' = +s (1 - s), so the slope is s + g s (1 - s).",
)
def slope_of_silu_has_wrong_sign(dy, gate, up):
    return (dy * up * logistic(gate) * (1 - gate * (1 - logistic(gate))), dy * silu_stable(gate))


@swiglu_backward.mistake(
    "Your dgate lacks the factor up.",
    "The gate's gradient is everything that multiplies silu(gate) in y, and that is up.",
)
def dgate_lacks_factor_up(dy, gate, up):
    return (dy * slope(gate), dy * silu_stable(gate))


@swiglu_backward.mistake(
    "Your dup is dy * gate: the gate has not gone through SiLU.",
    "y = silu(gate) * up, so dup = dy * silu(gate).",
)
def dup_is_dy_times_gate(dy, gate, up):
    return (dy * up * slope(gate), dy * gate)


@swiglu_backward.mistake(
    "Your function returns the two gradients in the other order.",
    "Gradients come in the order of the arguments: dgate, then dup.",
)
def returns_two_gradients_in_other_order(dy, gate, up):
    return swiglu_backward(dy, gate, up)[::-1]


@swiglu_backward.mistake(
    "Your function does not use dy.",
    "The chain rule multiplies by the gradient that arrives from above.",
)
def does_not_use_dy(dy, gate, up):
    return (up * slope(gate), silu_stable(gate))


@swiglu_backward.mistake(
    "Your function divides infinity by infinity where the gate is far below 0.",
    "exp(-g) / (1 + exp(-g))**2 is NaN for g below -88, where exp(-g) is infinite. Write the slope with the "
    "sigmoid alone: s (1 - s).",
)
def quotient_rule(dy, gate, up):
    e = np.exp(-gate)
    return dy * up * (1 / (1 + e) + gate * e / (1 + e) ** 2), dy * silu_stable(gate)


@swiglu_backward.mistake(
    "Your slope of SiLU is g s (1 - s): the first term of the product rule is missing.",
    "g occurs twice in g * sigmoid(g): the slope is s + g s (1 - s).",
)
def slope_lacks_first_term(dy, gate, up):
    s = logistic(gate)
    return dy * up * gate * s * (1 - s), dy * silu_stable(gate)


@swiglu_backward.mistake(
    "Your dup is dy * sigmoid(gate): the factor gate is missing.",
    "y = silu(gate) * up, so dup = dy * silu(gate), and silu(g) is g * sigmoid(g).",
)
def dup_is_dy_times_sigmoid(dy, gate, up):
    return dy * up * slope(gate), dy * logistic(gate)


@swiglu_backward.mistake(
    "Your function divides infinity by infinity where the gate is far above 0.",
    "exp(g) (1 + exp(g) + g) / (1 + exp(g))**2 is NaN for g above 44, where the squares are infinite. Write the slope "
    "with the sigmoid alone: s + g s (1 - s).",
)
def slope_by_growing_exp(dy, gate, up):
    e = np.exp(gate)
    return dy * up * e * (1 + e + gate) / (1 + e) ** 2, dy * silu_stable(gate)
