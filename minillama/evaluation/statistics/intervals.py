"""The interval in which the true score lies, seen from the items that were asked: Wilson and bootstrap.

`wilson` is for shares of items (accuracy, exact match, violations), `bootstrap` for everything else: MC2, perplexity,
win rates with ties. Both take items for a sample of many more that could have been asked; what the draw of shots,
another prompt or another seed would change is not in the interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .resampled import Weighted, mean

Array = npt.NDArray[np.float64]
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
        Items of one cluster (a subject, a prompt that was answered twice) are drawn together.

    Returns
    -------
    Interval
        NaN where there is one item or one cluster: nothing can be said then.
    """
    array, owner = _checked(values, clusters)
    normal_quantile(level)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    n_drawn = len(array) if owner is None else int(owner.max()) + 1
    if n_drawn == 1:
        return Interval(float("nan"), float("nan"))
    found = np.concatenate(list(_resampled(array, statistic, owner, resamples, seed)))
    low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def normal_quantile(level: float) -> float:
    """How many standard deviations to either side hold `level` of a normal distribution: 1.96 for 0.95."""
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, such as 0.95, got {level}")
    return NormalDist().inv_cdf((1 + level) / 2)


def _checked(values: npt.ArrayLike, clusters: Any) -> tuple[Array, npt.NDArray[np.int64] | None]:
    """The values as an array, and for each the number of its cluster."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim not in (1, 2) or len(array) == 0:
        raise ValueError(f"expected a value or a row for each of at least 1 item, got an array of shape {array.shape}")
    if np.isnan(array).any():
        raise ValueError(f"{int(np.isnan(array).any(axis=tuple(range(1, array.ndim))).sum())} values are NaN")
    if clusters is None:
        return array, None
    if len(clusters) != len(array):
        raise ValueError(f"expected a cluster for each of {len(array)} values, got {len(clusters)}")
    numbers: dict[Any, int] = {}
    return array, np.array([numbers.setdefault(cluster, len(numbers)) for cluster in clusters], dtype=np.int64)


def _resampled(
    values: Array, statistic: Callable[[Any], float], owner: npt.NDArray[np.int64] | None, resamples: int, seed: int
) -> Iterator[Array]:
    """The statistic of each resample, in pieces that fit in memory."""
    rng = np.random.default_rng(seed)
    n = len(values) if owner is None else int(owner.max()) + 1
    chunk = max(1, _CHUNK // len(values))
    for start in range(0, resamples, chunk):
        counts = rng.multinomial(n, np.full(n, 1 / n), size=min(chunk, resamples - start))
        counts = counts if owner is None else counts[:, owner]
        if isinstance(statistic, Weighted):
            yield statistic.of_counts(values, counts.astype(np.float64))
        else:
            yield np.array([statistic(np.repeat(values, row, axis=0)) for row in counts], dtype=np.float64)
