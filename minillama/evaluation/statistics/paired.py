"""Is the second of two models better than the first, on the same items?

The scores of two models on the same items go up and down together, since some items are hard for both. Comparing item
by item leaves that out, so that far fewer items do than for two separate intervals. Right and wrong: mcnemar.py;
other scores: a bootstrap of the difference and permutation.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import mcnemar, permutation
from .intervals import Interval, bootstrap, too_short
from .power import items_for_difference
from .quantiles import normal_inverse, normal_quantile
from .resampled import Weighted, mean

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Paired:
    """Two models compared on the same items.

    Attributes
    ----------
    n : int
        Items.
    a, b : float
        The scores.
    difference : float
        b - a.
    interval : Interval
        Of the difference.
    p : float
        How often equal models would differ as much on so many items, or more.
    test : str
        What p comes from.
    only_a, only_b : int or None
        Items that only one of them has right; None unless every score is 0 or 1.
    n_differing : int
        Items on which their scores are not the same.
    n_needed : int or None
        Items on which a difference of this size would be seen with a power of 80 %; None if there is none at all.
    level : float
        Of the interval; a difference is claimed where p < 1 - level.
    cautions : tuple of str
        What must be said beside it, each in one sentence.
    """

    n: int
    a: float
    b: float
    difference: float
    interval: Interval
    p: float
    test: str
    only_a: int | None
    only_b: int | None
    n_differing: int
    n_needed: int | None
    level: float = 0.95
    cautions: tuple[str, ...] = ()

    def needed_for(self, difference: float, power: float = 0.8) -> int | None:
        """Items on which a difference of this size would be seen; None where the items at hand do not tell.

        For right or wrong the models are taken to disagree on as many items as they do here, for other scores to
        differ as widely.
        """
        if difference == 0 or self.n_differing == 0:
            return None
        if self.test != "permutation":
            discordance = max(self.n_differing / self.n, abs(difference))
            return items_for_difference(difference, discordance=min(discordance, 1), power=power, level=self.level)
        return _needed(self.n, difference, self.interval, self.level, power)

    @property
    def is_noise(self) -> bool:
        """Equal models differ as much too often for a claim."""
        return self.p >= 1 - self.level


def compare_paired(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Weighted = mean,
    *,
    level: float = 0.95,
    power: float = 0.8,
    seed: int = 0,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
) -> Paired:
    """Compare the scores of two models on the same items.

    Parameters
    ----------
    a, b : array_like, shape (n,) or (n, k)
        A row an item, in the same order; (n, 2) for `resampled.perplexity`.
    statistic : Weighted
        What makes one score of them.
    level, power : float
    seed : int
        Of the bootstrap and of the permutations.
    clusters : sequence of n hashable values, optional
        Items that were drawn together, such as several answers to one prompt.
    """
    first, second = _checked(a, b)
    values = np.unique(np.concatenate([first, second]))
    is_binary = first.ndim == 1 and statistic is mean and set(values.tolist()) <= {0.0, 1.0}
    if is_binary and clusters is None:
        return _compare_binary(first, second, level, power)
    differs = (first != second).reshape(len(first), -1).any(axis=1)
    score_a, score_b = statistic(first), statistic(second)
    interval = _difference_interval(first, second, statistic, level, seed, clusters)
    return Paired(
        n=len(first),
        a=score_a,
        b=score_b,
        difference=score_b - score_a,
        interval=interval,
        p=permutation.p_value(first, second, statistic, seed=seed, clusters=clusters),
        test="permutation",
        only_a=int((first > second).sum()) if is_binary else None,
        only_b=int((second > first).sum()) if is_binary else None,
        n_differing=int(differs.sum()),
        n_needed=_needed(len(first), score_b - score_a, interval, level, power),
        level=level,
        cautions=_cautions(len(first) if clusters is None else len(set(clusters)), int(differs.sum())),
    )


def _checked(a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Array, Array]:
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim not in (1, 2) or len(first) == 0:
        raise ValueError(
            f"expected a score of each model for the same items, at least 1, got {first.shape} and {second.shape}"
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("scores must be finite numbers: leave out items that one of the models has no score for")
    return first, second


def _compare_binary(a: Array, b: Array, level: float, power: float) -> Paired:
    n, only_a, only_b = len(a), int((a > b).sum()), int((b > a).sum())
    difference = (only_b - only_a) / n
    discordance = (only_a + only_b) / n
    return Paired(
        n=n,
        a=float(a.mean()),
        b=float(b.mean()),
        difference=difference,
        interval=mcnemar.difference_interval(only_a, only_b, n, level),
        p=mcnemar.p_value(only_a, only_b, n),
        test=mcnemar.test_name(only_a, only_b),
        only_a=only_a,
        only_b=only_b,
        n_differing=only_a + only_b,
        n_needed=items_for_difference(difference, discordance=discordance, power=power, level=level),
        level=level,
        cautions=_cautions(None, only_a + only_b),
    )


def _difference_interval(a: Array, b: Array, statistic: Weighted, level: float, seed: int, clusters: Any) -> Interval:
    """Items are drawn with the scores of both models."""
    if a.ndim == 1 and statistic is mean:
        return bootstrap(b - a, level=level, seed=seed, clusters=clusters)
    k = 1 if a.ndim == 1 else a.shape[1]

    def difference(rows: Array, counts: Array) -> Array:
        first, second = (rows[:, 0], rows[:, 1]) if a.ndim == 1 else (rows[:, :k], rows[:, k:])
        return statistic.of_counts(second, counts) - statistic.of_counts(first, counts)

    rows = np.column_stack([a, b])
    return bootstrap(rows, Weighted(difference, weights=statistic.weights), level=level, seed=seed, clusters=clusters)


def _needed(n: int, difference: float, interval: Interval, level: float, power: float) -> int | None:
    """From the standard error that the interval stands for: it shrinks with the root of the items."""
    if difference == 0 or math.isnan(interval.low):
        return None
    z = normal_quantile(level)
    error = (interval.high - interval.low) / 2 / z
    return max(2, math.ceil(n * ((z + normal_inverse(power)) * error / difference) ** 2))


def _cautions(n_drawn: int | None, n_differing: int) -> tuple[str, ...]:
    """`n_drawn`: what the bootstrap draws, None where there is none."""
    found = []
    if n_drawn is not None and (sentence := too_short(n_drawn, "bootstrap")):
        found.append(sentence)
    if n_differing < 5:
        items = "1 item" if n_differing == 1 else f"{n_differing} items"
        found.append(f"the models differ on {items} only: fewer than 5 can hardly show a difference")
    return tuple(found)
