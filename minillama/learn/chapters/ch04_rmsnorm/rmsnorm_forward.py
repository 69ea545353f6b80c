"""Bring rows to one size."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import AXES, make_inputs, torch_forward
from .variants import forward, mean_of_squares


@exercise(
    title="Bring rows to one size",
    task="Divide every row by its root mean square, eps inside the root, and scale it by the weight.",
    difficulty=1,
    minutes=10,
    same_as=forward,
    replaces="rmsnorm",
    make=make_inputs,
    shapes=(
        {"B": 1, "T": 1, "D": 4},
        {"B": 1, "T": 1, "D": 1},
        {"B": 2, "T": 2, "D": 3},
        {"B": 1, "T": 5, "D": 8},
        {"B": 3, "T": 7, "D": 64},
    ),
    axes=AXES,
    oracle=torch_forward,
    hints=(
        "Every row (the last axis) is treated by itself. One number for each row has to be found: which mean, and "
        "what is added to it before the root?",
        "np.mean(x * x, axis=-1, keepdims=True) has shape (B, T, 1), so that x divided by it works without a "
        "further index. eps is added to this, then the root is taken, and the weight multiplies the dims.",
        "mean_square = np.mean(x * x, axis=-1, keepdims=True)\nreturn x / np.sqrt(mean_square + eps) * weight",
    ),
    why=(
        "The mean is over the numbers of one row, so each token is brought to size without regard to the others, and "
        "keepdims leaves an axis of 1 by which the whole row can be divided. Inside of the root eps turns a row of "
        "zeros into zeros, where 0/0 would be NaN. The weight comes last, so that a dim that has to be louder than "
        "others can be."
    ),
)
def rmsnorm_forward(x, weight, eps):
    """Divide every row by its root mean square, then scale every dim.

    y = x / sqrt(mean(x**2) + eps) * weight        over the last axis

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
    weight : float32 ndarray of shape (D,)
    eps : float

    Returns
    -------
    y : float32 ndarray of shape (B, T, D)
    """
    mean_square = np.mean(x * x, axis=-1, keepdims=True)  # (B, T, 1)
    return x / np.sqrt(mean_square + eps) * weight


@rmsnorm_forward.mistake(
    "Your function subtracts the mean first: that is LayerNorm.",
    "RMSNorm does not centre: it divides by sqrt(mean(x**2) + eps), the mean of x itself is never computed.",
)
def layer_norm(x, weight, eps):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(mean_of_squares(centred) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function adds eps outside the root.",
    "It belongs to the mean square: sqrt(mean(x**2) + eps). A row of size 0.003 shows it: inside, eps 1e-5 "
    "takes away a third of the result; outside, next to nothing.",
)
def adds_eps_outside_root(x, weight, eps):
    return x / (np.sqrt(mean_of_squares(x)) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function leaves out eps.",
    "Without eps a row of zeros is 0/0 = NaN, and noise of a very small row is blown up to size 1.",
)
def leaves_out_eps(x, weight, eps):
    return x / np.sqrt(mean_of_squares(x)) * weight


@rmsnorm_forward.mistake(
    "Your function divides by the root of the sum of squares, not of their mean.",
    "That makes the length of a row 1. RMSNorm makes its root mean square 1: the length becomes sqrt(dim).",
)
def divides_by_root_of_sum_of_squares(x, weight, eps):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function divides by the mean square: the root is missing.",
    "A row ten times as large must give the same result; divided by its square it becomes ten times as small.",
)
def divides_by_mean_square(x, weight, eps):
    return x / (mean_of_squares(x) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function divides by the mean of the absolute values.",
    "Root mean square: square, mean, root, in this order. The two means differ as soon as the numbers do.",
)
def divides_by_mean_of_absolute_values(x, weight, eps):
    return x / (np.mean(np.abs(x), axis=-1, keepdims=True) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function scales by 1 + weight.",
    "Gemma stores its weights so. In LLaMA the weight is the factor itself; it starts at 1, not at 0.",
)
def scales_by_1_plus_weight(x, weight, eps):
    return forward(x, weight + 1, eps)


@rmsnorm_forward.mistake(
    "Your function leaves out the weight.",
    "After the division every dim is multiplied by its own weight, one vector for all rows.",
)
def leaves_out_weight(x, weight, eps):
    return forward(x, np.ones_like(weight), eps)


@rmsnorm_forward.mistake(
    "Your function takes one mean over all positions.",
    "Each row has its own: with a shared mean a token would see the tokens after it. Use axis=-1.",
)
def takes_one_mean_over_all_positions(x, weight, eps):
    return x / np.sqrt(mean_of_squares(x, axis=(-2, -1)) + eps) * weight


@rmsnorm_forward.mistake(
    "Your function uses eps = 1e-5 whatever it is given.",
    "Checkpoints differ (1e-5, 1e-6); the argument says which it is.",
)
def uses_eps_1e_5_whatever_it_is_given(x, weight, eps):
    return forward(x, weight, 1e-5)
