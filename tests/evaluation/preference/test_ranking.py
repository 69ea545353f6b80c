"""Bradley-Terry: the likelihood maximised by scipy, Ford's condition, and intervals."""

import numpy as np
import pytest
from made_pairs import pairs

from minillama.evaluation.preference import bradley_terry, rank_systems

scipy_optimize = pytest.importorskip("scipy.optimize")


def strengths_by_scipy(wins):
    """The strengths that maximise the likelihood, the first held at 0 and then all centred."""
    wins = np.asarray(wins, float)

    def loss(free):
        s = np.concatenate([[0.0], free])
        return float((wins * np.logaddexp(0, s[None, :] - s[:, None])).sum())

    found = scipy_optimize.minimize(loss, np.zeros(len(wins) - 1), method="BFGS", options={"gtol": 1e-10})
    s = np.concatenate([[0.0], found.x])
    return s - s.mean()


@pytest.mark.parametrize("seed", range(8))
def test_the_most_probable_strengths(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    wins = rng.integers(0, 30, (n, n)) / 2 + 0.5  # ties are halves
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins) == pytest.approx(strengths_by_scipy(wins), abs=1e-5)


def test_two_systems_have_a_formula():
    assert bradley_terry([[0, 30], [10, 0]]) == pytest.approx(np.array([1, -1]) * np.log(3) / 2, abs=1e-12)


def test_extreme_tables_and_several_at_once():
    wins = np.array([[0, 1e6, 0], [0.5, 0, 1e6], [0, 0.5, 0]])
    assert bradley_terry(wins) == pytest.approx(np.log(2e6) * np.array([1, 0, -1]), rel=1e-8, abs=1e-8)
    several = np.stack([wins, wins.T, np.ones((3, 3))])
    assert bradley_terry(several) == pytest.approx(np.stack([bradley_terry(table) for table in several]), abs=1e-9)


@pytest.mark.parametrize(
    ("wins", "unbeaten"),
    [
        ([[0, 3, 3], [0, 0, 1], [0, 1, 0]], r"\[0\]"),
        ([[0, 1, 3], [1, 0, 1], [0, 0, 0]], r"\[0, 1\]"),
        ([[0, 3], [0, 0]], r"\[0\]"),
    ],
)
def test_fords_condition(wins, unbeaten):
    with pytest.raises(ValueError, match=rf"the strengths have no bound: {unbeaten} never lost"):
        bradley_terry(wins)


@pytest.mark.parametrize("wins", [[[0]], [[0, 1, 2], [1, 0, 2]], [[0, -1], [1, 0]], [[0, np.nan], [1, 0]]])
def test_what_is_no_table(wins):
    with pytest.raises(ValueError, match="expected"):
        bradley_terry(wins)


def made(strengths, n, seed):
    """Pairs on n prompts with outcomes drawn from the model."""
    rng, found = np.random.default_rng(seed), pairs(n, tuple(strengths))
    chance = [1 / (1 + np.exp(strengths[pair.systems[1]] - strengths[pair.systems[0]])) for pair in found]
    return found, {pair.id: float(rng.random() < p) for pair, p in zip(found, chance)}


def test_ranking_finds_what_the_outcomes_were_drawn_from():
    truth = {"a": -0.8, "b": 0.2, "c": 0.6}
    ranking = rank_systems(*made(truth, 2000, 0))
    assert [standing.system for standing in ranking.standings] == ["c", "b", "a"]
    assert ranking.notes == ()
    for standing in ranking.standings:
        assert standing.interval.low < truth[standing.system] < standing.interval.high
        assert standing.n == 4000


def test_intervals_hold_the_true_strength():
    """95 % intervals over 100 samples and three systems: 6 standard errors of one system's share allowed."""
    truth = {"a": -0.5, "b": 0.0, "c": 0.5}
    hits = 0
    for seed in range(100):
        ranking = rank_systems(*made(truth, 150, seed), resamples=300, seed=seed)
        hits += sum(s.interval.low <= truth[s.system] <= s.interval.high for s in ranking.standings)
    assert abs(hits / 300 - 0.95) < 6 * (0.95 * 0.05 / 100) ** 0.5


def test_who_never_lost_is_said():
    found = pairs(5, ("a", "b", "c"))
    outcomes = {pair.id: 1.0 if pair.systems[0] == "a" else float(n % 2) for n, pair in enumerate(found)}
    ranking = rank_systems(found, outcomes)
    assert ranking.standings[0].system == "a"
    assert "a never lost against the others" in ranking.notes[0]
    assert np.isfinite([standing.strength for standing in ranking.standings]).all()
    assert np.isnan(ranking.standings[0].interval.low)


def test_a_tie_is_a_loss_too():
    """Half a win for each: one tie against every other is enough for Ford's condition."""
    found = pairs(4, ("a", "b"))
    ranking = rank_systems(found, {pair.id: 0.5 if n == 0 else 1.0 for n, pair in enumerate(found)})
    assert ranking.standings[0].strength == pytest.approx(np.log(3.5 / 0.5) / 2)
    assert "4 prompts" in ranking.notes[0]


def test_systems_that_nobody_compared():
    found = [*pairs(3, ("a", "b")), *pairs(3, ("c", "d"))]
    outcomes = {pair.id: float(n % 2) for n, pair in enumerate(found)}
    with pytest.raises(ValueError, match="no comparison connects a, b with c, d"):
        rank_systems(found, outcomes)
