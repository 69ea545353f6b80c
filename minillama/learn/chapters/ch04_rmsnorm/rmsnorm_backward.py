"""The gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import AXES, make_inputs
from .variants import mean_of_squares


def make_backward(rng: np.random.Generator, B: int, T: int, D: int) -> tuple[Any, ...]:
    x, weight, eps = make_inputs(rng, B, T, D)
    x = np.clip(x, -4, 4)  # the gradient of large rows is small: keep it within sight of the others'
    return rng.normal(size=x.shape).astype(np.float32), x, weight, eps


def torch_backward(dy, x, weight, eps):
    import torch

    wide = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(weight, dtype=torch.float64, requires_grad=True)
    torch.nn.functional.rms_norm(wide, wide.shape[-1:], scale, eps).backward(torch.tensor(dy, dtype=torch.float64))
    assert wide.grad is not None
    assert scale.grad is not None
    return wide.grad.numpy(), scale.grad.numpy()


@exercise(
    title="The gradient",
    task="From the gradient of the output, compute those of the input and of the weight.",
    difficulty=3,
    minutes=30,
    make=make_backward,
    shapes=(
        {"B": 1, "T": 1, "D": 4},
        {"B": 1, "T": 2, "D": 1},
        {"B": 2, "T": 2, "D": 3},
        {"B": 1, "T": 5, "D": 8},
        {"B": 3, "T": 4, "D": 33},
    ),
    axes=AXES,
    outputs=("dx", "dweight"),
    oracle=torch_backward,
    hints=(
        "Write y = x_hat * weight and x_hat = x * r. x reaches the loss in two ways: directly, and through r, which "
        "depends on every number of the row.",
        "With g = dy * weight, the direct way gives r * g. The way through r takes away what would only change the "
        "size of the row: r * x_hat * mean(g * x_hat). dweight is summed over all rows (batch and position).",
        "r = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)\n"
        "x_hat, g = x * r, dy * weight\n"
        "dx = r * (g - x_hat * np.mean(g * x_hat, -1, keepdims=True))\n"
        "dweight = np.sum(dy * x_hat, axis=(0, 1))",
    ),
    why=(
        "Each number changes the result in two ways, directly and through the divisor that all numbers of its row "
        "share. The second way takes out the part of the gradient that points along the row, because a longer row of "
        "the same direction gives the same result. All rows use one weight, so its gradient is the sum of what they "
        "say."
    ),
)
def rmsnorm_backward(dy, x, weight, eps):
    """The gradients of a loss through `rmsnorm_forward`.

    With r = 1 / sqrt(mean(x**2) + eps) and x_hat = x * r the output was y = x_hat * weight.

    Parameters
    ----------
    dy : float32 ndarray of shape (B, T, D)
        The gradient of the loss with respect to y.
    x, weight, eps
        What the forward pass was given.

    Returns
    -------
    dx : float32 ndarray of shape (B, T, D)
    dweight : float32 ndarray of shape (D,)
    """
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    x_hat, g = x * r, dy * weight
    dx = r * (g - x_hat * np.mean(g * x_hat, axis=-1, keepdims=True))
    dweight = np.sum(dy * x_hat, axis=(0, 1))
    return dx, dweight


def backward(
    dy, x, weight, eps, *, scale_g=True, through=1.0, mean=np.mean, r_inside=True, x_dweight=False, sum_rows=np.sum
):
    """`rmsnorm_backward` with one thing changed at a time."""
    r = 1 / np.sqrt(mean_of_squares(x) + x.dtype.type(eps))
    x_hat, g = x * r, dy * weight if scale_g else dy
    side = x_hat if r_inside else x
    dx = r * (g - through * side * mean(g * side, axis=-1, keepdims=True))
    return dx, sum_rows(dy * (x if x_dweight else x_hat), axis=tuple(range(x.ndim - 1)))


@rmsnorm_backward.mistake(
    "Your dx takes the divisor for a constant: only the direct way is there.",
    "r depends on x as well. What is missing is r * x_hat * mean(g * x_hat), to be subtracted.",
)
def dx_takes_divisor_for_constant(dy, x, weight, eps):
    return backward(dy, x, weight, eps, through=0.0)


@rmsnorm_backward.mistake(
    "Your dx adds the second term.",
    "A larger x means a smaller r: the way through the norm counts against the direct one.",
)
def dx_adds_second_term(dy, x, weight, eps):
    return backward(dy, x, weight, eps, through=-1.0)


@rmsnorm_backward.mistake(
    "Your dx does not know the weight.",
    "The gradient passes the multiplication by the weight first: g = dy * weight, in both terms.",
)
def dx_does_not_know_weight(dy, x, weight, eps):
    return backward(dy, x, weight, eps, scale_g=False)


@rmsnorm_backward.mistake(
    "Your dx lets each number act through r on itself alone.",
    "r stands in every number of the row: what x[i] does to it reaches the loss through all of them, a sum over g * x.",
)
def dx_acts_through_r_on_itself_alone(dy, x, weight, eps):
    return backward(dy, x, weight, eps, mean=lambda a, axis, keepdims: a / np.asarray(a.shape[axis], a.dtype))


@rmsnorm_backward.mistake(
    "Your dx uses a sum where a mean belongs.",
    "r holds the mean of the squares, so its derivative has 1/dim in it: mean(g * x_hat).",
)
def dx_uses_sum_where_mean_belongs(dy, x, weight, eps):
    return backward(dy, x, weight, eps, mean=np.sum)


@rmsnorm_backward.mistake(
    "Your second term of dx is made of x, not of x_hat: a factor r**2 is missing.",
    "The derivative of r is -r**3 * x / dim. Three factors r: one before the bracket, one for each x_hat.",
)
def second_term_is_made_of_x(dy, x, weight, eps):
    return backward(dy, x, weight, eps, r_inside=False)


@rmsnorm_backward.mistake(
    "Your dweight multiplies dy by x, not by the normalised x.",
    "The weight is multiplied by x_hat in the forward pass, so x_hat is its derivative.",
)
def dweight_multiplies_dy_by_x(dy, x, weight, eps):
    return backward(dy, x, weight, eps, x_dweight=True)


@rmsnorm_backward.mistake(
    "Your dweight is the mean over the rows, not their sum.",
    "One weight acts on every row, and the loss counts all of them: gradients add up. A mean over tokens, "
    "where wanted, is in dy already.",
)
def dweight_is_mean_over_rows(dy, x, weight, eps):
    return backward(dy, x, weight, eps, sum_rows=np.mean)


@rmsnorm_backward.mistake(
    "Your dweight is summed over the batch alone.",
    "One weight vector serves all positions of all sequences: sum over both axes.",
)
def dweight_is_summed_over_batch_alone(dy, x, weight, eps):
    return (
        backward(dy, x, weight, eps)[0],
        np.sum(dy * x / np.sqrt(mean_of_squares(x) + x.dtype.type(eps)), axis=0),
    )
