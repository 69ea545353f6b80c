"""How many items it takes: for an interval of a wanted width, and to see a difference between two models."""

from __future__ import annotations

import math

from .intervals import wilson
from .quantiles import normal_inverse, normal_quantile


def items_for_interval(half_width: float, p: float = 0.5, level: float = 0.95) -> int:
    """The fewest items whose Wilson interval at a share of `p` is at most ± `half_width`: 0.05 is 5 points."""
    if not 0 < half_width < 0.5 or not 0 <= p <= 1:
        raise ValueError(f"expected a half width between 0 and 0.5 and a share of 0 to 1, got {half_width} and {p}")
    low, high = 0, 1
    while _half(p, high, level) > half_width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _half(p, middle, level) <= half_width else (middle, high)
    return high


def _half(p: float, n: int, level: float) -> float:
    interval = wilson(p * n, n, level)
    return (interval.high - interval.low) / 2


def items_for_difference(
    difference: float,
    *,
    discordance: float | None = None,
    sd: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
) -> int | None:
    """The items on which two models must be compared to see a difference of their scores.

    Parameters
    ----------
    difference : float
        Of the two scores: 0.02 is 2 points. None is returned for 0, which no number of items shows.
    discordance : float, optional
        For right or wrong: the share of items on which only one of the two is right, at least |difference|.
    sd : float, optional
        For any other score: the standard deviation of the items' differences.
    power : float
        How often the comparison shall find the difference.
    level : float
        1 - the p below which it counts as found.

    Notes
    -----
    Connor 1987, "Sample size for testing differences in proportions for the paired-sample design", equation 3.
    """
    if (discordance is None) == (sd is None):
        raise ValueError("give either the discordance of right and wrong answers, or the sd of the items' differences")
    if not 0 < power < 1:
        raise ValueError(f"power must be between 0 and 1, such as 0.8, got {power}")
    if difference == 0:
        return None
    z, z_power = normal_quantile(level), normal_inverse(power)
    if discordance is None:
        return max(2, math.ceil(((z + z_power) * float(sd or 0) / difference) ** 2))
    if not abs(difference) <= discordance <= 1:
        raise ValueError(f"models that differ by {difference:g} disagree on as many items or more, got {discordance:g}")
    root = z * math.sqrt(discordance) + z_power * math.sqrt(discordance - difference**2)
    return max(2, math.ceil((root / difference) ** 2))
