"""Sampling: Hugging Face's processors, Meta's top-p, boundaries, the distribution that is drawn."""

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from minillama.inference.sampling import (
    GREEDY,
    Sampling,
    filtered_logits,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    log_softmax,
    penalize_repetition,
    sample,
    sample_fast,
    softmax,
)

SAMPLERS = pytest.mark.parametrize("sampler", [sample, sample_fast], ids=["reference", "fast"])
# Probabilities that float64 adds up exactly, so that "the mass equals p" can happen.
EXACT = np.log(np.array([0.5, 0.25, 0.125, 0.125]))


def kept(logits):
    return np.flatnonzero(np.isfinite(logits)).tolist()


def through(processor, logits, ids=(0,)):
    return processor(torch.tensor([list(ids)]), torch.tensor(logits)[None])[0].numpy()


@pytest.mark.parametrize("k", [1, 3, 50, 200])
def test_top_k_equals_hugging_face(k, rng):
    logits = rng.normal(size=100)
    np.testing.assert_array_equal(keep_top_k(logits, k), through(TopKLogitsWarper(k), logits))


def test_top_k_keeps_ties():
    assert kept(keep_top_k(np.array([2.0, 1, 3, 2, 0]), 2)) == [0, 2, 3]
    assert kept(keep_top_k(np.array([1.0, 2]), 0)) == [0, 1]


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9, 0.999])
def test_top_p_equals_hugging_face_and_meta(p, rng):
    """Away from the boundary all three agree."""
    logits = 2 * rng.normal(size=300)
    expected = kept(through(TopPLogitsWarper(p), logits))
    assert kept(keep_top_p(logits, p, "hf")) == kept(keep_top_p(logits, p, "meta")) == expected
    probabilities, order = torch.sort(torch.softmax(torch.tensor(logits), -1), descending=True)
    meta = order[~(torch.cumsum(probabilities, -1) - probabilities > p)]  # generation.py, sample_top_p
    assert kept(keep_top_p(logits, p, "meta")) == sorted(meta.tolist())


def test_top_p_at_the_boundary():
    """The mass before token 1 is exactly 0.5: Meta keeps it, Hugging Face does not."""
    assert kept(keep_top_p(EXACT, 0.5, "meta")) == [0, 1]
    assert kept(keep_top_p(EXACT, 0.5, "hf")) == kept(through(TopPLogitsWarper(0.5), EXACT)) == [0]


def test_top_p_keeps_at_least_the_best_and_the_crossing_token():
    assert kept(keep_top_p(EXACT, 0.0, "hf")) == [0]
    assert kept(keep_top_p(EXACT, 0.6)) == [0, 1]
    assert kept(keep_top_p(EXACT, 1.0)) == [0, 1, 2, 3]


def test_top_p_takes_the_lower_id_among_equals():
    assert kept(keep_top_p(EXACT, 0.8, "hf")) == [0, 1, 2]


@pytest.mark.parametrize("min_p", [0.0, 0.05, 0.3, 1.0])
def test_min_p_equals_hugging_face(min_p, rng):
    logits = rng.normal(size=100)
    assert kept(keep_min_p(logits, min_p)) == kept(through(MinPLogitsWarper(min_p), logits))


def test_repetition_penalty_equals_hugging_face(rng):
    """Once for each id, however often it occurs; negative logits are multiplied."""
    logits, ids = rng.normal(size=20), [3, 3, 7, 11]
    expected = through(RepetitionPenaltyLogitsProcessor(1.3), logits, ids)
    np.testing.assert_allclose(penalize_repetition(logits, ids, 1.3), expected, rtol=1e-12)
    np.testing.assert_array_equal(penalize_repetition(logits, [], 1.3), logits)


def test_all_filters_together_equal_hugging_face(rng):
    for seed in range(50):
        logits = 3 * np.random.default_rng(seed).normal(size=60)
        expected = logits
        for processor in (
            RepetitionPenaltyLogitsProcessor(1.2),
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(30),
            TopPLogitsWarper(0.8),
            MinPLogitsWarper(0.05),
        ):
            expected = through(processor, expected, [1, 5])
        settings = Sampling(temperature=0.7, top_k=30, top_p=0.8, min_p=0.05, repetition_penalty=1.2, boundary="hf")
        ours = filtered_logits(logits, settings, [1, 5])
        assert kept(ours) == kept(expected)
        np.testing.assert_allclose(softmax(ours), torch.softmax(torch.tensor(expected), -1).numpy(), atol=1e-12)


@SAMPLERS
def test_greedy_draws_nothing_and_takes_the_first_of_equals(sampler):
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    assert sampler(np.array([1.0, 3, 3, 2], np.float32), GREEDY, rng) == 1
    assert rng.bit_generator.state == before
    penalized = Sampling(temperature=0, repetition_penalty=2.0)
    assert sampler(np.array([1.0, 3, 2.9, 2], np.float32), penalized, rng, [1]) == 2


@SAMPLERS
@pytest.mark.parametrize(
    "settings", [Sampling(temperature=1, top_p=1), Sampling(), Sampling(temperature=1.5, top_k=5, min_p=0.1)]
)
def test_frequencies_are_the_distribution(sampler, settings, rng):
    """χ² over 20,000 draws: a right sampler fails this with p < 1e-6."""
    logits = rng.normal(size=12).astype(np.float32)
    probabilities = softmax(filtered_logits(logits, settings))
    draws = np.array([sampler(logits, settings, rng) for _ in range(20_000)])
    expected = 20_000 * probabilities
    possible = expected > 0
    counts = np.bincount(draws, minlength=12)
    assert counts[~possible].sum() == 0
    chi2 = ((counts - expected)[possible] ** 2 / expected[possible]).sum()
    assert chi2 < 60  # 11 degrees of freedom at most


@settings(max_examples=300, deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=40),
    temperature=st.sampled_from([0.1, 0.6, 1.0, 2.0]),
    top_k=st.integers(0, 45),
    top_p=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.1, 1.0]),
    boundary=st.sampled_from(["meta", "hf"]),
    seed=st.integers(0, 100),
)
@example(
    logits=[0.0, 6.2e-19], temperature=0.1, top_k=0, top_p=0.0, min_p=0.0, boundary="meta", seed=0
)  # exponentials alike, logits not
@example(
    logits=[1.2e-38, 0.0], temperature=0.1, top_k=0, top_p=1.0, min_p=1.0, boundary="meta", seed=0
)  # as probable as the most probable one, to the last bit
def test_fast_draws_the_token_of_the_reference(logits, temperature, top_k, top_p, min_p, boundary, seed):
    options = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, boundary=boundary)
    array = np.array(logits, np.float32)
    tokens = [f(array, options, np.random.default_rng(seed)) for f in (sample, sample_fast)]
    assert tokens[0] == tokens[1]
    assert np.isfinite(filtered_logits(array, options)[tokens[0]])


SPREAD = np.array([0.0, -3.5, 2.25, 2.0, -1e4, 1.0], np.float32)
LARGEST = np.finfo(np.float32).max


@SAMPLERS
@pytest.mark.parametrize("temperature", [5e-324, 1e-310, 1e-300, 1e-200, 1e-45, 1e-38, 1e-12])
@pytest.mark.parametrize(
    "logits", [SPREAD, SPREAD * 1e30, SPREAD - LARGEST / 2, SPREAD.astype(np.float64)], ids=range(4)
)
@pytest.mark.parametrize(
    "filters", [{}, {"top_p": 1}, {"top_k": 2, "top_p": 1}, {"min_p": 0.1}, {"top_p": 0}, {"boundary": "hf"}], ids=str
)
def test_a_tiny_temperature_takes_the_most_probable_token(sampler, temperature, logits, filters, rng):
    """The limit for T -> 0, where logits / T would be infinite for several tokens; equal ones share."""
    best = set(np.flatnonzero(logits == logits.max()).tolist())
    settings = Sampling(temperature=temperature, **filters)
    with np.errstate(all="raise", under="ignore"):
        drawn = {sampler(logits, settings, rng) for _ in range(20)}
    assert drawn <= best
    assert best != {0}  # which is what overflow would give


@SAMPLERS
@pytest.mark.parametrize("temperature", [0, 1e-310, 1.0])
@pytest.mark.parametrize("penalty", [5e-324, 1e-310, 1e-250, 1e-100])
@pytest.mark.parametrize("scale", [1, 1e30, 1e-30])
def test_a_tiny_penalty_takes_the_most_probable_of_what_was_there(sampler, temperature, penalty, scale, rng):
    """s / r for r -> 0: of the tokens that occurred, the one with the largest positive logit."""
    logits = np.array([3.0, 1.0, 2.5, 2.75, -1.0], np.float32) * np.float32(scale)
    settings = Sampling(temperature=temperature, top_p=1, repetition_penalty=penalty)
    with np.errstate(all="raise", under="ignore"):
        assert sampler(logits, settings, rng, [4, 1, 3, 2]) == 3


@SAMPLERS
@pytest.mark.parametrize("temperature", [0, 1e-310, 1e-3])
@pytest.mark.parametrize("penalty", [1e100, 1e250, 1e308])
def test_a_huge_penalty_leaves_what_was_not_there(sampler, temperature, penalty, rng):
    logits, settings = (
        np.array([3.0, 1, -2, -1], np.float32),
        Sampling(temperature=temperature, repetition_penalty=penalty),
    )
    with np.errstate(all="raise", under="ignore"):
        assert sampler(logits, settings, rng, [0, 2, 3]) == 1
        assert sampler(-logits, settings, rng, [0, 1]) == 2  # -3 and -1 times the penalty
        assert 0 <= sampler(-np.abs(logits), settings, rng, [0, 1, 2, 3]) < 4


def test_an_infinite_temperature_would_be_uniform_and_the_largest_is(rng):
    logits = np.array([-1e30, 0, 1e30], np.float32)
    settings = Sampling(temperature=1e308, top_p=1)
    for sampler in (sample, sample_fast):
        assert np.bincount([sampler(logits, settings, rng) for _ in range(300)], minlength=3).min() > 50


class LargestDraw:
    """A generator whose number is the last below 1."""

    def random(self):
        return np.nextafter(1.0, 0.0)


@SAMPLERS
@given(logits=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=60), top_k=st.integers(0, 4))
def test_the_largest_draw_is_a_token_that_was_kept(sampler, logits, top_k):
    """Rounding may make it the whole mass, which is beyond the last token."""
    array, options = np.array(logits, np.float32), Sampling(temperature=0.7, top_k=top_k)
    token = sampler(array, options, LargestDraw())
    assert np.isfinite(filtered_logits(array, options)[token])


@SAMPLERS
def test_a_dropped_token_at_the_end_is_not_drawn(sampler):
    probabilities = np.full(10, 0.1)
    logits = np.append(np.log(probabilities), [-1e9, -1e9])
    assert sampler(logits, Sampling(temperature=1, top_p=1), LargestDraw()) < 10


@SAMPLERS
def test_ids_beyond_the_logits_are_not_penalised(sampler, rng):
    """A prompt may hold rows of a padded vocabulary, which are never chosen."""
    settings = Sampling(temperature=0, repetition_penalty=2.0)
    assert sampler(np.array([1.0, 3, 2.9]), settings, rng, [1, 3, 700]) == 2


@SAMPLERS
def test_more_than_a_kernel_can_count_is_all(sampler):
    logits, settings = np.array([1.0, 2, 3]), Sampling(temperature=5, top_p=1, top_k=10**30)
    assert {sampler(logits, settings, np.random.default_rng(seed)) for seed in range(50)} == {0, 1, 2}


@SAMPLERS
def test_seeded(sampler, rng):
    logits = rng.normal(size=1000).astype(np.float32)
    first, second = ([sampler(logits, Sampling(), g) for _ in range(50)] for g in map(np.random.default_rng, (3, 3)))
    assert first == second
    assert len(set(first)) > 1


def test_log_softmax_equals_pytorch(rng):
    logits = 50 * rng.normal(size=(3, 40))
    expected = torch.log_softmax(torch.tensor(logits), -1).numpy()
    np.testing.assert_allclose(log_softmax(logits), expected, atol=1e-12)


@SAMPLERS
@pytest.mark.parametrize("logits", [[np.nan, 1], [np.inf, 1], [-np.inf, -np.inf]])
def test_logits_that_are_not_finite_are_refused(sampler, logits, rng):
    with pytest.raises(ValueError, match="not finite"):
        sampler(np.array(logits, np.float32), Sampling(), rng)


@pytest.mark.parametrize(
    "field",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 1.1},
        {"min_p": -0.1},
        {"repetition_penalty": 0},
        {"boundary": "both"},
    ],
    ids=str,
)
def test_settings_out_of_range_are_named(field):
    with pytest.raises(ValueError, match=f"{next(iter(field))} must be"):
        Sampling(**field)
