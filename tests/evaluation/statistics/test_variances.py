"""Standard errors beside the harness's, variance over seeds, quantiles, numbers of items, and contamination's table."""

import numpy as np
import pytest
from scipy import stats

from minillama.evaluation.statistics.contamination import contamination_table
from minillama.evaluation.statistics.errors import clustered, pooled, standard_error
from minillama.evaluation.statistics.intervals import wilson
from minillama.evaluation.statistics.power import items_for_interval
from minillama.evaluation.statistics.quantiles import t_quantile
from minillama.evaluation.statistics.seeds import split_variance


def test_standard_errors_are_the_harness_s():
    metrics = pytest.importorskip("lm_eval.api.metrics")
    rng = np.random.default_rng(0)
    tasks = [rng.integers(0, 2, n).tolist() for n in (30, 55, 200)]
    errors = [standard_error(task) for task in tasks]
    assert errors == pytest.approx([metrics.mean_stderr(task) for task in tasks])
    sizes = [len(task) for task in tasks]
    assert pooled(errors, sizes) == pytest.approx(metrics.pooled_sample_stderr(errors, sizes))


def test_clusters_of_one_are_items():
    values = np.random.default_rng(1).normal(size=50)
    assert clustered(values, range(50)) == pytest.approx(standard_error(values))


def test_the_clustered_error_is_how_much_the_mean_moves():
    rng = np.random.default_rng(2)

    def draw():
        return (rng.normal(size=(60, 1)) + rng.normal(size=(60, 5))).ravel()

    owner = np.repeat(np.arange(60), 5)
    moved = np.std([draw().mean() for _ in range(3000)])
    assert np.mean([clustered(draw(), owner) for _ in range(200)]) == pytest.approx(moved, rel=0.05)
    assert standard_error(draw()) < 0.75 * moved


@pytest.mark.parametrize("degrees", [1, 2, 3, 5, 10, 29, 99, 5000])
@pytest.mark.parametrize("level", [0.8, 0.9, 0.95])
def test_t_is_scipys(degrees, level):
    assert t_quantile(level, degrees) == pytest.approx(stats.t.ppf((1 + level) / 2, degrees), rel=0.01)


@pytest.mark.parametrize(("half_width", "p"), [(0.05, 0.5), (0.03, 0.5), (0.05, 0.1), (0.2, 0.9)])
def test_the_items_for_an_interval_are_the_fewest(half_width, p):
    def half(n):
        low, high = wilson(p * n, n)
        return (high - low) / 2

    n = items_for_interval(half_width, p)
    assert half(n) <= half_width < half(n - 1)


# --- seeds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("item", "seed", "rest"), [(0.4, 0.05, 0.2), (0.3, 0.0, 0.5)])
def test_variances_are_found_again(item, seed, rest):
    rng = np.random.default_rng(3)

    def draw(n, k):
        return item * rng.normal(size=(n, 1)) + seed * rng.normal(size=k) + rest * rng.normal(size=(n, k))

    found = [split_variance(draw(200, 10)) for _ in range(200)]
    assert np.mean([one.items for one in found]) == pytest.approx(item**2, rel=0.05)
    assert np.mean([one.seeds for one in found]) == pytest.approx(seed**2, abs=3e-4)
    assert np.mean([one.rest for one in found]) == pytest.approx(rest**2, rel=0.05)
    moved = np.std([draw(200, 1).mean() for _ in range(4000)])
    said = [np.hypot(one.error_of_items, one.error_of_shots) for one in found]
    assert np.mean(said) == pytest.approx(moved, rel=0.06)


def test_the_interval_over_few_seeds_holds_the_true_mean():
    """Shots that move every item alike: with the normal quantile 3 seeds held it 90.7 % of the time."""
    rng, n_held = np.random.default_rng(0), 0
    for _ in range(1500):
        scores = 0.5 + rng.normal(0, 0.3, (200, 1)) + rng.normal(0, 0.05, 3) + rng.normal(0, 0.2, (200, 3))
        low, high = split_variance(scores).interval()
        n_held += low <= 0.5 <= high
    assert 0.92 <= n_held / 1500 <= 0.97


def test_scores_that_no_seed_changes_owe_nothing_to_shots():
    found = split_variance(np.repeat([[0.0], [1.0], [1.0]], 4, axis=1))
    assert found.share_of_shots == 0
    assert found.by_seed == (2 / 3,) * 4
    assert "0 % of the variance" in str(found)
    assert found.interval().low < 2 / 3 < found.interval().high


@pytest.mark.parametrize("scores", [[[1, 2]], [1, 2], [[1], [2]], [[1, np.nan], [0, 1]]])
def test_scores_that_cannot_be_split_are_one_sentence(scores):
    with pytest.raises(ValueError, match=r"expected scores of at least 2 items|finite"):
        split_variance(scores)


# --- contamination -------------------------------------------------------------------------------


def test_the_table_of_contamination_is_that_of_the_paper():
    shares = [0.0, 0.1, 0.2, 0.5, 0.8, 1.0]
    scores = [0, 0, 1, 0, 1, 1]
    table = contamination_table(shares, scores)
    assert [(row.name, row.n) for row in table.rows] == [("clean", 2), ("not clean", 4), ("not dirty", 4), ("dirty", 2)]
    assert [row.mean for row in table.rows] == [0, 0.75, 0.25, 1]
    assert table.rows[1].share == pytest.approx(0.625)
    assert table.rows[3].z == pytest.approx((1 - 0.5) / (0.5 / np.sqrt(2)))
    assert not table.is_affected


def test_a_benchmark_learnt_by_heart_is_affected():
    dirty = np.arange(200) < 80
    table = contamination_table(np.where(dirty, 0.95, 0.02), np.where(dirty, 1.0, np.arange(200) % 2))
    assert table.is_affected
    assert [row.z > 0 for row in table.rows] == [False, True, False, True]


def test_subsets_without_items_have_no_score():
    table = contamination_table([0.0, 0.0], [0.0, 1.0])
    assert np.isnan([table.rows[3].mean, table.rows[3].z]).all()
    assert not table.is_affected
    with pytest.raises(ValueError, match="at least 1 item"):
        contamination_table([], [])
