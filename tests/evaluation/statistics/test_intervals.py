"""Intervals beside SciPy's, their coverage, and what they say of input that cannot be used."""

import numpy as np
import pytest
from scipy import stats

from minillama.evaluation.statistics.intervals import Interval, bootstrap, too_short, wilson
from minillama.evaluation.statistics.resampled import mean, perplexity, ratio_of_sums


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 30), (3, 30), (30, 30), (77, 200), (14000, 14042)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_is_that_of_scipy(successes, n, level):
    expected = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    assert wilson(successes, n, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_of_nothing_is_everything():
    assert wilson(0, 0) == Interval(0, 1)


def test_bootstrap_is_near_scipys():
    values = np.random.default_rng(1).beta(2, 3, 200)
    expected = stats.bootstrap((values,), np.mean, method="percentile", rng=0).confidence_interval
    assert bootstrap(values) == pytest.approx(expected, abs=0.004)


def test_a_plain_function_gives_what_the_weighted_one_does():
    values = np.random.default_rng(2).normal(size=50)
    assert bootstrap(values, np.mean, resamples=500) == pytest.approx(bootstrap(values, mean, resamples=500))


def test_the_same_seed_is_the_same_interval():
    values = np.random.default_rng(3).normal(size=(40, 2)) + 5
    assert bootstrap(values, ratio_of_sums, seed=4) == bootstrap(values, ratio_of_sums, seed=4)
    assert bootstrap(values, ratio_of_sums, seed=4) != bootstrap(values, ratio_of_sums, seed=5)


def test_perplexity_is_that_of_sums():
    assert perplexity([[-2.0, 1], [-4.0, 3]]) == pytest.approx(np.exp(6 / 4))


def test_clusters_that_repeat_items_give_the_interval_of_the_items():
    values = np.random.default_rng(6).normal(size=60)
    alone = bootstrap(values)
    together = bootstrap(np.repeat(values, 5), clusters=np.repeat(np.arange(60), 5))
    assert tuple(together) == pytest.approx(tuple(alone))


@pytest.mark.parametrize("clusters", [None, ["a"]])
def test_one_item_has_no_interval(clusters):
    assert np.isnan(bootstrap([1.0], clusters=clusters)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wilson(3, 2), "3 successes of 2 items"),
        (lambda: wilson(1, 2, level=95), "level must be between 0 and 1"),
        (lambda: bootstrap([]), "shape \\(0,\\)"),
        (lambda: bootstrap([1, np.nan]), "1 of 2 values are NaN"),
        (lambda: bootstrap([1, 2], clusters=[1]), "a cluster for each of 2 values, got 1"),
        (lambda: bootstrap([1, 2], resamples=0), "resamples"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- coverage ------------------------------------------------------------------------------------

RATES = np.arange(1, 10) / 10


@pytest.mark.parametrize("n", [30, 40, 100, 1000])
def test_wilson_covers_what_it_says(n):
    """Not simulated: the chance of every number of successes times whether its interval holds the rate."""
    low, high = np.array([wilson(k, n) for k in range(n + 1)]).T
    assert covered_rates(n, low, high) == pytest.approx(0.95, abs=0.015)


def test_the_bootstrap_of_rights_and_wrongs_covers_what_it_says():
    n = 100
    rows = [bootstrap(np.arange(n) < k, resamples=2000) for k in range(n + 1)]
    assert covered_rates(n, *np.array(rows).T) == pytest.approx(0.95, abs=0.015)


def covered_rates(n, low, high):
    """How often the intervals of 0 … n successes hold the true rate, averaged over rates."""
    held = [(stats.binom.pmf(np.arange(n + 1), n, p) * ((low <= p + 1e-9) & (p - 1e-9 <= high))).sum() for p in RATES]
    return np.mean(held)


def masses(rng, rate, n):
    """MC2: the probability that is on true answers."""
    return rng.beta(2 * rate, 2 * (1 - rate), n)


def wins(rng, rate, n):
    """1, ½ and 0, a third of them ties."""
    return np.where(rng.random(n) < 1 / 3, 0.5, rng.random(n) < rate)


@pytest.mark.parametrize("draw", [masses, wins])
def test_the_bootstrap_of_other_scores_covers_what_it_says(draw):
    rng, held = np.random.default_rng(7), []
    for rate in RATES:
        true = rate if draw is masses else 1 / 6 + rate * 2 / 3
        for _ in range(120):
            low, high = bootstrap(draw(rng, rate, 100), resamples=600)
            held.append(low <= true <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_short_intervals_are_named():
    assert too_short(30, "wilson") is None
    assert too_short(100, "bootstrap") is None
    assert "n = 29: below 30 a Wilson interval is too short" in too_short(29, "wilson")
    assert "below 100 a bootstrap" in too_short(99, "bootstrap")
