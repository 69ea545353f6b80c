"""Spans, the examples made of them, and the weighted loss beside PyTorch's."""

import numpy as np
import pytest

from minillama.alignment.conversations import (
    Example,
    WeightedNextToken,
    answers_learned,
    conversation_of,
    last_answer_learned,
    rows_of,
)
from minillama.config import ModelConfig
from minillama.inference.chat import ChatML, Llama2Chat
from minillama.params import init_params

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=40, max_seq_len=32)


@pytest.fixture(scope="module")
def stories():
    import minillama

    return minillama.load("stories3M")


DIALOGUE = [
    {"role": "system", "content": "Your name is Pip."},
    {"role": "user", "content": "What is your name?"},
    {"role": "assistant", "content": "My name is Pip."},
    {"role": "user", "content": "Tell me a story."},
    {"role": "assistant", "content": "Once upon a time there was a cat. The end."},
]


def test_spans_are_what_the_format_writes(stories):
    tokenizer = stories.tokenizer
    conversation = conversation_of(DIALOGUE, Llama2Chat(), tokenizer)
    assert conversation.ids.tolist() == Llama2Chat().encode(DIALOGUE, tokenizer, generation_prompt=False)
    first, second = conversation.answers
    text = lambda span: tokenizer.decode(conversation.ids[span.start : span.stop].tolist()).strip()
    assert text(first) == "My name is Pip."
    assert text(second) == "Once upon a time there was a cat. The end."
    assert conversation.ids[second.stop - 1] == conversation.ids[first.stop - 1] == tokenizer.eos_id
    assert [span.start for span in conversation.spans[1:]] == [span.stop for span in conversation.spans[:-1]]
    assert conversation.spans[-1].stop == len(conversation.ids)
    example, last = answers_learned(conversation), last_answer_learned(conversation)
    assert example.n_learned == sum(span.stop - span.start for span in (first, second))
    assert last.n_learned == second.stop - second.start
    assert last.weights[second.start : second.stop].all()
    with pytest.raises(ValueError, match="ends with an answer"):
        conversation_of(DIALOGUE[:-1], Llama2Chat(), tokenizer)
    with pytest.raises(ValueError, match="ChatML"):
        conversation_of(DIALOGUE, ChatML(), tokenizer)  # no such tokens


def test_rows_are_padded_and_shifted():
    first = Example(np.arange(5), np.array([0, 0, 2, 1, 0], np.float32))
    rows = rows_of([first, Example(np.arange(3), np.array([0, 1, 1], np.float32))])
    np.testing.assert_array_equal(rows.tokens, [[0, 1, 2, 3], [0, 1, 0, 0]])
    np.testing.assert_array_equal(rows.targets, [[-100, 2, 3, -100], [1, 2, -100, -100]])
    np.testing.assert_array_equal(rows.weights, [[0, 2, 1, 0], [1, 1, 0, 0]])
    with pytest.raises(ValueError, match="first token"):
        rows_of([Example(np.arange(3), np.ones(3, np.float32))])


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_are_those_of_pytorch(tied):
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama, largest_error

    config = ModelConfig(**{**CONFIG.described(), "tied": tied})
    rng = np.random.default_rng(0)
    params = init_params(config, rng, np.float64)
    examples = [
        Example(rng.integers(0, 40, n), np.r_[0, rng.choice([0, 1, 8, 2.5], n - 1)].astype(np.float32))
        for n in (9, 14, 5)
    ]
    rows = rows_of(examples)
    sums, gradients = WeightedNextToken(config)(params, rows)
    peer = TorchLlama(config, params)
    logits = peer(torch.tensor(rows.tokens))
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 40), torch.tensor(rows.targets).reshape(-1), reduction="none", ignore_index=-100
    )
    loss = (losses * torch.tensor(rows.weights, dtype=torch.float64).reshape(-1)).sum()
    loss.backward()
    assert sums["loss"] == pytest.approx(loss.item(), rel=1e-12)
    assert sums["count"] == pytest.approx(rows.weights.sum())
    error = largest_error(gradients, peer.tree())
    print(f"largest relative error of a gradient: {error:.1e}")
    assert error <= 1e-9
