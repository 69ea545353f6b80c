"""The paired comparison: beside SciPy's tests, how often it rejects models that are equal, and what it finds."""

import numpy as np
import pytest
from scipy import optimize, stats

from minillama.evaluation.statistics import mcnemar, permutation
from minillama.evaluation.statistics.multiplicity import holm
from minillama.evaluation.statistics.paired import compare_paired
from minillama.evaluation.statistics.power import items_for_difference
from minillama.evaluation.statistics.resampled import perplexity


def flips(n, only_a, only_b, both=10):
    """Scores of two models with so many flips."""
    a, b = np.zeros(n), np.zeros(n)
    a[:only_a], b[only_a : only_a + only_b] = 1, 1
    a[n - both : n], b[n - both : n] = 1, 1
    return a, b


# --- McNemar -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (3, 9), (30, 50), (700, 800)])
def test_mid_p_is_the_exact_p_less_half_the_outcome(only_a, only_b):
    m = only_a + only_b
    exact = stats.binomtest(only_a, m).pvalue
    assert mcnemar.mid_p(only_a, only_b) == pytest.approx(exact - stats.binom.pmf(only_a, m, 0.5), rel=1e-9)


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(0, 4, 100), (2, 9, 60), (10, 3, 400)])
def test_the_unconditional_p_is_that_of_simulated_tables(only_a, only_b, n):
    rng = np.random.default_rng(0)
    m = rng.binomial(n, (only_a + only_b) / n, 400_000)
    b = rng.binomial(m, 0.5)
    with np.errstate(invalid="ignore"):
        reached = np.abs(m - 2 * b) / np.sqrt(m) >= abs(only_a - only_b) / np.sqrt(only_a + only_b) - 1e-9
    assert mcnemar.unconditional_p(only_a, only_b, n) == pytest.approx(reached.mean(), abs=0.002)


@pytest.mark.parametrize(
    ("n", "discordance"),
    [(n, d) for n in (100, 200, 500) for d in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3) if n * d >= 5],
)
def test_mcnemar_rejects_equal_models_four_to_six_times_in_a_hundred(n, discordance):
    """Not simulated: every table's chance times whether it is rejected."""
    assert 0.04 <= rejected(n, discordance) <= 0.06


def test_where_fewer_than_five_flips_are_expected_it_rejects_more_rarely():
    assert rejected(100, 0.03) < 0.04
    assert compare_paired(*flips(100, 0, 4)).cautions


def rejected(n, discordance):
    total = 0.0
    for m in range(n + 1):
        chance = stats.binom.pmf(m, n, discordance)
        if chance < 1e-6:
            continue
        # The p falls with the difference: the largest number of flips against the stream that is rejected.
        fewer = max((b for b in range((m + 1) // 2) if mcnemar.p_value(b, m - b, n) < 0.05), default=-1)
        total += chance * 2 * stats.binom.cdf(fewer, m, 0.5)
    return total


@pytest.mark.parametrize(("only_a", "only_b", "n"), [(3, 9, 40), (12, 2, 100), (1, 7, 21)])
def test_the_interval_ends_where_the_likelihood_under_that_difference_puts_the_score(only_a, only_b, n):
    """Tango's closed form beside a numerical maximum of the likelihood."""
    for end, sign in zip(mcnemar.difference_interval(only_a, only_b, n), (1, -1)):
        # shares: q of "only a", q + end of "only b", the rest agree

        def loss(q, end=end):
            return -(only_a * np.log(q) + only_b * np.log(q + end) + (n - only_a - only_b) * np.log(1 - 2 * q - end))

        found = optimize.minimize_scalar(loss, bounds=(max(0, -end) + 1e-9, (1 - end) / 2 - 1e-9), method="bounded")
        score = (only_b - only_a - n * end) / np.sqrt(n * (2 * found.x + end - end**2))
        assert score == pytest.approx(sign * stats.norm.ppf(0.975), abs=2e-3)


def test_every_small_table_has_an_interval_around_its_difference():
    for n in range(1, 9):
        for only_a in range(n + 1):
            for only_b in range(n + 1 - only_a):
                low, high = mcnemar.difference_interval(only_a, only_b, n)
                assert -1 <= low <= (only_b - only_a) / n <= high <= 1
                assert high - low > 0.2
                assert 0 < compare_paired(*flips(n, only_a, only_b, both=0)).p <= 1


def test_without_flips_the_interval_has_a_length():
    low, high = mcnemar.difference_interval(0, 0, 50)
    assert low == pytest.approx(-high)
    assert 0.02 < high < 0.12


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_interval_of_a_difference_covers_it(share):
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(600):
        hard = rng.random(100)
        a, b = hard < share, np.where(rng.random(100) < 0.7, hard, rng.random(100)) < share + 0.05
        low, high = compare_paired(a, b).interval
        held += low <= 0.05 <= high
    assert 0.925 <= held / 600 <= 0.975


# --- permutation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [8, 12])
def test_few_items_are_exact_as_in_scipy(n):
    a, b = np.random.default_rng(n).normal(size=(2, n))
    mean_difference = lambda x, y, axis: np.mean(y - x, axis=axis)
    expected = stats.permutation_test((a, b), mean_difference, permutation_type="samples", vectorized=True)
    assert permutation.p_value(a, b) == pytest.approx(expected.pvalue)


def test_many_items_are_near_scipys():
    a, b = np.random.default_rng(3).beta(2, 3, (2, 150))
    mean_difference = lambda x, y, axis: np.mean(y - x, axis=axis)
    expected = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", vectorized=True, n_resamples=9999, rng=0
    )
    assert permutation.p_value(a, b) == pytest.approx(expected.pvalue, abs=0.02)


def test_permutation_rejects_equal_models_as_often_as_it_says():
    rng = np.random.default_rng(8)
    p = []
    for _ in range(1500):
        hard = rng.beta(1, 2, 100)
        a, b = np.clip(hard + 0.2 * rng.standard_gamma(1, (2, 100)), 0, 2)
        p.append(permutation.p_value(a, b, exchanges=400))
    assert 0.035 <= np.mean(np.array(p) < 0.05) <= 0.065  # 0.05 ± 2.7 standard errors


def test_scores_far_from_zero_have_the_same_p():
    rng = np.random.default_rng(0)
    a = 1e6 + rng.normal(size=12)
    assert permutation.p_value(a, a + 0.5 + 0.1 * rng.normal(size=12)) == 2 / 2**12


def test_clusters_change_places_together():
    rng = np.random.default_rng(9)
    a, b = rng.normal(size=(2, 10))
    alone = permutation.p_value(a, b)
    assert permutation.p_value(np.repeat(a, 4), np.repeat(b, 4), clusters=np.repeat(np.arange(10), 4)) == alone
    assert permutation.p_value(np.repeat(a, 4), np.repeat(b, 4)) < alone


def test_perplexities_are_compared_over_documents():
    rng = np.random.default_rng(10)
    words = rng.integers(50, 500, 120).astype(float)
    logprob = -words * rng.gamma(20, 0.15, 120)
    worse = logprob - words * rng.normal(0.02, 0.02, 120)
    found = compare_paired(np.column_stack([logprob, words]), np.column_stack([worse, words]), perplexity)
    assert found.difference == pytest.approx(np.exp(-worse.sum() / words.sum()) - np.exp(-logprob.sum() / words.sum()))
    assert found.interval.low > 0
    assert found.p < 0.001
    assert found.only_a is None


# --- the whole -----------------------------------------------------------------------------------


def test_a_comparison_of_right_and_wrong():
    found = compare_paired(*flips(200, 10, 25))
    assert (found.n, found.only_a, found.only_b, found.n_differing) == (200, 10, 25, 35)
    assert found.difference == pytest.approx(0.075)
    assert found.interval.low < 0.075 < found.interval.high
    assert found.p == mcnemar.mid_p(10, 25)
    assert not found.is_noise


def test_models_that_do_the_same_are_noise_that_no_items_help():
    found = compare_paired([0, 1, 1], [0, 1, 1])
    assert (found.p, found.n_needed, found.is_noise) == (1, None, True)
    assert "0 items only" in found.cautions[0]


def test_swapping_the_models_turns_the_sign_alone():
    a, b = flips(80, 4, 12)
    one, other = compare_paired(a, b), compare_paired(b, a)
    assert one.p == other.p
    assert one.interval == pytest.approx((-other.interval.high, -other.interval.low))


@pytest.mark.parametrize("discordance", [0.12, 0.3])
def test_so_many_items_find_the_difference_four_times_of_five(discordance):
    n, rng = items_for_difference(0.06, discordance=discordance), np.random.default_rng(1)
    only_b, only_a = (discordance + 0.06) / 2, (discordance - 0.06) / 2
    tables = rng.multinomial(n, [only_a, only_b, 1 - discordance], 1500)
    assert 0.77 <= np.mean([mcnemar.p_value(a, b, n) < 0.05 for a, b, _ in tables]) <= 0.83


def test_the_items_needed_hold_for_other_scores_too():
    n, rng = items_for_difference(0.1, sd=0.5), np.random.default_rng(2)
    found = [permutation.p_value(np.zeros(n), rng.normal(0.1, 0.5, n), exchanges=300) < 0.05 for _ in range(200)]
    assert n == 197
    assert 0.72 <= np.mean(found) <= 0.88


def test_holm_is_the_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare_paired([1, 0], [1]), "for the same items"),
        (lambda: compare_paired([], []), "at least 1"),
        (lambda: compare_paired([np.nan], [1]), "finite"),
        (lambda: mcnemar.p_value(3, 4, 5), "3 and 4 of 5"),
        (lambda: items_for_difference(0.2, discordance=0.1), "disagree"),
        (lambda: items_for_difference(0.2), "either"),
        (lambda: holm([2]), "between 0 and 1"),
    ],
)
def test_bad_input_is_one_sentence(call, words):
    with pytest.raises(ValueError, match=words):
        call()
