"""Statistics that a bootstrap can compute for thousands of resamples at once.

A resample is told by how often each item was drawn, its *counts*. A statistic made of weighted sums needs no copy of
the items: one product of matrices gives it for many resamples. `mean` and `ratio_of_sums` are such; `Weighted` makes
another of your own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Weighted:
    """A statistic of items that are counted more than once.

    Attributes
    ----------
    of_counts : callable
        (values (n,) or (n, k), counts (m, n)) -> (m,): the statistic of m resamples.
    name : str
    weights : int or None
        The column that says how much an item counts: the words of a document. None if all count the same.
    """

    of_counts: Callable[[Array, Array], Array]
    name: str = ""
    weights: int | None = None

    def __call__(self, values: npt.ArrayLike) -> float:
        """The statistic of the items as they are, each counted once."""
        array = np.asarray(values, dtype=np.float64)
        return float(self.of_counts(array, np.ones((1, len(array))))[0])


def _mean(values: Array, counts: Array) -> Array:
    return (counts @ values) / counts.sum(axis=1)


def _ratio(values: Array, counts: Array) -> Array:
    sums = counts @ values  # (m, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[:, 0] / sums[:, 1]


mean = Weighted(_mean, "mean")
"""Of values (n,)."""

ratio_of_sums = Weighted(_ratio, "ratio of sums", weights=1)
"""Of values (n, 2): the sum of the first column over that of the second."""

perplexity = Weighted(lambda values, counts: np.exp(-_ratio(values, counts)), "perplexity", weights=1)
"""Of values (n, 2), log-likelihood and number of words (or bytes, or tokens) of each document: exp(-Σ / Σ)."""
