"""A softmax that cannot overflow."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import softmax
from ...exercises.exercise import exercise


def make_scores(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows at very different heights, some wide, one with masked entries; in a large case one of up to 1e30."""
    heights = np.where(rng.random((B, T, 1)) < 0.5, -1.0, 1.0) * rng.uniform(150, 400, (B, T, 1))
    widths = np.where(np.arange(B * T).reshape(B, T, 1) % 3 == 1, 60.0, 2.0)
    x = (heights + widths * rng.normal(size=(B, T, V))).astype(np.float32)
    if T > 3:
        x[0, 0] *= 1e27
    if V > 2:
        x[-1, -1, rng.integers(0, V - 1)] = -np.inf
    return (x,)


def _softmax(x):
    return softmax(x).astype(x.dtype)


def torch_softmax(x):
    import torch

    return torch.softmax(torch.tensor(x, dtype=torch.float64), dim=-1).numpy()


@exercise(
    title="A softmax that cannot overflow",
    task="Softmax over the last axis that is right for any finite scores, however large, and for masked ones (-inf).",
    difficulty=1,
    minutes=10,
    same_as=_softmax,
    make=make_scores,
    shapes=(
        {"B": 1, "T": 1, "V": 2},
        {"B": 1, "T": 1, "V": 1},
        {"B": 1, "T": 3, "V": 4},
        {"B": 3, "T": 5, "V": 7},
        {"B": 2, "T": 3, "V": 65},
    ),
    axes=("batch", "position", "score"),
    oracle=torch_softmax,
    hints=(
        "float32 ends at about exp(88.7). Which constant may be subtracted from all scores of a row without changing "
        "the result?",
        "Subtract the largest score of each row (keepdims=True): the largest exponential is then 1, and none can "
        "overflow.",
        "e = np.exp(x - x.max(axis=-1, keepdims=True))\nreturn e / e.sum(axis=-1, keepdims=True)",
    ),
    why=(
        "Subtracting one number from all scores of a row divides numerator and denominator by the same factor, which "
        "cancels. With the largest score as that number every exponent is at most 0, so nothing overflows, and the "
        "largest term is exactly 1, so the sum cannot vanish. The maximum is that of each row, because a row far "
        "below another one would end as 0/0."
    ),
)
def stable_softmax(x):
    """Softmax over the last axis, right for scores however large.

    p[i] = exp(x[i]) / sum over j of exp(x[j])

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, V)
        Finite scores of up to 1e30 in size, -1000 or 1000 for example; some may be -inf, never a
        whole row.

    Returns
    -------
    p : ndarray of shape (B, T, V), same dtype as `x`
        Every row sums to 1.
    """
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def exp_over_sum(x, shift, axis=-1):
    e = np.exp(x - shift)
    return e / e.sum(axis=axis, keepdims=True)


@stable_softmax.mistake(
    "Your function takes the exponential of the scores as they are.",
    "exp(89) is infinite in float32, and exp(-104) is 0: inf/inf and 0/0 are NaN. Subtract the largest score "
    "of each row first; the result stays the same.",
)
def takes_exponential_of_scores(x):
    return exp_over_sum(x, np.float32(0))


@stable_softmax.mistake(
    "Your function subtracts one maximum from all rows.",
    "A row that lies far below it becomes all zeros, and 0/0 is NaN. Each row has a maximum of its own: "
    "axis=-1, keepdims=True.",
)
def subtracts_one_maximum_from_all_rows(x):
    return exp_over_sum(x, x.max())


@stable_softmax.mistake(
    "Your function subtracts the smallest score.",
    "Then the largest exponential can still overflow, and a masked score (-inf) makes everything NaN.",
)
def subtracts_smallest_score(x):
    return exp_over_sum(x, x.min(axis=-1, keepdims=True))


@stable_softmax.mistake(
    "Your function subtracts the mean of the scores.",
    "A wide row can still overflow, and one masked score makes the mean -inf. Subtract the maximum.",
)
def subtracts_mean_of_scores(x):
    return exp_over_sum(x, x.mean(axis=-1, keepdims=True))


@stable_softmax.mistake(
    "Your function cuts the scores off at 88 instead of shifting them.",
    "All scores above the limit become equal, and those far below are still 0. Subtract the row's maximum.",
)
def cuts_scores_off_at_88_instead(x):
    return exp_over_sum(np.minimum(x, np.float32(88)), np.float32(0))


@stable_softmax.mistake(
    "Your function divides by the sum of all rows together.",
    "Each row is a distribution of its own: sum over the last axis, with keepdims=True.",
)
def divides_by_sum_of_all_rows_together(x):
    return exp_over_sum(x, x.max(axis=-1, keepdims=True), axis=None)


@stable_softmax.mistake(
    "Your function normalises over positions, not over scores.",
    "The scores of one position sum to 1: axis=-1 for the maximum and for the sum.",
)
def normalises_over_positions(x):
    return exp_over_sum(x, x.max(axis=-2, keepdims=True), axis=-2)


@stable_softmax.mistake(
    "Your function returns the exponentials, without dividing.",
    "Probabilities sum to 1: divide by the sum of the row.",
)
def returns_exponentials_without_dividing(x):
    return np.exp(x - x.max(axis=-1, keepdims=True))
