"""Scores become weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .variants import softmax


def make_scores(rng: np.random.Generator, H: int, T: int, S: int) -> tuple[Any, ...]:
    """Scores with hidden keys at -inf, and rows so high and so low that exp leaves float32; one of up to 1e30."""
    scores = 2 * rng.normal(size=(H, T, S))
    scores += np.array([0.0, 120.0, -150.0])[np.arange(T) % 3][:, None]
    if T > 3:
        scores[0, 0] *= 1e29
    hidden = rng.random((H, T, S)) < 0.3
    hidden[..., 0] = False  # every query sees a key
    return (np.where(hidden, -np.inf, scores).astype(np.float32),)


def torch_softmax(scores):
    import torch

    return torch.softmax(torch.tensor(scores, dtype=torch.float64), dim=-1).numpy()


@exercise(
    title="Scores become weights",
    task="Softmax over the keys (the last axis): every query's weights sum to 1, a score of -inf has weight 0.",
    difficulty=1,
    minutes=5,
    make=make_scores,
    shapes=(
        {"H": 1, "T": 2, "S": 3},
        {"H": 1, "T": 1, "S": 1},
        {"H": 2, "T": 3, "S": 4},
        {"H": 3, "T": 7, "S": 5},
        {"H": 5, "T": 6, "S": 33},
    ),
    axes=("head", "query", "key"),
    oracle=torch_softmax,
    hints=(
        "Adding the same number to all scores of a query changes nothing in the result. Which number keeps every "
        "exponential at 1 or below?",
        "Three steps: subtract the row's largest score, take the exponential, divide by the row's sum. axis=-1 with "
        "keepdims=True keeps an axis of size 1, so that the shapes go together.",
        "shifted = scores - scores.max(axis=-1, keepdims=True)\n"
        "exponentials = np.exp(shifted)          # exp(-inf) is 0\n"
        "return exponentials / exponentials.sum(axis=-1, keepdims=True)",
    ),
    why=(
        "The weights say how a query divides its attention, so they sum to 1 along the keys. A hidden key comes in as "
        "-inf and leaves as exactly 0, without a special case. The largest score of the row, subtracted from all, "
        "makes overflow impossible and cancels in the quotient."
    ),
)
def softmax_over_keys(scores):
    """The weights of every query: softmax over the last axis.

    weights[j, t, s] = exp(scores[j, t, s]) / sum over r of exp(scores[j, t, r])

    Finite scores may have any size up to 1e30, where exp overflows; hidden keys have -inf (weight 0).

    Parameters
    ----------
    scores : float32 ndarray of shape (H, T, S)
        At least one score of every row is finite.

    Returns
    -------
    weights : ndarray of shape (H, T, S)
        Every row sums to 1.
    """
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))  # exp(-inf) is 0
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax_over_keys.mistake(
    "Your function takes the softmax over the queries, not over the keys.",
    "The weights of one query must sum to 1: keys are the last axis, so max and sum go along axis=-1.",
)
def takes_softmax_over_queries(scores):
    return softmax(scores, axis=-2)


@softmax_over_keys.mistake(
    "Your function takes the softmax over the heads.",
    "Axis 0 is the head. Each head and each query has a softmax of its own, over the last axis.",
)
def takes_softmax_over_heads(scores):
    return softmax(scores, axis=0)


@softmax_over_keys.mistake(
    "Your function takes the exponential of the scores as they are.",
    "float32 overflows from exp(89) on, and inf / inf is NaN; far below, everything is 0 and 0 / 0 is NaN. "
    "Subtract the row's largest score first.",
)
def softmax_unshifted(scores):
    exponentials = np.exp(scores)
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax_over_keys.mistake(
    "Your function subtracts the largest of all scores, not the largest of each row.",
    "A row far below that largest score becomes all zeros, and 0 / 0 is NaN: use max(axis=-1, keepdims=True).",
)
def softmax_global_shift(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax_over_keys.mistake(
    "Your function divides by the largest exponential instead of by the sum.",
    "The largest weight is 1 that way. Weights of a mean have to sum to 1.",
)
def softmax_by_largest(scores):
    return np.exp(scores - scores.max(axis=-1, keepdims=True))


@softmax_over_keys.mistake(
    "Your function takes one softmax over all numbers together.",
    "Every row has to sum to 1, not the whole array: give max and sum an axis.",
)
def softmax_everything(scores):
    exponentials = np.exp(scores - scores.max())
    return exponentials / exponentials.sum()


@softmax_over_keys.mistake(
    "Your function clips the scores so that exp does not overflow.",
    "Scores beyond the limit become equal, and -inf gets a weight. Subtracting the row's maximum costs "
    "nothing and is exact.",
)
def softmax_clipped(scores):
    exponentials = np.exp(np.clip(scores, -80, 80))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax_over_keys.mistake(
    "Your function clips all scores but the hidden ones, so that exp does not overflow.",
    "Scores beyond the limit become equal, and so do their weights. Subtracting the row's maximum costs nothing and is "
    "exact.",
)
def softmax_clipped_where_visible(scores):
    exponentials = np.where(scores == -np.inf, np.float32(0), np.exp(np.clip(scores, -80, 80)))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@softmax_over_keys.mistake(
    "Your function puts -1e9 in the place of -inf.",
    "Finite scores may lie far below that here, and a hidden key then has all the weight. exp(-inf) is 0: nothing "
    "needs to be replaced.",
)
def hidden_as_minus_1e9(scores):
    return softmax(np.where(scores == -np.inf, np.float32(-1e9), scores))


@softmax_over_keys.mistake(
    "Your function divides by the sum of all exponentials, not by that of each row.",
    "The weights of one query sum to 1: sum(axis=-1, keepdims=True), like the maximum.",
)
def softmax_by_the_sum_of_all(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum()
