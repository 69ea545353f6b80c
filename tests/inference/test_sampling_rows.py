"""All rows at once: each as alone, as the reference, with the log-probabilities of what it was drawn from."""

import numpy as np
import pytest

from minillama.compute.jit import kernel_threads
from minillama.compute.threads import most_threads, set_threads
from minillama.inference.sampling import (
    GREEDY,
    Sampling,
    filtered_logits,
    keep_top_p,
    log_softmax,
    sample,
    sample_fast,
    sample_rows,
)

SETTINGS = [
    GREEDY,
    Sampling(temperature=0, repetition_penalty=1.5),
    Sampling(temperature=1, top_p=1),
    Sampling(temperature=0.7, top_p=1),
    Sampling(temperature=0.8, top_p=0.9),
    Sampling(temperature=2.5, top_p=0.97, boundary="hf"),
    Sampling(temperature=1.5, top_k=3, top_p=1),
    Sampling(temperature=1.5, top_k=200, top_p=1),
    Sampling(temperature=1.5, top_k=400, top_p=0.8),
    Sampling(temperature=1.5, top_p=1, min_p=0.05),
    Sampling(temperature=2, top_p=0.9, min_p=0.02, repetition_penalty=1.3),
    Sampling(temperature=1, top_k=20, top_p=0.7, min_p=0.1, repetition_penalty=0.8),
]
EVERY_SETTING = pytest.mark.parametrize("settings", SETTINGS, ids=str)


def rows_of_all_kinds(n_vocab, rng):
    """Peaked, flat, rounded so that many are equal, rising and falling, a few far above the rest."""
    noise = rng.normal(size=(7, n_vocab))
    noise[1] *= 4
    noise[2] = np.round(2 * noise[2])
    noise[3] = 0
    noise[4] = np.sort(noise[4])
    noise[5] = -np.sort(noise[5])
    noise[6] += 12 * (rng.random(n_vocab) < 0.01)
    return noise.astype(np.float32)


def generators(n, seed=0):
    return [np.random.default_rng([seed, b]) for b in range(n)]


@EVERY_SETTING
@pytest.mark.parametrize("n_vocab", [1, 2, 63, 64, 65, 512, 3001])
def test_a_row_draws_the_token_of_the_reference(settings, n_vocab, rng):
    """And says how probable it was, under the model and under what it was drawn from."""
    logits, histories = rows_of_all_kinds(n_vocab, rng), rng.integers(0, n_vocab, (7, 9))
    for seed in range(6):
        drawn = sample_rows(logits, settings, generators(7, seed), histories)
        for b, (row, history, generator) in enumerate(zip(logits, histories, generators(7, seed))):
            token = sample(row, settings, generator, history)
            assert drawn.ids[b] == token
            expected = 0 if settings.temperature == 0 else log_softmax(filtered_logits(row, settings, history))[token]
            assert drawn.sampled_logprobs[b] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            assert drawn.logprobs[b] == pytest.approx(log_softmax(row)[token], rel=1e-12, abs=1e-12)


@EVERY_SETTING
def test_a_row_is_the_row_alone_on_any_number_of_threads(settings, rng):
    logits = np.concatenate([rows_of_all_kinds(2111, rng) for _ in range(5)])  # large enough for several threads
    n_rows, before = len(logits), kernel_threads()
    histories, rngs = rng.integers(0, 2111, (n_rows, 5)), generators(n_rows)
    alone = [sample_rows(logits[[b]], settings, [rngs[b]], histories[[b]]) for b in range(n_rows)]
    assert [int(row.ids[0]) for row in alone] == [
        sample_fast(row, settings, rng, history) for row, rng, history in zip(logits, generators(n_rows), histories)
    ]
    for n_threads in range(1, most_threads() + 1):
        set_threads(n_threads)
        together = sample_rows(logits, settings, generators(n_rows), histories)
        set_threads(before)
        for column, of_each in zip(together, zip(*alone)):
            np.testing.assert_array_equal(column, np.concatenate(of_each))


def test_each_row_draws_once_from_its_own_generator(rng):
    logits, rngs, others = rng.normal(size=(3, 50)).astype(np.float32), generators(3), generators(3)
    sample_rows(logits, Sampling(), rngs)
    sample_rows(logits, GREEDY, rngs)
    assert [g.random() for g in rngs] == [(g.random(), g.random())[1] for g in others]


@pytest.mark.parametrize("boundary", ["meta", "hf"])
@pytest.mark.parametrize("n_vocab", [8, 128, 512, 4096])
@pytest.mark.parametrize("p", [0.25, 0.5, 0.75])
def test_a_nucleus_of_equal_tokens_ends_where_the_mass_is_p_exactly(boundary, n_vocab, p):
    """Powers of two add up without rounding: one token more for Meta than for Hugging Face, the lowest ids."""
    logits, settings = np.zeros((1, n_vocab), np.float32), Sampling(temperature=1, top_p=p, boundary=boundary)
    n_kept = int(p * n_vocab) + (boundary == "meta")
    assert np.isfinite(keep_top_p(logits[0], p, boundary)).sum() == n_kept
    drawn = [sample_rows(logits, settings, [np.random.default_rng(seed)]) for seed in range(50)]
    np.testing.assert_allclose([row.sampled_logprobs[0] for row in drawn], -np.log(n_kept), rtol=1e-12)
    assert max(row.ids[0] for row in drawn) < n_kept


@pytest.mark.parametrize("k", [1, 5, 40, 64, 65, 1000])
def test_top_k_keeps_all_that_equal_the_last(k, rng):
    """Few large values, each many times over several blocks."""
    logits = rng.integers(0, 30, (1, 3000)).astype(np.float32)
    n_kept = int((logits[0] >= np.sort(logits[0])[-k]).sum())
    settings = Sampling(temperature=1e6, top_k=k, top_p=1)
    drawn = [sample_rows(logits, settings, [rng]) for _ in range(20)]
    np.testing.assert_allclose([row.sampled_logprobs[0] for row in drawn], -np.log(n_kept), atol=1e-4)


@pytest.mark.parametrize("settings", [GREEDY, Sampling(), Sampling(temperature=1, top_p=1), SETTINGS[-1]], ids=str)
def test_rows_of_a_padded_vocabulary_are_not_chosen(settings, rng):
    """But a stop id beyond the tokenizer is, and what is drawn from are these alone."""
    logits = rng.normal(size=(40, 300)).astype(np.float32)
    logits[:, 200:] += 4
    histories = rng.integers(0, 300, (40, 3))
    for stop_ids, end in ((frozenset([3, 1000]), None), (frozenset([3, 250]), 250)):
        drawn = sample_rows(logits, settings, generators(40), histories, n_ids=200, stop_ids=stop_ids)
        assert set(drawn.ids.tolist()) - set(range(200)) == ({end} if end else set())
        allowed = np.where((np.arange(300) < 200) | (np.arange(300) == end), logits, -np.inf)
        for b in range(40):
            assert drawn.logprobs[b] == pytest.approx(log_softmax(logits[b])[drawn.ids[b]], abs=1e-12)
            if settings.temperature > 0:
                expected = log_softmax(filtered_logits(allowed[b], settings, histories[b]))[drawn.ids[b]]
                assert drawn.sampled_logprobs[b] == pytest.approx(expected, abs=1e-12)


@EVERY_SETTING
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 63, 64, 99])
def test_a_damaged_row_is_refused(settings, value, place, rng):
    logits = rng.normal(size=(3, 100)).astype(np.float32)
    logits[1, place] = value
    with pytest.raises(ValueError, match="the logits are not finite"):
        sample_rows(logits, settings, generators(3), np.zeros((3, 1), np.int64))
    logits[1] = -np.inf
    with pytest.raises(ValueError, match="the logits are not finite"):
        sample_rows(logits, settings, generators(3), np.zeros((3, 1), np.int64))


@pytest.mark.parametrize("shape", [(5,), (2, 0), (0, 5), (1, 2, 3)])
def test_rows_have_two_axes(shape):
    with pytest.raises(ValueError, match="logits must be"):
        sample_rows(np.zeros(shape, np.float32), GREEDY, [])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_logits_of_any_float(dtype, rng):
    logits = rng.normal(size=(90, 4)).astype(dtype).T  # not contiguous
    drawn = sample_rows(logits, Sampling(), generators(4))
    assert drawn.ids.tolist() == [sample(row, Sampling(), g) for row, g in zip(logits, generators(4))]
