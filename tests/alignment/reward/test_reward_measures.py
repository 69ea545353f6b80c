"""What is said of a reward model: values by hand, and Spearman beside SciPy's."""

import json

import numpy as np
import pytest

from minillama.alignment.preferences import STRENGTHS
from minillama.alignment.reward.ablations import as_markdown, by_strength_and_set, by_test_set, table29_columns
from minillama.alignment.reward.measures import (
    as_json,
    by_bin,
    by_strength,
    calibration,
    nll,
    report,
    right,
    separation,
    spearman,
    unsafe_at,
    within_prompts,
)

SCORES = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 1.0], [3.0, -3.0], [-1.0, -2.0], [0.5, 4.5]])
STRENGTH = [3, 3, 0, 2, None, 1]
SAFE = np.array([[1, 0], [1, 0], [1, 1], [1, 0], [0, 0], [np.nan, np.nan]])


def test_accuracy_counts_ties_half():
    np.testing.assert_array_equal(right(SCORES), [1, 0, 0.5, 1, 1, 0])
    found = by_strength(SCORES, STRENGTH)
    assert list(found) == [*reversed(STRENGTHS), "average"]
    assert [value.value for value in found.values()] == [0.5, 1, 0, 0.5, pytest.approx(3.5 / 6)]
    assert [value.n for value in found.values()] == [2, 1, 1, 1, 6]
    assert found["average"].interval.low == pytest.approx(0.2411, abs=2e-4)  # Wilson of 3.5 of 6
    assert [value.value for value in by_bin(SCORES, SAFE).values()] == [pytest.approx(2 / 3), 0.5, 1]


def test_loss_confidence_and_separation():
    losses = [0.126928, 1.313262, 0.693147, 0.002476, 0.313262, 4.018150]
    assert nll(SCORES) == pytest.approx(np.mean(losses), abs=1e-6)
    table = calibration(SCORES)
    assert [row.right.n for row in table] == [1, 0, 2, 1, 2]  # sigma of 0, 1 and -1, 2, 6 and -4
    assert [row.right.value for row in table if row.right.n] == [0.5, 0.5, 1, 0.5]
    assert np.isnan(table[1].mean)
    assert table[2].mean == pytest.approx(0.731059, abs=1e-6)
    edges, counts = separation(SCORES, bins=5)
    assert (edges[0], edges[-1], counts.tolist()) == (-4, 6, [1, 1, 2, 1, 1])


def test_unsafe_answers_are_called_so_below_a_threshold():
    """Unsafe: 0, 1, -3, -1, -2. Below sigma = 0.5: -3, -1, -2 of them; below 0.15, that is -1.73: -3 and -2."""
    half, gate = unsafe_at(SCORES, SAFE, 0.5), unsafe_at(SCORES, SAFE, 0.15)
    assert (half.precision.value, half.recall.value, half.recall.n) == (1, 0.6, 5)
    assert (gate.precision.n, gate.recall.value) == (2, 0.4)
    assert unsafe_at([-5.0, -5.0], [1, 0], 0.5).precision.value == 0.5
    none = unsafe_at([5.0], [1], 0.5)
    assert np.isnan(none.precision.value)
    assert none.precision.interval == (0, 1)


def test_ranks_are_scipys(rng):
    stats = pytest.importorskip("scipy.stats")
    for _ in range(50):
        a, b = rng.integers(0, 6, 16), rng.normal(size=16).round(1)
        assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_correlation_within_prompts_is_a_mean_over_prompts(rng):
    truths = [rng.normal(size=8) for _ in range(40)]
    scores = [truth + 100 * n for n, truth in enumerate(truths)]  # levels of prompts do not matter
    scores[0], scores[1] = -truths[0], np.ones(8)
    found = within_prompts(scores, truths)
    assert (found.n, found.left_out) == (39, 1)
    assert found.value == pytest.approx((38 - 1) / 39)
    assert found.interval.low < found.value <= found.interval.high
    with pytest.raises(ValueError, match="prompt 0 has scores of shape"):
        within_prompts([[1.0]], [[1.0, 2.0]])


def test_tables_have_the_papers_rows_and_columns():
    found = report(SCORES, STRENGTH, SAFE)
    assert json.loads(json.dumps(as_json(found)))["strength"]["average"][:2] == [pytest.approx(3.5 / 6), 6]
    reports = {"helpfulness": {"helpful": found}, "safety": {"helpful": found, "safe": found}}
    assert [(name, list(row)) for name, row in by_test_set(reports)] == [
        ("helpfulness", ["helpful"]),
        ("safety", ["helpful", "safe"]),
    ]
    assert [name for name, _ in by_strength_and_set(reports)] == [
        "helpful: helpfulness",
        "helpful: safety",
        "safe: safety",
    ]
    columns = ["average", "safe/unsafe", "both safe", "both unsafe", "recall of unsafe at 0.5"]
    assert list(table29_columns(found)) == columns
    text = as_markdown(by_test_set(reports))
    assert text.splitlines()[0] == "| | helpful | safe |"
    assert text.splitlines()[2] == "| helpfulness | 58.3% (24.1% to 86.1%, n = 6) | – |"
    unlabelled = report(SCORES, STRENGTH, np.full((6, 2), np.nan))
    assert list(table29_columns(unlabelled)) == columns[:4]
