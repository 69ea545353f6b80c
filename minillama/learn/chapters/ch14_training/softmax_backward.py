"""The softmax, backwards."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array


def make_softmax(rng: np.random.Generator, N: int, S: int) -> Arrays:
    scores = 2 * rng.normal(size=(N, S))
    p = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return normal_array(rng, N, S), (p / p.sum(axis=-1, keepdims=True)).astype(np.float32)


def torch_softmax(dp, p):
    import torch

    scores = torch.tensor(p, dtype=torch.float64).log().requires_grad_(True)
    again = torch.softmax(scores, dim=-1)
    return torch.autograd.grad(again, scores, torch.tensor(dp, dtype=torch.float64))[0].numpy()


@exercise(
    title="The softmax, backwards",
    task="The gradient of the scores (N, S) whose softmax over the last axis is p, from dp.",
    difficulty=2,
    minutes=20,
    make=make_softmax,
    shapes=({"N": 1, "S": 3}, {"N": 2, "S": 1}, {"N": 3, "S": 3}, {"N": 4, "S": 7}, {"N": 9, "S": 40}),
    axes=("row", "key"),
    oracle=torch_softmax,
    atol=1e-5,
    hints=(
        "Every score changes all probabilities of its row: its own rises, the others fall. dp[r]/dz[s] is "
        "p[r] (1 - p[r]) for r = s and -p[r] p[s] otherwise.",
        "dz[s] = sum over r of dp[r] p[r] ([r = s] - p[s]). The bracket gives two terms; the sum in the second does "
        "not depend on s.",
        "mean_of_dp = np.sum(dp * p, axis=-1, keepdims=True)\nreturn p * (dp - mean_of_dp)",
    ),
    why=(
        "Raising one score takes weight from all others, so each dp is measured against the weighted mean of its row. "
        "Better than the mean gains, and the gradients of a row sum to 0, because a constant added to all scores "
        "changes nothing. The Jacobian of S by S numbers is never made: a product and a sum do its work."
    ),
)
def softmax_backward(dp, p):
    """The gradient of the scores z, where p = softmax(z) over the last axis.

    Parameters
    ----------
    dp, p : ndarray of shape (N, S)
        Every row of p sums to 1.

    Returns
    -------
    dz : ndarray of shape (N, S)
    """
    return p * (dp - np.sum(dp * p, axis=-1, keepdims=True))


@softmax_backward.mistake(
    "Your function is p * dp: the sum over the row is missing.",
    "A score also pushes the other probabilities of its row down: subtract sum(p * dp) first. Rows of the "
    "gradient add up to 0, because adding a number to all scores changes nothing.",
)
def leaves_out_the_sum(dp, p):
    return p * dp


@softmax_backward.mistake(
    "Your function is p * (1 - p) * dp: only the diagonal of the Jacobian.",
    "That is the sigmoid's slope. Entries beside the diagonal, -p[r] p[s], count as well.",
)
def only_the_diagonal(dp, p):
    return p * (1 - p) * dp


@softmax_backward.mistake(
    "Your function subtracts the sum of dp, not of p * dp.",
    "The second term is sum over r of dp[r] p[r]: a mean of dp with the weights p.",
)
def subtracts_sum_of_dp(dp, p):
    return p * (dp - dp.sum(axis=-1, keepdims=True))


@softmax_backward.mistake(
    "Your function sums over the other axis.",
    "The softmax went over the last axis: a row is what sums to 1. axis=-1.",
)
def sums_over_other_axis(dp, p):
    return p * (dp - np.sum(dp * p, axis=0, keepdims=True))


@softmax_backward.mistake(
    "Your function takes the mean of p * dp, not the sum.",
    "The probabilities are the weights already: they sum to 1. Use np.sum.",
)
def takes_mean_of_p_dp(dp, p):
    return p * (dp - np.mean(dp * p, axis=-1, keepdims=True))


@softmax_backward.mistake(
    "Your function forgets the factor p.",
    "What has probability 0 cannot be changed by its score: p * (dp - sum).",
)
def forgets_factor_p(dp, p):
    return dp - np.sum(dp * p, axis=-1, keepdims=True)
