"""How far raters agree beyond chance: Gwet's AC2, which the Llama 2 paper reports for its raters (section 3.4.2).

With r_ik raters putting item i in category k, r_i = Σ_k r_ik, weights w_kl and r*_ik = Σ_l w_kl r_il:

    p_a = mean over items with r_i ≥ 2 of  Σ_k r_ik (r*_ik - 1) / (r_i (r_i - 1))
    π_k = mean over items with r_i ≥ 1 of  r_ik / r_i
    p_e = Σ_kl w_kl / (q (q - 1)) · Σ_k π_k (1 - π_k)
    AC2 = (p_a - p_e) / (1 - p_e)

Ordinal weights: w_kl = 1 - C(|k - l| + 1, 2) / C(q, 2). Source: Gwet 2014, "Handbook of Inter-Rater Reliability", 4th
edition, chapters 4 and 5. 1 is full agreement, 0 what chance would give. A rater need not have rated every item.
The interval is a bootstrap over items (or clusters of them), not Gwet's variance formula.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..statistics.intervals import Interval, bootstrap
from ..statistics.resampled import Weighted
from .votes import Vote

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """AC2 and what it is made of.

    Attributes
    ----------
    value : float
        NaN where chance alone would agree fully.
    interval : Interval
    observed, by_chance : float
        p_a and p_e.
    n_items : int
        That two raters or more have rated.
    n_raters : int
    """

    value: float
    interval: Interval
    observed: float
    by_chance: float
    n_items: int
    n_raters: int


def ordinal_weights(n_categories: int) -> Array:
    """How far two categories in order agree: 1 for the same, 0 for the ends; (q, q)."""
    place = np.arange(n_categories)
    steps = np.abs(place[:, None] - place[None, :]) + 1
    return 1 - (steps * (steps - 1) / 2) / (n_categories * (n_categories - 1) / 2)


def gwet_ac2(
    ratings: npt.ArrayLike,
    categories: Sequence[float],
    *,
    weights: Array | None = None,
    clusters: Sequence[Any] | None = None,
    resamples: int = 10_000,
    seed: int = 0,
) -> Agreement:
    """Agreement of several raters on items in ordered categories.

    Parameters
    ----------
    ratings : array_like of shape (items, raters)
        NaN where a rater did not rate.
    categories : sequence of q ≥ 2 numbers, in order
        All that could be given, whether or not they were.
    weights : array (q, q), optional
        Ordinal ones by default; `numpy.eye(q)` makes it AC1.
    clusters : sequence of hashable, optional
        Items of one cluster, such as a prompt, are drawn together.

    Raises
    ------
    ValueError
        When a rating is no category, or no item has two ratings.
    """
    counts = _counts(np.asarray(ratings, np.float64), categories)
    weights = ordinal_weights(len(categories)) if weights is None else np.asarray(weights, np.float64)
    if weights.shape != (len(categories),) * 2:
        raise ValueError(f"expected weights of shape {(len(categories),) * 2}, found {weights.shape}")
    rated = counts.sum(axis=1) >= 1
    if not (counts.sum(axis=1) >= 2).any():
        raise ValueError("no item was rated by two raters: agreement needs some that several have rated")
    parts = _parts(counts[rated], weights)
    chosen = None if clusters is None else [cluster for cluster, kept in zip(clusters, rated, strict=True) if kept]
    observed, by_chance = _observed_and_chance(parts.sum(axis=0)[None], weights)
    statistic = Weighted(lambda values, drawn: _coefficient(drawn @ values, weights), "AC2")
    return Agreement(
        statistic(parts),
        bootstrap(parts, statistic, clusters=chosen, resamples=resamples, seed=seed),
        float(observed[0]),
        float(by_chance[0]),
        int((counts.sum(axis=1) >= 2).sum()),
        int((~np.isnan(np.asarray(ratings, np.float64))).any(axis=0).sum()),
    )


def agreement_of_votes(
    votes: Iterable[Vote], prompts: dict[str, str], categories: Sequence[float], *, seed: int = 0
) -> Agreement:
    """Agreement of the raters of these votes on the pairs; `prompts` has the prompt of each pair.

    With three categories (-1, 0 and 1) only the direction of a vote counts, and a judge's verdicts in two orders are
    one rating: a tie where they differ.
    """
    given: dict[tuple[str, str], list[float]] = {}
    for vote in votes:
        if vote.preference is not None and vote.pair in prompts:
            given.setdefault((vote.pair, vote.rater), []).append(vote.preference)
    items = {pair: n for n, pair in enumerate(dict.fromkeys(pair for pair, _ in given))}
    raters = {rater: n for n, rater in enumerate(dict.fromkeys(rater for _, rater in given))}
    ratings = np.full((len(items), len(raters)), np.nan)
    only_direction = len(categories) == 3
    for (pair, rater), found in given.items():
        value = float(np.sign(sum(np.sign(found)))) if only_direction else found[-1]
        ratings[items[pair], raters[rater]] = value
    return gwet_ac2(ratings, categories, clusters=[prompts[pair] for pair in items], seed=seed)


def _counts(ratings: Array, categories: Sequence[float]) -> Array:
    """How many raters put each item in each category, (items, q)."""
    if ratings.ndim != 2 or len(categories) < 2:
        raise ValueError(f"expected ratings (items, raters) and 2 categories or more, got {ratings.shape}")
    found = ratings[:, :, None] == np.asarray(categories, np.float64)
    strange = ~np.isnan(ratings) & ~found.any(axis=2)
    if strange.any():
        raise ValueError(f"the rating {ratings[strange][0]:g} is none of the categories {list(categories)}")
    return found.sum(axis=1).astype(np.float64)


def _parts(counts: Array, weights: Array) -> Array:
    """For each item what the sums are made of: its agreement, whether it has one, its shares; (items, 2 + q)."""
    raters = counts.sum(axis=1)
    several = raters >= 2
    agreeing = (counts * (counts @ weights - 1)).sum(axis=1)
    pairs = np.where(several, raters * (raters - 1), 1)
    return np.column_stack([np.where(several, agreeing / pairs, 0), several, counts / raters[:, None]])


def _observed_and_chance(sums: Array, weights: Array) -> tuple[Array, Array]:
    """p_a and p_e from sums of `_parts`, one row a resample."""
    q = len(weights)
    shares = sums[:, 2:] / sums[:, 2:].sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        observed = sums[:, 0] / sums[:, 1]
    return observed, weights.sum() / (q * (q - 1)) * (shares * (1 - shares)).sum(axis=1)


def _coefficient(sums: Array, weights: Array) -> Array:
    observed, by_chance = _observed_and_chance(sums, weights)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (observed - by_chance) / (1 - by_chance)
    # A resample without an item that two have rated says nothing: it counts as the middle of the others.
    missing = np.isnan(found)
    return np.where(missing, np.nanmean(found) if not missing.all() else np.nan, found)
