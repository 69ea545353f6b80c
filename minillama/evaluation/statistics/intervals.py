"""The interval in which the true score lies, seen from the items that were asked: Wilson and bootstrap.

`wilson` is for shares of items (accuracy, exact match, violations), `bootstrap` for everything else: MC2, perplexity,
win rates with ties. Both take items for a sample of many more that could have been asked; what the draw of shots,
another prompt or another seed would change is not in the interval.

The bootstrap is the percentile one, its two percentiles moved out as far as Student's t is wider than the normal
distribution (Hesterberg 2015, "What teachers should know about the bootstrap", section 5.3), its degrees of freedom
those of Kish's effective number where documents or clusters differ in size. Of those measured by
benchmarks/interval_coverage.py it is the one whose 95 % intervals hold the true score most nearly 95 times of 100 for
all of shares, MC2, win rates and perplexities; the percentile interval as it is and BCa are too short for perplexities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from .quantiles import normal_cdf, normal_quantile, t_quantile
from .resampled import Weighted, mean

Array = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]

FEWEST = {"wilson": 30, "bootstrap": 100}
"""Items from which on a 95 % interval is measured to cover 93.5 to 96.5 %; a perplexity's, of 100 documents that are
very unlike in length, 93 to 94 %."""

_CHUNK = 1 << 21  # counts held at a time: 16 MB of float64


class Interval(NamedTuple):
    """From `low` to `high`, both ends included."""

    low: float
    high: float


def wilson(successes: float, n: int, level: float = 0.95) -> Interval:
    """The interval of a share, by Wilson's score test.

    Parameters
    ----------
    successes : float
        Items that were right, 0 to n; halves may be counted, the interval is then a little too long.
    n : int
        Items in all; with 0 nothing is known, and the interval is 0 to 1.
    level : float
        How often such intervals hold the true share.

    Notes
    -----
    Wilson 1927, "Probable inference, the law of succession, and statistical inference". Unlike ± 1.96 standard errors
    it never leaves 0 to 1, and has a length when all items are right.
    """
    z = normal_quantile(level)
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"expected 0 ≤ successes ≤ n, got {successes} successes of {n} items")
    if n == 0:
        return Interval(0.0, 1.0)
    share, scale = successes / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * float(np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(float(low), float(high))


def bootstrap(
    values: npt.ArrayLike,
    statistic: Callable[[Any], float] = mean,
    *,
    level: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
    clusters: Sequence[Any] | npt.NDArray[Any] | None = None,
) -> Interval:
    """The interval of any statistic, by drawing items again from those at hand.

    Parameters
    ----------
    values : array_like, shape (n,) or (n, k)
        A row an item.
    statistic : callable
        values -> number. One of resampled.py is computed for many resamples at once, any other function of an array
        (`numpy.median`) for one after the other.
    level : float
    resamples : int
    seed : int
        The same seed gives the same interval.
    clusters : sequence of n hashable values, optional
        Items of one cluster (a subject, a prompt that was answered twice) are drawn together. The interval is then
        that of other clusters of the same kind, and what counts as n is the number of clusters.

    Returns
    -------
    Interval
        NaN where there is one item or one cluster: nothing can be said then. Where all values are equal it has no
        length: a share should be asked of `wilson`, which has one.
    """
    array, owner = _checked(values, clusters)
    normal_quantile(level)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    n = len(array) if owner is None else int(owner.max()) + 1
    if n == 1:
        return Interval(float("nan"), float("nan"))
    found = np.concatenate(list(_resampled(array, statistic, owner, resamples, seed)))
    n_effective = _effective(array, statistic, owner)
    outside = normal_cdf(-t_quantile(level, n_effective - 1) * (n_effective / (n_effective - 1)) ** 0.5)
    low, high = np.quantile(found, [outside, 1 - outside])
    return Interval(float(low), float(high))


def _effective(values: Array, statistic: Callable[[Any], float], owner: Numbers | None) -> float:
    """How many items of equal weight would tell as much, by Kish: long documents and large clusters count more.

    At least 2, since t is not known for less.
    """
    column = statistic.weights if isinstance(statistic, Weighted) and values.ndim == 2 else None
    weights: Array = np.ones(len(values)) if column is None else values[:, column]
    if owner is not None:
        weights = np.bincount(owner, weights=weights).astype(np.float64)
    squares = float((weights**2).sum())
    return max(2.0, float(weights.sum()) ** 2 / squares) if squares else float(len(weights))


def too_short(n: int, method: Literal["wilson", "bootstrap"]) -> str | None:
    """The sentence to stand beside an interval of `n` items (or clusters) that covers less than it says, else None."""
    if n >= FEWEST[method]:
        return None
    name = {"wilson": "Wilson", "bootstrap": "bootstrap"}[method]
    return (
        f"n = {n}: below {FEWEST[method]} a {name} interval is too short: it holds the true score less often than said"
    )


def _checked(values: npt.ArrayLike, clusters: Any) -> tuple[Array, Numbers | None]:
    """The values as an array, and for each the number of its cluster."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or len(array) == 0:
        raise ValueError(f"expected a value or a row for each of at least 1 item, got an array of shape {array.shape}")
    if n_unknown := int(np.isnan(array).reshape(len(array), -1).any(axis=1).sum()):
        raise ValueError(f"{n_unknown} of {len(array)} values are NaN: leave out items that have no score")
    return array, None if clusters is None else cluster_numbers(clusters, len(array))


def cluster_numbers(clusters: Any, n: int) -> Numbers:
    """The clusters of n items, numbered from 0 in the order in which they appear."""
    if len(clusters) != n:
        raise ValueError(f"expected a cluster for each of {n} values, got {len(clusters)}")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)


def _resampled(
    values: Array, statistic: Callable[[Any], float], owner: Numbers | None, resamples: int, seed: int
) -> Iterator[Array]:
    """The statistic of each resample, in pieces that fit in memory."""
    rng = np.random.default_rng(seed)
    times = None
    if owner is None:
        # Items of equal value are one thing drawn more often: 14,042 rights and wrongs are two.
        distinct, found = np.unique(values, axis=0, return_counts=True)
        if len(distinct) * 8 <= len(values):
            values, times = distinct, found
    n = len(values) if owner is None else int(owner.max()) + 1
    chunk = max(1, _CHUNK // len(values))
    for start in range(0, resamples, chunk):
        counts = _counts(rng, n, times, min(chunk, resamples - start))
        counts = counts if owner is None else counts[:, owner]
        if isinstance(statistic, Weighted):
            yield statistic.of_counts(values, counts.astype(np.float64))
        else:
            yield np.array([statistic(np.repeat(values, row, axis=0)) for row in counts], dtype=np.float64)


def _counts(rng: np.random.Generator, n: int, times: Numbers | None, size: int) -> Numbers:
    """How often each of n things is drawn, in (size, n) resamples of all; a thing may stand for `times` items."""
    if times is not None:
        return rng.multinomial(times.sum(), times / times.sum(), size=size)
    # Much faster than a multinomial of as many values as draws.
    drawn = rng.integers(0, n, size=(size, n)) + n * np.arange(size)[:, None]
    return np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
