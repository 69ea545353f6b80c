"""Scores on items that the training data holds, and on those that it does not: LLaMA 2's appendix A.6, table 51.

How much of an item is in the training data is measured by minillama/data/rules/contamination.py. Here its share, 0 to
1, meets the item's score. If a model has learnt items by heart, dirty ones score above the mean and clean ones below
it; if all four subsets are off by more than 2 standard errors, the paper calls the benchmark affected. What this cannot
tell: whether dirty items are simply easier.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.rules.contamination import Contamination


class Subset(NamedTuple):
    """A row of the table."""

    name: str
    """"clean" (below 20 % of its tokens), "not clean", "not dirty" (below 80 %) or "dirty"."""
    n: int
    share: float
    """Mean contaminated share of its items; NaN where it is empty, as the two that follow."""
    mean: float
    """Its mean score."""
    z: float
    """By how many standard errors that is off the mean of all items."""


class ContaminationTable(NamedTuple):
    """The four subsets, which overlap, beside all items."""

    n: int
    mean: float
    rows: tuple[Subset, ...]

    @property
    def is_affected(self) -> bool:
        """All four subsets are off by more than 2, which the paper takes for sufficient evidence."""
        return all(abs(row.z) > 2 for row in self.rows)  # NaN is not


def contamination_table(shares: npt.ArrayLike, scores: Sequence[float] | npt.NDArray[np.float64]) -> ContaminationTable:
    """The table for items with contaminated `shares` (n,), 0 to 1, and `scores` (n,)."""
    found = Contamination(np.asarray(shares, dtype=np.float64))
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        raise ValueError("expected scores of at least 1 item, got none")
    z_scores = found.z_scores(values.tolist())
    rows = []
    for name, members in found.subsets.items():
        n = int(members.sum())
        share, mean = (float(of[members].mean()) if n else float("nan") for of in (found.shares, values))
        rows.append(Subset(name, n, share, mean, z_scores[name]))
    return ContaminationTable(len(values), float(values.mean()), tuple(rows))
