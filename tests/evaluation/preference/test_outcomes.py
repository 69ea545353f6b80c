"""Win rates by hand, what stands beside them, and intervals over prompts that hold the truth."""

import math

import numpy as np
import pytest
from made_pairs import pairs, vote

from minillama.evaluation.preference import compare_systems
from minillama.evaluation.preference.outcomes import outcome, share_of
from minillama.evaluation.statistics.intervals import bootstrap, wilson


def test_an_outcome_is_what_most_votes_say():
    (pair,) = pairs(1)
    cases = {(3, 1, -1): 1, (1, -1): 0.5, (0, 0, -1): 0, (-3, 1, 1): 1, (0,): 0.5, (None, 2): 1, (None,): None}
    for given, expected in cases.items():
        assert outcome([vote(pair, preference) for preference in given]) == expected


def test_counts_by_hand():
    found = pairs(4, answer=lambda system, i: system * (i + 1 if system == "one" else 2))
    votes = [vote(pair, preference, shown=n % 2) for n, (pair, preference) in enumerate(zip(found, [1, 2, 0, -1]))]
    (c,) = compare_systems(found, votes, "judge")
    assert (c.win.value, c.tie.value, c.loss.value, c.rate.value) == (0.5, 0.25, 0.25, 0.625)
    assert (c.n_pairs, c.n_prompts, c.n_problems) == (4, 4, 0)
    assert c.rate.interval == wilson(2.5, 4)
    assert c.lengths == (3 * 2.5, 10)
    # "one" has 3, 6, 9, 12 characters and "other" 10: the longer is other, other, other, one.
    assert c.longer_wins.value == pytest.approx((0 + 0 + 0.5 + 0) / 4)
    # Shown first: one, other, one, other; won by one, one, nobody, other.
    assert c.first_wins.value == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert math.isnan(c.orders_agree.value)
    assert "inside the noise" in c.warnings[0]


def test_a_judge_that_takes_the_first_has_no_preference():
    found = pairs(30)
    votes = [vote(pair, 1 - 2 * shown, shown=shown) for pair in found for shown in (0, 1)]
    (c,) = compare_systems(found, votes, "judge")
    assert (c.rate.value, c.tie.value, c.first_wins.value, c.orders_agree.value) == (0.5, 1, 1, 0)


def test_no_noise_is_not_seen_where_there_must_be_some():
    """All pairs won: a bootstrap would say 100 to 100 %, with 5 prompts and with 500."""
    for n in (5, 500):
        found = pairs(n)
        (c,) = compare_systems(found, [vote(pair, 1) for pair in found], "judge")
        assert c.rate.interval == wilson(n, n)
        assert c.warnings == ()


def test_intervals_draw_prompts():
    """Ten pairs on each prompt are not ten times the evidence."""
    rng = np.random.default_rng(0)
    found = [pair for pair in pairs(120, tuple("abcde")) if "a" in pair.systems]
    signs = rng.choice([-1, 1], 120)
    votes = [vote(pair, int(signs[int(pair.prompt[1:])])) for pair in found]
    for c in compare_systems(found, votes, "judge"):
        values = [(1 + signs[i]) / 2 for i in range(120)]
        assert c.rate.interval == bootstrap(values, resamples=2000)
    merged = [vote(pair, v.preference, rater) for pair, v in zip(found, votes) for rater in ("ada", "bob")]
    assert compare_systems(found, merged, "all")[0].rate == compare_systems(found, votes, "judge")[0].rate


@pytest.mark.parametrize(("n", "rate", "samples"), [(40, 0.5, 300), (40, 0.8, 300), (150, 0.3, 100)])
def test_intervals_hold_the_true_rate(n, rate, samples):
    """Win, tie, loss drawn: 4 standard errors to be too short; Wilson's, of the small ones, may be longer."""
    rng, prompts, tie = np.random.default_rng(1), [str(i) for i in range(n)], 0.2 * min(rate, 1 - rate)
    hits = 0
    for _ in range(samples):
        drawn = rng.choice([1, 0.5, 0], n, p=[rate - tie / 2, tie, 1 - rate - tie / 2])
        low, high = share_of(drawn.tolist(), prompts).interval
        hits += low <= rate <= high
    assert hits / samples > 0.95 - 4 * (0.95 * 0.05 / samples) ** 0.5


def test_persons_scale_and_safety():
    found = pairs(3)
    votes = [
        vote(pair, p, "ada", shown=n % 2, is_person=True, unsafe=(True, False))
        for n, (pair, p) in enumerate(zip(found, [3, -1, 1]))
    ]
    (c,) = compare_systems(found, votes, "ada")
    assert c.rating.value == 1
    # A is unsafe each time: the first, the other, the first.
    assert [share.value for share in c.unsafe] == pytest.approx([2 / 3, 1 / 3])


def test_what_could_not_be_judged_counts_for_nobody():
    found = pairs(2)
    (c,) = compare_systems(found, [vote(found[0], 1), vote(found[1], None)], "judge")
    assert (c.n_pairs, c.n_problems, c.rate.value) == (1, 1, 1)
    (nothing,) = compare_systems(found, [vote(found[0], None)], "judge")
    assert (nothing.n_pairs, nothing.warnings) == (0, ())
    assert math.isnan(nothing.rate.value)
