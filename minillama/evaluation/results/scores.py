"""A metric of a task: its value, its standard error and a 95 % interval.

Standard errors are the harness's: sample standard deviation / sqrt(n) for means, none for others. Intervals are
Wilson's where every item is right or wrong, and otherwise a bootstrap over items with a fixed seed. Both say how much
the value would move with *other items of the same kind*, and nothing about another prompt or other shots.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ..common.task import Metric, Scored
from ..statistics.errors import standard_error
from ..statistics.intervals import Interval, bootstrap, wilson
from ..statistics.resampled import mean
from .baselines import Baselines

Method = Literal["wilson", "bootstrap", "normal", "none"]


@dataclass(frozen=True)
class Score:
    """One number of a task, with what is known about it.

    Attributes
    ----------
    metric : Metric
    value : float
        nan when no item could be scored.
    n : int
        Items that could be scored.
    is_mean : bool
        The mean of a number an item.
    stderr : float or None
        None below two items, and for what is no mean.
    interval : Interval or None
        95 %.
    method : str
        How the interval was made.
    baselines : Baselines
    """

    metric: Metric
    value: float
    n: int = 0
    is_mean: bool = False
    stderr: float | None = None
    interval: Interval | None = None
    method: Method = "none"
    baselines: Baselines = field(default_factory=Baselines)

    @property
    def is_share(self) -> bool:
        """A number from 0 to 1, which people read in per cent."""
        return self.is_mean and 0 <= self.value <= 1 and self.metric.higher_is_better

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval."""
        return None if self.interval is None else (self.interval.high - self.interval.low) / 2


def score_of(metric: Metric, scored: Sequence[Scored], baselines: Baselines | None = None) -> Score:
    """Aggregate a metric over the items that have it."""
    values = [one.metrics[metric.key] for one in scored if metric.key in one.metrics]
    baselines = baselines or Baselines()
    if not values:
        return Score(metric, math.nan, baselines=baselines)
    value = float(metric.aggregate(values))
    is_mean = _is_mean(values, value)
    interval, method = _interval(metric, values, is_mean)
    return Score(
        metric=metric,
        value=value,
        n=len(values),
        is_mean=is_mean,
        stderr=standard_error(values) if is_mean and len(values) > 1 else None,
        interval=interval,
        method=method,
        baselines=baselines,
    )


def _is_mean(values: Sequence[Any], value: float) -> bool:
    numbers = all(isinstance(one, bool | int | float) for one in values)
    return numbers and math.isclose(math.fsum(values) / len(values), value, rel_tol=1e-9, abs_tol=1e-12)


def _interval(metric: Metric, values: Sequence[Any], is_mean: bool) -> tuple[Interval | None, Method]:
    if is_mean and all(one in (0, 1) for one in values):
        return wilson(int(sum(values)), len(values)), "wilson"
    if len(values) < 2:
        return None, "none"
    return bootstrap(values, mean if is_mean else _on_rows(metric)), "bootstrap"


def _on_rows(metric: Metric) -> Any:
    """A task's aggregate for arrays: a row becomes the tuple that the task made."""

    def statistic(array: np.ndarray) -> float:
        return float(metric.aggregate([tuple(row) for row in array.tolist()] if array.ndim > 1 else array.tolist()))

    return statistic
