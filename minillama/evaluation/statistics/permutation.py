"""Two models on the same items, any score: if they are equal, whose score is whose is a coin's choice for each item.

The test exchanges the two scores of items at random and asks how often the statistics then differ as much as they do.
Where few items differ, all exchanges are tried, and the p is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .intervals import cluster_numbers
from .resampled import Weighted, mean

Array = npt.NDArray[np.float64]
_MOST_TRIED = 13  # items that differ: 8192 exchanges
_CHUNK = 1 << 20


def p_value(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    statistic: Weighted = mean,
    *,
    exchanges: int = 9_999,
    seed: int = 0,
    clusters: Any = None,
) -> float:
    """How often a difference at least as large comes about when the scores of items change places.

    Parameters
    ----------
    a, b : array_like, shape (n,) or (n, k)
        A row an item, in the same order.
    statistic : Weighted
    exchanges : int
        Tried at random; the p is never below 1 / (exchanges + 1).
    seed : int
    clusters : sequence of n hashable values, optional
        Items of one cluster change places together.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    owner = np.arange(len(first)) if clusters is None else cluster_numbers(clusters, len(first))
    differs = (first != second).reshape(len(first), -1).any(axis=1)
    units = np.unique(owner[differs])  # the others change nothing when they change places
    if not len(units):
        return 1.0
    # As the exchanges are computed, since the one of none must reach it: last bits of large scores' means differ.
    observed = abs(float(_differences(first, second, statistic, np.zeros((1, len(first))))[0])) * (1 - 1e-9)
    is_exact = len(units) <= _MOST_TRIED
    n_reached = n = 0
    for swapped in _all_of(len(units), len(first)) if is_exact else _drawn(len(units), exchanges, seed, len(first)):
        by_unit = np.zeros((len(swapped), int(owner.max()) + 1))
        by_unit[:, units] = swapped
        found = np.abs(_differences(first, second, statistic, by_unit[:, owner]))
        n_reached, n = n_reached + int((found >= observed).sum()), n + len(found)
    return n_reached / n if is_exact else (n_reached + 1) / (n + 1)


def _differences(a: Array, b: Array, statistic: Weighted, swapped: Array) -> Array:
    """The statistic of the second model less that of the first, for each row of `swapped` (m, n) of 0 and 1."""
    if statistic is mean:  # an exchange turns the sign of an item's difference
        return (1 - 2 * swapped) @ (b - a) / len(a)
    both = np.concatenate([a, b])
    kept = 1 - swapped
    second = statistic.of_counts(both, np.concatenate([swapped, kept], axis=1))
    return second - statistic.of_counts(both, np.concatenate([kept, swapped], axis=1))


def _all_of(n: int, n_items: int) -> Iterator[Array]:
    patterns = np.arange(1 << n)[:, None] >> np.arange(n) & 1
    chunk = max(1, _CHUNK // n_items)
    for start in range(0, len(patterns), chunk):
        yield patterns[start : start + chunk].astype(np.float64)


def _drawn(n: int, exchanges: int, seed: int, n_items: int) -> Iterator[Array]:
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK // n_items)
    for start in range(0, exchanges, chunk):
        yield rng.integers(0, 2, size=(min(chunk, exchanges - start), n)).astype(np.float64)
