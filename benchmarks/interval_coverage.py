"""How often 95 % intervals hold the true score, and how often the paired test rejects models that are equal.

    python benchmarks/interval_coverage.py [--simulations 300] [--resamples 1000] [--items 30,100,300] [--only tests]

Coverage is averaged over true rates 0.1 … 0.9. Wilson's is exact, a sum over all numbers of successes; the others are
simulated, with SciPy's plain percentile and BCa intervals beside the package's bootstrap. Scores are drawn as

    shares       right or wrong
    masses       MC2: Beta(2 rate, 2 (1 - rate))
    wins         1, ½ and 0, a third of them ties
    perplexity   documents of log-normal length (sigma 0.8), nats a word 3 + Gamma(2, rate / 4)
    clusters     shares in groups of five that are easy or hard together; n counts groups

The rejections of McNemar's test are exact too: every table's chance. Those of the permutation test are simulated.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from minillama.evaluation.statistics import mcnemar, permutation
from minillama.evaluation.statistics.intervals import bootstrap, wilson
from minillama.evaluation.statistics.resampled import mean, ratio_of_sums

RATES = np.arange(1, 10) / 10
Draw = Callable[[np.random.Generator, float, int], tuple[np.ndarray, float]]


# --- scores with a known truth -------------------------------------------------------------------


def shares(rng: np.random.Generator, rate: float, n: int) -> tuple[np.ndarray, float]:
    return (rng.random(n) < rate).astype(float), rate


def masses(rng: np.random.Generator, rate: float, n: int) -> tuple[np.ndarray, float]:
    return rng.beta(2 * rate, 2 * (1 - rate), n), rate


def wins(rng: np.random.Generator, rate: float, n: int) -> tuple[np.ndarray, float]:
    return np.where(rng.random(n) < 1 / 3, 0.5, rng.random(n) < rate), 1 / 6 + rate * 2 / 3


def perplexity(rng: np.random.Generator, rate: float, n: int) -> tuple[np.ndarray, float]:
    words = np.exp(rng.normal(6, 0.8, n))
    return np.column_stack([words * (3 + rng.gamma(2, rate / 4, n)), words]), 3 + rate / 2


def clusters(rng: np.random.Generator, rate: float, n: int) -> tuple[np.ndarray, float]:
    ease = rng.beta(2 * rate, 2 * (1 - rate), n)
    return (rng.random((n, 5)) < ease[:, None]).astype(float), rate


# --- intervals -----------------------------------------------------------------------------------


def own(values: np.ndarray, draw: Draw, resamples: int) -> tuple[float, float]:
    if draw is clusters:
        return bootstrap(values.ravel(), resamples=resamples, clusters=np.repeat(np.arange(len(values)), 5))
    return bootstrap(values, ratio_of_sums if values.ndim == 2 else mean, resamples=resamples)


def scipys(values: np.ndarray, draw: Draw, resamples: int, method: str) -> tuple[float, float]:
    data, statistic = (values.mean(axis=1) if draw is clusters else values,), np.mean
    if draw is perplexity:
        data, statistic = tuple(values.T), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BCa of equal values is NaN, and holds nothing
        found = stats.bootstrap(data, statistic, paired=True, n_resamples=resamples, method=method, rng=0)
    return found.confidence_interval


def coverage(draw: Draw, n: int, given: argparse.Namespace) -> list[float]:
    methods = [
        lambda values: own(values, draw, given.resamples),
        lambda values: scipys(values, draw, given.resamples, "percentile"),
        lambda values: scipys(values, draw, given.resamples, "BCa"),
    ]
    held = np.zeros(len(methods))
    for rate in RATES:
        rng = np.random.default_rng([n, round(10 * rate)])
        for _ in range(given.simulations):
            values, true = draw(rng, rate, n)
            ends = (method(values) for method in methods)
            held += [low - 1e-12 <= true <= high + 1e-12 for low, high in ends]
    return (held / len(RATES) / given.simulations).tolist()


def wilson_coverage(n: int) -> float:
    low, high = np.array([wilson(k, n) for k in range(n + 1)]).T
    chances = [stats.binom.pmf(np.arange(n + 1), n, rate) for rate in RATES]
    return float(np.mean([(p * ((low <= rate) & (rate <= high))).sum() for p, rate in zip(chances, RATES)]))


def show_coverage(given: argparse.Namespace) -> None:
    print("Wilson, exact:", ", ".join(f"n = {n} {wilson_coverage(n):.1%}" for n in (10, 20, 30, 50, 100, 300, 1000)))
    error = (0.05 * 0.95 / given.simulations / len(RATES)) ** 0.5
    print(f"\nbootstraps, standard error of a figure {error:.1%}\nscores          n   minillama  percentile       BCa")
    for draw in (shares, masses, wins, perplexity, clusters):
        for n in given.items:
            figures = "".join(f"{figure:>12.1%}" for figure in coverage(draw, n, given))
            print(f"{draw.__name__:<12}{n:>5}{figures}", flush=True)


# --- tests ---------------------------------------------------------------------------------------


def rejected(n: int, discordance: float, p_value: Callable[[int, int, int], float]) -> float:
    """How often equal models are told apart at 0.05, over all tables of n items."""
    total = 0.0
    for m in range(1, n + 1):
        chance = stats.binom.pmf(m, n, discordance)
        if chance > 1e-7:
            fewer = max((b for b in range((m + 1) // 2) if p_value(b, m - b, n) < 0.05), default=-1)
            total += chance * 2 * stats.binom.cdf(fewer, m, 0.5)
    return float(total)


def show_tests(given: argparse.Namespace) -> None:
    print("\nMcNemar, exact: how often models that are equal are told apart at 0.05\n   n  discordance    used   mid-p")
    for n in (100, 200, 500):
        for discordance in (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5):
            used = rejected(n, discordance, mcnemar.p_value)
            mid = rejected(n, discordance, lambda a, b, n: mcnemar.mid_p(a, b))
            few = "   fewer than 5 flips expected" if n * discordance < 5 else ""
            print(f"{n:>4}{discordance:>13.1%}{used:>8.1%}{mid:>8.1%}{few}", flush=True)
    print("\npermutation, simulated: the same")
    for n in (100, 300):
        rng, runs = np.random.default_rng(n), 10 * given.simulations
        found = 0
        for _ in range(runs):
            ease = rng.beta(1, 2, n)
            a, b = ease + 0.2 * rng.standard_gamma(1, (2, n))
            found += permutation.p_value(a, b, exchanges=999) < 0.05
        print(f"{n:>4}{found / runs:>21.1%}   ± {(0.05 * 0.95 / runs) ** 0.5:.1%}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--simulations", type=int, default=300, help="for each true rate")
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--items", type=lambda text: [int(n) for n in text.split(",")], default=[30, 100, 300])
    parser.add_argument("--only", choices=["intervals", "tests"])
    given = parser.parse_args()
    if given.only != "tests":
        show_coverage(given)
    if given.only != "intervals":
        show_tests(given)


if __name__ == "__main__":
    main()
