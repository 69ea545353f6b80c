"""Whether a model's confidence means something: how often the option that it gives probability p is the right one.

The confidence of an item is the chosen option's share of the probability of all its options, a softmax over their
summed log-probabilities (as in TruthfulQA's MC2). Items are put into ten bins of equal width; the expected calibration
error is the mean distance of a bin's accuracy from its confidence, weighted by items (Guo et al. 2017,
arXiv:1706.04599). Options of many tokens make sums lie far apart, so that confidence is often near 1: that, too, is
what the plot shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..common.requests import Likelihood
from ..common.task import Scored, Task
from ..statistics.intervals import Interval, wilson
from .baselines import n_options

N_BINS = 10


@dataclass(frozen=True)
class Choice:
    """What a model chose, and how sure it was.

    Attributes
    ----------
    one : Scored
    chosen : int
        The option with the largest log-probability, the first of equal ones.
    confidence : float
        Its share of the probability of all options.
    is_right : bool
    """

    one: Scored
    chosen: int
    confidence: float
    is_right: bool


@dataclass(frozen=True)
class Bin:
    """Items with about the same confidence.

    Attributes
    ----------
    low, high : float
    n : int
    confidence, accuracy : float
        Means; nan without items.
    interval : Interval
        95 % of the accuracy.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float
    interval: Interval


def choices_of(task: Task, items: Sequence[Scored]) -> list[Choice]:
    """The choices of a task's items; none where a task is not about one right option."""
    return [choice for one in items if (choice := _choice(task, one)) is not None]


def bins_of(choices: Sequence[Choice]) -> list[Bin]:
    """The choices in `N_BINS` bins of equal width."""
    found = []
    for i in range(N_BINS):
        inside = [c for c in choices if min(int(c.confidence * N_BINS), N_BINS - 1) == i]
        n, right = len(inside), sum(c.is_right for c in inside)
        confidence = math.fsum(c.confidence for c in inside) / n if n else math.nan
        found.append(Bin(i / N_BINS, (i + 1) / N_BINS, n, confidence, right / n if n else math.nan, wilson(right, n)))
    return found


def calibration_error(bins: Sequence[Bin]) -> float:
    """The expected calibration error; nan without items."""
    total = sum(one.n for one in bins)
    if total == 0:
        return math.nan
    return math.fsum(one.n * abs(one.accuracy - one.confidence) for one in bins if one.n) / total


def most_confident_mistakes(choices: Sequence[Choice], n: int) -> list[Choice]:
    """The wrong choices that the model was surest of; the earlier item first among equals."""
    wrong = [choice for choice in choices if not choice.is_right]
    return sorted(wrong, key=lambda choice: (-choice.confidence, choice.one.item.doc_id))[:n]


def _choice(task: Task, one: Scored) -> Choice | None:
    right: Any = one.metrics.get("acc,none")
    if task.kind != "choices" or one.problem or right not in (0, 1):
        return None
    answers = one.answers[: n_options(task, one.item)]
    logprobs = [answer.logprob for answer in answers if isinstance(answer, Likelihood)]
    best = max(logprobs)
    confidence = 1 / math.fsum(math.exp(logprob - best) for logprob in logprobs)
    return Choice(one, logprobs.index(best), confidence, bool(right))
