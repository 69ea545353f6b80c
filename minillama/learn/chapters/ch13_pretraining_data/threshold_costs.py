"""What a threshold costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise


def plain_threshold_costs(scores: Any, labels: Any, threshold: float) -> tuple[float, float, float]:
    """Precision, recall and the share of good texts lost, when scores above the threshold are dropped."""
    dropped, bad = np.asarray(scores) > threshold, np.asarray(labels) == 1
    right = (dropped & bad).sum()
    return float(right / dropped.sum()), float(right / bad.sum()), float((dropped & ~bad).sum() / (~bad).sum())


def make_scores(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Scores of which some are exactly the threshold; both labels occur on both sides of it."""
    if n < 6:
        raise ValueError("at least six texts: two above, two at and two below the threshold")
    scores, labels = rng.integers(0, 101, n) / 100, (rng.random(n) < 0.4).astype(np.int64)
    scores[:6], labels[:6] = (0.91, 0.77, 0.4, 0.4, 0.07, 0.03), (1, 0, 1, 0, 1, 0)
    order = rng.permutation(n)
    return scores[order], labels[order], 0.4


@exercise(
    title="What a threshold costs",
    task="Precision, recall, and the share of good texts lost, of a filter that drops scores above a threshold.",
    difficulty=1,
    minutes=10,
    reference=plain_threshold_costs,
    make=make_scores,
    outputs=("precision", "recall", "good texts lost"),
    shapes=({"n": 6}, {"n": 9}, {"n": 14}, {"n": 40}, {"n": 300}),
    hints=(
        "Two yes-or-no arrays: dropped (score above the threshold) and bad (label 1). All three figures are counts of "
        "their combinations.",
        "Precision: of what is dropped, how much is bad. Recall: of what is bad, how much is dropped. Lost: of what is "
        "good, how much is dropped.",
        "dropped, bad = scores > threshold, labels == 1\n"
        "right = (dropped & bad).sum()\n"
        "return right / dropped.sum(), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()",
    ),
    why=(
        "Precision and recall count the same right decisions, as a share of what was dropped and of what should have "
        "been. The price is counted among the good texts alone, so it does not depend on how many bad ones happen to "
        "be there. With arrays of True and False every count is a sum."
    ),
)
def threshold_costs(scores, labels, threshold):
    """What a filter achieves and costs that drops texts with scores above a threshold.

    Parameters
    ----------
    scores : float array (n,)
    labels : int array (n,)
        1 for texts that should be dropped, 0 for good ones.
    threshold : float

    Returns
    -------
    precision : float
        Of the dropped texts, the share with label 1.
    recall : float
        Of the texts with label 1, the share that is dropped.
    lost : float
        Of the texts with label 0, the share that is dropped.
    """
    dropped, bad = scores > threshold, labels == 1
    right = (dropped & bad).sum()
    return right / dropped.sum(), right / bad.sum(), (dropped & ~bad).sum() / (~bad).sum()


def costs(drop: Callable[[Any, float], Any]) -> Function:
    return lambda scores, labels, threshold: plain_threshold_costs(drop(scores, threshold).astype(float), labels, 0.5)


def costs_in_order(order: Callable[[Any, Any], tuple[Any, Any, Any]]) -> Function:
    return lambda scores, labels, threshold: tuple(map(float, order(scores > threshold, labels == 1)))


threshold_costs.mistake(
    "Your function drops scores that are equal to the threshold.",
    "Above the threshold is >: Dolma drops scores > 0.4.",
    costs(lambda scores, threshold: scores >= threshold),
)

threshold_costs.mistake(
    "Your function drops what is below the threshold.",
    "A high score says harmful: scores above it go.",
    costs(lambda scores, threshold: scores < threshold),
)

threshold_costs.mistake(
    "Your function has precision and recall exchanged.",
    "Precision divides by what was dropped, recall by what is bad.",
    costs_in_order(lambda d, b: ((d & b).sum() / b.sum(), (d & b).sum() / d.sum(), (d & ~b).sum() / (~b).sum())),
)

threshold_costs.mistake(
    "Your function gives the accuracy in place of the precision.",
    "Where nearly all texts are good, a filter that drops nothing is accurate. Precision looks at what is "
    "dropped only.",
    costs_in_order(lambda d, b: ((d == b).mean(), (d & b).sum() / b.sum(), (d & ~b).sum() / (~b).sum())),
)

threshold_costs.mistake(
    "Your function divides the good texts that are lost by all texts.",
    "What is lost of the good ones is asked for: divide by the number of good texts.",
    costs_in_order(lambda d, b: ((d & b).sum() / d.sum(), (d & b).sum() / b.sum(), (d & ~b).mean())),
)

threshold_costs.mistake(
    "Your function gives one minus the precision as the share of good texts lost.",
    "The good ones among the dropped are one thing, the dropped among the good another.",
    costs_in_order(lambda d, b: ((d & b).sum() / d.sum(), (d & b).sum() / b.sum(), (d & ~b).sum() / d.sum())),
)
