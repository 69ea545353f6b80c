"""What the best of N is worth: against all subsets, one by one."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from minillama.alignment.rejection_sampling import best_of_n, draw_best_of_n
from minillama.alignment.rejection_sampling.order_statistics import maximum_weights, median_weights


@pytest.mark.parametrize("ties", [False, True])
def test_against_every_subset(ties):
    rng = np.random.default_rng(0)
    rewards, truth = rng.normal(size=(3, 7)), rng.normal(size=(3, 7))
    if ties:
        rewards = np.round(rewards)
    found = best_of_n(rewards, truth, resamples=50)
    for n in range(1, 8):
        subsets = [list(subset) for subset in combinations(range(7), n)]
        largest = np.mean([[row[s].max() for s in subsets] for row in rewards])
        middle = np.mean([[np.median(row[s]) for s in subsets] for row in rewards])
        # the first of equal ones, as np.argmax
        worth = np.mean([[t[s[np.argmax(row[s])]] for s in subsets] for row, t in zip(rewards, truth)])
        got = found.maximum[n - 1], found.median[n - 1], found.truth[n - 1]
        np.testing.assert_allclose(got, (largest, middle, worth), rtol=1e-12)
    np.testing.assert_array_equal(found.n, np.arange(1, 8))


def test_weights_are_shares_also_of_many():
    for k in (1, 2, 5, 128):
        for weights in (maximum_weights(k), median_weights(k)):
            np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-12)
            assert (weights >= 0).all()
        np.testing.assert_array_equal(maximum_weights(k)[0], np.full(k, 1 / k))
        np.testing.assert_array_equal(maximum_weights(k)[-1], np.eye(k)[-1])
    assert maximum_weights(128)[63, 63] == 1 / comb(128, 64)


def test_unbiased_for_fresh_answers():
    """Ten of a prompt's answers tell what the best of four fresh ones is: 1.0294 for a normal distribution."""
    found = best_of_n(np.random.default_rng(1).normal(size=(4000, 10)), resamples=2000, level=0.999)
    low, high = found.maximum_interval[3]
    assert low < 1.0294 < high
    assert abs(found.maximum[3] - 1.0294) < 0.02
    assert (np.abs(found.median) < 0.03).all()
    assert (np.diff(found.maximum) > 0).all()


def test_the_order_of_answers_and_equal_seeds_change_nothing():
    rng = np.random.default_rng(2)
    rewards = rng.normal(size=(20, 6))
    one, two = best_of_n(rewards, resamples=100), best_of_n(rewards[:, ::-1], resamples=100)
    for a, b in zip(one[:5], two[:5]):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    assert not np.array_equal(best_of_n(rewards, resamples=100, seed=1).maximum_interval, one.maximum_interval)


def test_what_has_no_order_is_refused():
    with pytest.raises(ValueError, match="rewards must be finite: 1 are not"):
        best_of_n([[0.0, np.nan]])
    with pytest.raises(ValueError, match=r"must be \(prompts, answers\)"):
        best_of_n([1.0, 2.0])
    with pytest.raises(ValueError, match=r"rewards are \(1, 2\), truth is \(1, 3\)"):
        best_of_n([[1.0, 2.0]], [[1.0, 2.0, 3.0]])


def test_pictures(tmp_path):
    """PNG of both kinds, the same bytes for the same numbers."""
    pytest.importorskip("matplotlib")
    rewards = np.random.default_rng(3).normal(size=(9, 8))
    curve = best_of_n(rewards, rewards / 2, resamples=50)
    first = draw_best_of_n({"": curve}, tmp_path / "7.png", title="best of N").read_bytes()
    assert first[:8] == b"\x89PNG\r\n\x1a\n"
    assert draw_best_of_n({"": curve}, tmp_path / "again.png", title="best of N").read_bytes() == first
    both = draw_best_of_n({"T = 0.7": curve, "T = 1": curve._replace(truth=None)}, tmp_path / "8.png").read_bytes()
    assert both != first
    with pytest.raises(ValueError, match="no curves"):
        draw_best_of_n({}, tmp_path / "none.png")
