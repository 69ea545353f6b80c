"""Log-probabilities of given tokens: the reference's, PyTorch's, and those of the draw itself."""

import numpy as np
import pytest
import torch

from minillama.compute.jit import kernel_threads
from minillama.compute.threads import most_threads, set_threads
from minillama.inference.logprobs import logprobs_of
from minillama.inference.sampling import Sampling, log_softmax, sample_rows


@pytest.mark.parametrize("n_vocab", [1, 5, 63, 64, 65, 200, 1000])
@pytest.mark.parametrize("temperature", [1.0, 0.3, 4])
def test_equal_to_pytorch(n_vocab, temperature, rng):
    logits = (5 * rng.normal(size=(7, n_vocab))).astype(np.float32)
    ids = rng.integers(0, n_vocab, 7)
    expected = torch.log_softmax(torch.tensor(logits).double() / temperature, -1)[np.arange(7), ids]
    found = logprobs_of(logits, ids, temperature)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_any_shape_and_any_float(dtype, rng):
    logits = rng.normal(size=(3, 80, 4)).astype(dtype).swapaxes(1, 2)  # not contiguous
    ids = rng.integers(0, 80, (3, 4))
    expected = np.take_along_axis(log_softmax(logits), ids[..., None], -1)[..., 0]
    np.testing.assert_allclose(logprobs_of(logits, ids), expected, rtol=1e-13)
    assert logprobs_of(logits[0, 0], 7) == pytest.approx(log_softmax(logits[0, 0])[7], rel=1e-13)
    assert logprobs_of(logits[:0], ids[:0]).shape == (0, 4)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_same_bits_as_when_it_was_drawn(temperature, rng):
    """PPO's ratio is exactly 1 before the first step."""
    logits = (3 * rng.normal(size=(5, 777))).astype(np.float32)
    drawn = sample_rows(logits, Sampling(temperature=temperature, top_p=1), [rng] * 5)
    np.testing.assert_array_equal(logprobs_of(logits, drawn.ids, temperature), drawn.sampled_logprobs)
    np.testing.assert_array_equal(logprobs_of(logits, drawn.ids), drawn.logprobs)


def test_threads_and_other_rows_do_not_change_a_bit(rng):
    logits = (3 * rng.normal(size=(100, 1003))).astype(np.float32)
    ids, before = rng.integers(0, 1003, 100), kernel_threads()
    found = []
    for n_threads in range(1, most_threads() + 1):
        set_threads(n_threads)
        found.append(logprobs_of(logits, ids, 0.9))
    set_threads(before)
    alone = np.concatenate([logprobs_of(logits[t : t + 1], ids[t : t + 1], 0.9) for t in range(100)])
    for other in found:
        np.testing.assert_array_equal(other, alone)


def test_extremes():
    """A forbidden token is impossible, damaged logits are seen, and the coldest distribution has one token."""
    logits = np.array([[-np.inf, 3e38, -3e38], [np.nan, 0, 0], [0, np.inf, 0], [-np.inf] * 3, [1, 2, 2]], np.float32)
    first = logprobs_of(logits, [0, 1, 1, 1, 1])
    np.testing.assert_array_equal(first[:4], [-np.inf, np.nan, np.nan, np.nan])
    assert logprobs_of(logits[:1], [1]) == 0
    cold = logprobs_of(logits[[4, 4, 0]], [0, 1, 1], 1e-320)
    np.testing.assert_array_equal(cold, [cold[0], -np.log(2), 0])
    assert cold[0] < -1e290


def test_errors_say_what_is_expected():
    logits = np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match=r"need ids \(2,\), got \(3,\)"):
        logprobs_of(logits, [1, 2, 3])
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match=r"ids must be in \[0, 5\)"):
            logprobs_of(logits, [1, wrong])
    for temperature in (0, -1, np.nan, np.inf):
        with pytest.raises(ValueError, match="temperature must be above 0"):
            logprobs_of(logits, [1, 2], temperature)
