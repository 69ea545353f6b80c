"""Gwet's AC2: published values, and the definition written out pair by pair."""

import itertools
import math

import numpy as np
import pytest
from made_pairs import pairs, vote

from minillama.evaluation.preference import gwet_ac2, ordinal_weights
from minillama.evaluation.preference.agreement import agreement_of_votes

NAN = math.nan
# Twelve units, four raters, five categories, some ratings missing: cac.raw4raters of irrCAC, Gwet's own package. Values
# expected below are those that its Python version gives for these ratings.
TABLE = [[1, 1, NAN, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4], [4, 4, 4, 4]]
TABLE += [[1, 1, 2, 1], [2, 2, 2, 2], [NAN, 5, 5, 5], [NAN, NAN, 1, 1], [NAN, NAN, 3, NAN]]


def test_the_values_of_gwets_own_program():
    found = gwet_ac2(TABLE, [1, 2, 3, 4, 5])
    assert (found.value, found.observed, found.by_chance) == pytest.approx((0.89894, 0.96818, 0.68516), abs=5e-6)
    assert (found.n_items, found.n_raters) == (11, 4)
    plain = gwet_ac2(TABLE, [1, 2, 3, 4, 5], weights=np.eye(5))
    assert (plain.value, plain.observed, plain.by_chance) == pytest.approx((0.77544, 0.81818, 0.19032), abs=5e-6)


def test_ordinal_weights():
    """Three categories: 1, 2/3, 0 (irrCAC, ordinal.weights(1:3))."""
    assert ordinal_weights(3) == pytest.approx(np.array([[1, 2 / 3, 0], [2 / 3, 1, 2 / 3], [0, 2 / 3, 1]]))
    assert ordinal_weights(7)[0, 6] == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_definition_pair_by_pair(seed):
    """The mean weight of two raters drawn from those of an item, and of two categories that chance draws."""
    rng, q = np.random.default_rng(seed), 7
    ratings = rng.integers(-3, 4, (30, 3)).astype(float)
    ratings[rng.random(ratings.shape) < 0.25] = np.nan

    def weight(a, b):
        return 1 - math.comb(int(abs(a - b)) + 1, 2) / math.comb(q, 2)

    observed, shares = [], np.zeros(q)
    rated = [[value for value in row if not math.isnan(value)] for row in ratings]
    for row in rated:
        if len(row) >= 2:
            observed.append(np.mean([weight(a, b) for a, b in itertools.permutations(row, 2)]))
    for row in filter(None, rated):
        for value in row:
            shares[int(value) + 3] += 1 / len(row)
    shares /= len(list(filter(None, rated)))
    total = sum(weight(a, b) for a in range(q) for b in range(q))
    chance = total / (q * (q - 1)) * sum(share * (1 - share) for share in shares)
    found = gwet_ac2(ratings, range(-3, 4), resamples=200)
    assert found.value == pytest.approx((np.mean(observed) - chance) / (1 - chance), abs=1e-12)
    assert found.interval.low <= found.value <= found.interval.high


def test_full_agreement_and_chance(rng):
    same = np.repeat(rng.integers(-3, 4, (200, 1)), 3, axis=1)
    assert gwet_ac2(same, range(-3, 4), resamples=100).value == pytest.approx(1)
    random = gwet_ac2(rng.integers(-3, 4, (20_000, 2)), range(-3, 4), resamples=50)
    assert random.value == pytest.approx(0, abs=0.02)


def test_intervals_hold_the_true_value(rng):
    """95 % intervals of 200 samples of 150 items: 6 standard errors allowed."""
    population = rng.integers(0, 3, (100_000, 1)) + rng.integers(0, 2, (100_000, 3))
    truth = gwet_ac2(population, range(4), resamples=2).value
    hits = 0
    for seed in range(200):
        sample = population[rng.integers(0, len(population), 150)]
        low, high = gwet_ac2(sample, range(4), resamples=500, seed=seed).interval
        hits += low <= truth <= high
    assert abs(hits / 200 - 0.95) < 6 * (0.95 * 0.05 / 200) ** 0.5


def test_what_cannot_be_compared():
    with pytest.raises(ValueError, match="the rating 4 is none of the categories"):
        gwet_ac2([[1, 4]], [1, 2, 3])
    with pytest.raises(ValueError, match="no item was rated by two"):
        gwet_ac2([[1, NAN], [NAN, 2]], [1, 2, 3])
    with pytest.raises(ValueError, match="2 categories or more"):
        gwet_ac2([[1, 1]], [1])


def test_votes_of_raters_who_saw_other_orders():
    """Preferences are compared, not the letters that were shown."""
    found = pairs(3)
    votes = [vote(pair, 2, "ada", shown=0) for pair in found] + [vote(pair, 2, "bob", shown=1) for pair in found]
    prompts = {pair.id: pair.prompt for pair in found}
    assert agreement_of_votes(votes, prompts, range(-3, 4)).value == pytest.approx(1)
    votes[0] = vote(found[0], -3, "ada")
    assert agreement_of_votes(votes, prompts, range(-3, 4)).value < 0.8
