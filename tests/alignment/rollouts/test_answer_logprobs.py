"""Log-probabilities of answers: those of PyTorch, of the sampler to rounding, and of training to the last bit."""

import numpy as np
import pytest

from minillama.alignment.conversations import Conversation, Span, answered
from minillama.alignment.rollouts import answer_logprobs, answer_logprobs_and_entropies
from minillama.config import ModelConfig
from minillama.inference.batch import Batch
from minillama.inference.runner import runner_for
from minillama.inference.sampling import Sampling, log_softmax
from minillama.model import forward
from minillama.params import init_params

CONFIG = ModelConfig(dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=40, max_seq_len=64)


def conversations_of(rng, lengths):
    return [answered(rng.integers(0, 40, a).tolist(), rng.integers(0, 40, b).tolist()) for a, b in lengths]


@pytest.mark.parametrize("temperature", [0.6, 1.0, 1.3])
def test_those_of_pytorch(temperature):
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama

    rng = np.random.default_rng(0)
    params = init_params(CONFIG, rng, np.float64)
    conversations = conversations_of(rng, [(5, 9), (1, 20), (30, 1), (7, 2)])
    logprobs, entropies = answer_logprobs_and_entropies(params, CONFIG, conversations, temperature)
    peer, largest = TorchLlama(CONFIG, params), 0.0
    for conversation, found, spread in zip(conversations, logprobs, entropies):
        ids = torch.tensor(conversation.ids)
        with torch.no_grad():
            rows = torch.log_softmax(peer(ids[None])[0, :-1] / temperature, -1)
        start = conversation.answers[0].start
        expected = rows.gather(1, ids[1:, None])[start - 1 :, 0].numpy()
        spreads = -(rows.exp() * rows).sum(-1)[start - 1 :].numpy()
        assert found.shape == expected.shape
        assert found.dtype == np.float64
        largest = max(largest, *(np.abs(found / expected - 1)), *(np.abs(spread / spreads - 1)))
    print(f"largest relative error {largest:.1e}")
    assert largest <= 1e-9


def test_those_of_the_sampler_to_rounding():
    params = init_params(CONFIG, np.random.default_rng(1))
    batch = Batch(runner_for(params, CONFIG), Sampling(temperature=0.8, top_p=1.0), max_tokens=15)
    rows = batch.add([[3, 4, 5], [7], list(range(20))], [1, 2, 3])
    while batch:
        batch.step()
    found = answer_logprobs(params, CONFIG, [answered(row.prompt, row.ids) for row in rows], 0.8)
    for row, logprobs in zip(rows, found):
        assert logprobs.dtype == np.float32
        np.testing.assert_allclose(logprobs, row.sampled_logprobs, atol=2e-5)


def test_threads_and_padding_change_nothing_that_counts():
    """The same bits on one thread and two; beside others the numbers of the conversation alone."""
    rng = np.random.default_rng(2)
    params = init_params(CONFIG, rng)
    conversations = conversations_of(rng, [(int(a), int(b)) for a, b in rng.integers(1, 30, (300, 2))])
    one, two = (answer_logprobs(params, CONFIG, conversations, 1.2, threads=n) for n in (1, 2))
    for a, b in zip(one, two):
        np.testing.assert_array_equal(a, b)
    for i in (0, 17, 299):
        np.testing.assert_allclose(answer_logprobs(params, CONFIG, [conversations[i]], 1.2)[0], one[i], atol=1e-5)
    assert [len(a) for a in one] == [c.answers[0].stop - c.answers[0].start for c in conversations]


def test_all_answers_of_a_conversation():
    params = init_params(CONFIG, np.random.default_rng(3), np.float64)
    ids = np.arange(12, dtype=np.int64)
    owners = ["user", "assistant", "user", "assistant"]
    spans = [Span(a, b, owner) for a, b, owner in zip((0, 4, 6, 9), (4, 6, 9, 12), owners)]
    (found,) = answer_logprobs(params, CONFIG, [Conversation(ids, tuple(spans))])
    rows = log_softmax(forward(params, CONFIG, ids[None])[0][0])
    np.testing.assert_allclose(found, [rows[t - 1, ids[t]] for t in (4, 5, 9, 10, 11)], rtol=1e-10)


def test_what_has_no_log_probability_is_refused():
    params = init_params(CONFIG, np.random.default_rng(4))
    with pytest.raises(ValueError, match="the first token has nothing before it"):
        answer_logprobs(params, CONFIG, [answered([], [1, 2])])
    with pytest.raises(ValueError, match="temperature must be above 0"):
        answer_logprobs(params, CONFIG, [answered([1], [2])], 0.0)
    with pytest.raises(ValueError, match="more than the context of 64"):
        answer_logprobs(params, CONFIG, [answered([1] * 40, [2] * 40)])
    assert answer_logprobs(params, CONFIG, []) == []
