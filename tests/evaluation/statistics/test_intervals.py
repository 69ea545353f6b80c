"""Intervals beside SciPy's, their coverage, and what they say of input that cannot be used."""

import numpy as np
import pytest
from scipy import stats

from minillama.evaluation.statistics.intervals import Interval, bootstrap, wilson
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
    assert together == pytest.approx(alone)


@pytest.mark.parametrize("clusters", [None, ["a"]])
def test_one_item_has_no_interval(clusters):
    assert np.isnan(bootstrap([1.0], clusters=clusters)).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: wilson(3, 2), "3 successes of 2 items"),
        (lambda: wilson(1, 2, level=95), "level must be between 0 and 1"),
        (lambda: bootstrap([]), "shape \\(0,\\)"),
        (lambda: bootstrap([1, np.nan]), "1 values are NaN"),
        (lambda: bootstrap([1, 2], clusters=[1]), "a cluster for each of 2 values, got 1"),
        (lambda: bootstrap([1, 2], resamples=0), "resamples"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
