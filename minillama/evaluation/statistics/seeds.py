"""What of a few-shot score is due to the draw of its shots.

The same items are asked under several seeds, each with other shots. A score x of item i under seed s is taken apart as
mean + item i + seed s + rest: a two-way analysis of variance with random effects and one score a cell (Searle, Casella
& McCulloch 1992, "Variance components", section 4.3). The rest is what this draw did to this item alone; where shots
are drawn anew for every item, as lm-evaluation-harness does, nearly all that shots do is there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .intervals import Interval
from .quantiles import t_quantile


@dataclass(frozen=True)
class SeedVariance:
    """Variances of single scores, and what they make of a mean.

    Attributes
    ----------
    n_items, n_seeds : int
    mean : float
    by_seed : tuple of float
        The score under each seed.
    items, seeds, rest : float
        Variances; an estimate below zero is given as 0.
    """

    n_items: int
    n_seeds: int
    mean: float
    by_seed: tuple[float, ...]
    items: float
    seeds: float
    rest: float

    @property
    def error_of_items(self) -> float:
        """The standard error of a score that is due to which items were asked."""
        return math.sqrt(self.items / self.n_items)

    @property
    def error_of_shots(self) -> float:
        """The standard error of the score under *one* seed that is due to the draw of its shots."""
        return math.sqrt(self.seeds + self.rest / self.n_items)

    @property
    def share_of_shots(self) -> float:
        """What part of the variance of the score under one seed is due to the draw of shots; NaN if none varies."""
        items, shots = self.error_of_items**2, self.error_of_shots**2
        return shots / (items + shots) if items + shots else float("nan")

    def interval(self, level: float = 0.95, n_seeds: int | None = None) -> Interval:
        """The interval of the mean over `n_seeds` seeds (those at hand), for other items and other shots.

        Student's t, since few seeds tell little: its degrees of freedom are Satterthwaite's.
        """
        error = math.sqrt(self.error_of_items**2 + self.error_of_shots**2 / (n_seeds or self.n_seeds))
        half = t_quantile(level, self._degrees()) * error if error else 0.0
        return Interval(self.mean - half, self.mean + half)

    def _degrees(self) -> float:
        """Of the variance of the mean, which is put together from three mean squares; at least 1."""
        n, k = self.n_items, self.n_seeds
        squares = (k * self.items + self.rest, n * self.seeds + self.rest, -self.rest)
        degrees = (n - 1, k - 1, (n - 1) * (k - 1))
        doubted = sum(square**2 / of for square, of in zip(squares, degrees))
        return max(1.0, sum(squares) ** 2 / doubted) if doubted else float(n - 1)

    def __str__(self) -> str:
        low, high = min(self.by_seed), max(self.by_seed)
        found = (
            f"{self.n_items} items under {self.n_seeds} seeds: {self.mean:.3f}, from {low:.3f} to {high:.3f}; "
            f"standard error of one seed's score: {self.error_of_items:.3f} from the items, "
            f"{self.error_of_shots:.3f} from the draw of shots ({100 * self.share_of_shots:.0f} % of the variance)"
        )
        if self.n_seeds < 5:
            found += f"; {self.n_seeds} seeds tell little about the draw of shots, 5 or more tell more"
        return found


def split_variance(scores: npt.ArrayLike) -> SeedVariance:
    """Split the variance of `scores` (n_items, n_seeds), the same items in each column."""
    x = np.asarray(scores, dtype=np.float64)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"expected scores of at least 2 items under at least 2 seeds, got an array of shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("scores must be finite numbers: leave out items that have none under one of the seeds")
    n, k = x.shape
    by_item, by_seed, mean = x.mean(axis=1), x.mean(axis=0), float(x.mean())
    rest = float(((x - by_item[:, None] - by_seed + mean) ** 2).sum() / ((n - 1) * (k - 1)))
    items = float(by_item.var(ddof=1)) - rest / k
    seeds = float(by_seed.var(ddof=1)) - rest / n
    return SeedVariance(n, k, mean, tuple(by_seed.tolist()), max(items, 0.0), max(seeds, 0.0), rest)
