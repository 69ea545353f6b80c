"""Two models on the same items, each right or wrong: McNemar's test, and the interval of the difference.

Items on which both are right or both are wrong tell nothing of the difference. What counts are the *flips*: b items
where only the first is right, c where only the second is. If the models are equal, a flip goes either way like a coin.

`mid_p` takes the number of flips as given (Fagerland et al. 2013, "The McNemar test for binary matched-pairs data:
mid-p and asymptotic are better than exact conditional"). With 4 flips or fewer it can never reject, and at 100 items of
which 5 flip it rejects equal models 2.5 times in 100 instead of 5. `unconditional_p` therefore averages over the
number of flips too, as it would come out of n items; `p_value` uses it below `FEW_FLIPS`. Together they reject equal
models 4.1 to 5.0 times in 100 wherever 5 flips or more are expected. Where fewer are (100 items, discordance below
5 %), no test reaches that: even all flips in one direction are then likely by chance.
"""

from __future__ import annotations

from math import copysign, inf, lgamma, log

import numpy as np
import numpy.typing as npt

from .intervals import Interval
from .quantiles import normal_quantile

FEW_FLIPS = 25
_TINY = 1e-9


def p_value(only_a: int, only_b: int, n: int) -> float:
    """How often models that are equal would differ as much as with these flips among `n` items, or more."""
    _check(only_a, only_b, n)
    few = only_a + only_b < FEW_FLIPS
    return unconditional_p(only_a, only_b, n) if few else mid_p(only_a, only_b)


def test_name(only_a: int, only_b: int) -> str:
    """What `p_value` uses for so many flips."""
    return "McNemar, unconditional" if only_a + only_b < FEW_FLIPS else "McNemar, mid-p"


def mid_p(only_a: int, only_b: int) -> float:
    """Two-sided p of so many flips either way, the outcome itself counted half; 1 without flips."""
    m, fewer = only_a + only_b, min(only_a, only_b)
    if only_a == only_b:
        return 1.0
    chances = binomial(m, 0.5)
    return float(min(1.0, 2 * chances[:fewer].sum() + chances[fewer]))


def unconditional_p(only_a: int, only_b: int, n: int) -> float:
    """p over all tables of `n` items, their discordance being the one seen, ordered by |b - c| / √(b + c).

    Suissa & Shuster 1991, "The 2 x 2 matched-pairs trial: exact unconditional design and analysis", with the
    discordance estimated instead of the worst one.
    """
    m = only_a + only_b
    if only_a == only_b:
        return 1.0
    z = abs(only_a - only_b) / np.sqrt(m)
    total = 0.0
    for flips, chance in enumerate(binomial(n, m / n)):
        fewer = int(np.floor((flips - z * np.sqrt(flips)) / 2 + _TINY))
        if flips and fewer >= 0 and chance > 1e-15:
            total += chance * min(1.0, 2 * float(binomial(flips, 0.5)[: fewer + 1].sum()))
    return min(1.0, total)


def difference_interval(only_a: int, only_b: int, n: int, level: float = 0.95) -> Interval:
    """The interval of (share of right answers of the second model) - (that of the first), by Tango's score test.

    Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design". It has a length without flips too.
    """
    _check(only_a, only_b, n)
    z = normal_quantile(level)
    point = (only_b - only_a) / n
    ends = (_where_score_is(z, (-1.0, point), only_a, only_b, n), _where_score_is(-z, (point, 1.0), only_a, only_b, n))
    return Interval(*ends)


def _where_score_is(z: float, between: tuple[float, float], only_a: int, only_b: int, n: int) -> float:
    """Where Tango's score, which falls with the difference, is `z`."""
    low, high = between
    for _ in range(60):
        middle = (low + high) / 2
        if _score(middle, only_a, only_b, n) > z:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _score(difference: float, only_a: int, only_b: int, n: int) -> float:
    """How many standard errors the observed difference is above `difference`, its variance being that under it."""
    twice_a = 4 * n
    b = -only_a - only_b + (2 * n - only_b + only_a) * difference
    c = -only_a * difference * (1 - difference)
    share = (np.sqrt(max(b * b - 2 * twice_a * c, 0.0)) - b) / twice_a  # of items that only the first has right
    variance = n * (2 * share + difference * (1 - difference))
    observed = only_b - only_a - n * difference
    if variance > 0:
        return float(observed / np.sqrt(variance))
    return copysign(inf, observed) if observed else 0.0


def binomial(n: int, share: float) -> npt.NDArray[np.float64]:
    """The chances of 0 to n successes of n."""
    if share in (0, 1):
        return np.eye(n + 1)[n * int(share)]
    k = np.arange(n + 1)
    factorials = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    return np.exp(lgamma(n + 1) - factorials - factorials[::-1] + k * log(share) + (n - k) * log(1 - share))


def _check(only_a: int, only_b: int, n: int) -> None:
    if min(only_a, only_b) < 0 or only_a + only_b > n or n < 1:
        raise ValueError(f"expected flips of 0 to n items, got {only_a} and {only_b} of {n}")
