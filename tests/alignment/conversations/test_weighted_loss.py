"""Spans, the examples made of them, and the weighted loss beside PyTorch's."""

from itertools import pairwise

import numpy as np
import pytest

from minillama.alignment.conversations import (
    Example,
    WeightedNextToken,
    answered,
    answers_learned,
    conversation_of,
    last_answer_learned,
    packed,
    rows_of,
    side_by_side,
)
from minillama.config import ModelConfig
from minillama.inference.chat import ChatML, JinjaChat, Llama2Chat, Zephyr
from minillama.layers.cross_entropy import losses_in_place
from minillama.params import init_params
from minillama.training.gradients import sums_and_gradients
from minillama.trees import named_leaves

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


def owned(conversation, tokenizer):
    """Owner and text of every span."""
    return [
        (s.owner, tokenizer.decode(conversation.ids[s.start : s.stop].tolist()).strip()) for s in conversation.spans
    ]


def test_whose_each_token_is(stories):
    found = owned(conversation_of(DIALOGUE, Llama2Chat(), stories.tokenizer), stories.tokenizer)
    assert found == [
        ("format", "[INST] <<SYS>>"),
        ("system", "Your name is Pip."),
        ("format", "<</SYS>>"),
        ("user", "What is your name?"),
        ("format", "[/INST]"),
        ("assistant", "My name is Pip."),
        ("format", "[INST]"),
        ("user", "Tell me a story."),
        ("format", "[/INST]"),
        ("assistant", "Once upon a time there was a cat. The end."),
    ]


@pytest.mark.parametrize("content", ["I", "[", "Q", "0", "Z Q", "é", "", " x ", "INST", "/", "a\n\nb"])
@pytest.mark.parametrize("chat", [Llama2Chat(), Zephyr()])
def test_a_message_may_look_like_the_format(stories, content, chat):
    dialogue = [{"role": "user", "content": content}, {"role": "assistant", "content": "Yes."}]
    conversation = conversation_of(dialogue, chat, stories.tokenizer)
    users = [text for owner, text in owned(conversation, stories.tokenizer) if owner == "user"]
    assert users == ([content.strip()] if content.strip() else [])
    assert conversation.spans[0].start == 0
    assert conversation.spans[-1].stop == len(conversation.ids)
    assert all(a.stop == b.start for a, b in pairwise(conversation.spans))


def test_spans_of_a_models_own_template_are_those_of_the_written_format(stories):
    template = JinjaChat(Llama2Chat.source)
    assert conversation_of(DIALOGUE, template, stories.tokenizer).spans == (
        conversation_of(DIALOGUE, Llama2Chat(), stories.tokenizer).spans
    )


def test_an_answer_ends_with_the_token_that_ends_it(stories):
    """Zephyr sets a line break behind it: of the next prompt, not of an answer, and nothing a model is sampled for."""
    tokenizer, chat = stories.tokenizer, Zephyr()
    conversation = conversation_of(DIALOGUE, chat, tokenizer)
    whole = chat.encode(DIALOGUE, tokenizer, generation_prompt=False)
    assert conversation.ids.tolist() == whole[: len(conversation.ids)]
    assert tokenizer.decode(whole[len(conversation.ids) :]).strip() == ""
    assert len(whole) > len(conversation.ids)
    assert [conversation.ids[span.stop - 1] for span in conversation.answers] == [tokenizer.eos_id] * 2
    first, second = conversation.answers
    ids = conversation.ids.tolist()
    sampled = answered(ids[: first.start], ids[first.start : first.stop])
    sampled = sampled.extended(ids[first.stop : second.start], ids[second.start : second.stop])
    assert sampled.ids.tolist() == ids
    assert ids[: second.start] == chat.encode(DIALOGUE[:-1], tokenizer)


def test_sampled_answers_keep_their_ids():
    conversation = answered([1, 2], [3, 4]).extended([5], [6, 7, 8])
    assert conversation.ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    assert conversation.spans == ((0, 2, "prompt"), (2, 4, "assistant"), (4, 5, "prompt"), (5, 8, "assistant"))
    assert answers_learned(conversation).weights.tolist() == [0, 0, 1, 1, 0, 1, 1, 1]
    assert last_answer_learned(conversation).weights.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]


# --- the weighted loss --------------------------------------------------------------------


def random_examples(rng, lengths=(9, 14, 5)):
    return [
        Example(rng.integers(0, 40, n), np.r_[0, rng.choice([0, 1, 8, 2.5], n - 1)].astype(np.float32)) for n in lengths
    ]


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_are_those_of_pytorch(tied):
    torch = pytest.importorskip("torch")
    from torch_llama import TorchLlama, largest_error

    config = ModelConfig(**{**CONFIG.described(), "tied": tied})
    rng = np.random.default_rng(0)
    params = init_params(config, rng, np.float64)
    rows = rows_of(random_examples(rng))
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


@pytest.mark.parametrize("tied", [True, False])
def test_the_selected_rows_give_what_all_rows_give(tied):
    """Beside the head on every row, with prompts and padding ignored by a factor of 0."""
    config = ModelConfig(**{**CONFIG.described(), "tied": tied})
    rng = np.random.default_rng(1)
    params, rows = init_params(config, rng, np.float64), rows_of(random_examples(rng))
    targets, weights = np.maximum(rows.targets, 0).reshape(-1), rows.weights.reshape(-1)

    def of_rows(logits, part):
        losses = losses_in_place(logits, targets[part])
        logits *= weights[part, None]
        return {"loss": float(losses @ weights[part])}, logits

    expected, all_gradients = sums_and_gradients(params, config, rows.tokens, of_rows)
    sums, gradients = WeightedNextToken(config)(params, rows)
    assert sums["loss"] == pytest.approx(expected["loss"], rel=1e-12)
    assert sums["learned"] == np.count_nonzero(weights)
    assert sums["tokens"] == rows.tokens.size
    for (name, a), (_, b) in zip(named_leaves(gradients), named_leaves(all_gradients), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12 * np.abs(b).max(), err_msg=name)


def test_a_part_without_anything_learned_gives_nothing():
    params = init_params(CONFIG, np.random.default_rng(0), np.float64)
    rows = rows_of([Example(np.arange(6), np.zeros(6, np.float32))])
    sums, gradients = WeightedNextToken(CONFIG)(params, rows)
    assert (sums["loss"], sums["count"], sums["learned"]) == (0, 0, 0)
    assert all(not leaf.any() for _, leaf in named_leaves(gradients))


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_parts_add_up_to_the_batch_and_are_alike(n):
    rng = np.random.default_rng(2)
    params = init_params(CONFIG, rng, np.float64)
    rows = rows_of(random_examples(rng, rng.integers(4, 31, 15)))
    parts, objective = rows.split(n), WeightedNextToken(CONFIG)
    sizes = [part.tokens.size for part in parts]
    assert len(parts) == n
    assert max(sizes) <= 1.35 * min(sizes)
    expected, all_gradients = objective(params, rows)
    found = [objective(params, part) for part in parts]
    for name in ("loss", "count", "learned", "nats"):
        assert sum(sums[name] for sums, _ in found) == pytest.approx(expected[name], rel=1e-12)
    for leaves in zip(named_leaves(all_gradients), *(named_leaves(g) for _, g in found), strict=True):
        (name, b), *others = leaves
        np.testing.assert_allclose(sum(a for _, a in others), b, rtol=1e-9, atol=1e-12 * np.abs(b).max(), err_msg=name)


# --- packing ------------------------------------------------------------------------------


def test_packed_rows_are_the_stream_of_all_examples():
    rng = np.random.default_rng(3)
    examples = random_examples(rng, (9, 14, 5, 3, 22, 7))
    ids, weights = (np.concatenate(arrays) for arrays in zip(*examples))
    rows = rows_of(packed(examples, 8))
    n = len(ids) - 1
    assert rows.tokens.shape == (-(-n // 8), 8)
    np.testing.assert_array_equal(rows.tokens.reshape(-1)[:n], ids[:-1])
    np.testing.assert_array_equal(rows.weights.reshape(-1)[:n], weights[1:])
    np.testing.assert_array_equal(rows.targets.reshape(-1)[:n], np.where(weights[1:] > 0, ids[1:], -100))
    assert (rows.targets.reshape(-1)[n:] == -100).all()
    assert rows.weights.sum() == weights.sum()
    whole = packed(examples, 1000)
    assert len(whole) == 1
    np.testing.assert_array_equal(whole[0].ids, ids)
    with pytest.raises(ValueError, match="packing"):
        packed([], 8)


def test_a_packed_row_is_learned_as_one_text():
    """Plainly causal: what comes before in the row changes the loss, what comes after does not."""
    rng = np.random.default_rng(4)
    params, (first, second) = init_params(CONFIG, rng, np.float64), random_examples(rng, (9, 14))
    objective = WeightedNextToken(CONFIG)
    loss = lambda examples: objective(params, rows_of(examples))[0]["loss"]
    together = loss(packed([first, second], 31))
    alone = loss([first]) + loss([second])
    later = Example(second.ids, np.zeros_like(second.weights))
    assert loss(packed([first, later], 31)) == pytest.approx(loss([first]), rel=1e-12)
    assert abs(together - alone) > 1e-3


def test_side_by_side_has_every_example_once_in_batches_of_like_length():
    rng = np.random.default_rng(5)
    examples = random_examples(rng, rng.integers(4, 200, 300))
    batches = side_by_side(examples, 1000, np.random.default_rng(0))
    assert sorted(id(e) for batch in batches for e in batch) == sorted(map(id, examples))
    sizes = [len(batch) * max(len(e.ids) for e in batch) for batch in batches]
    real = sum(len(e.ids) for e in examples)
    assert max(sizes) <= 1000
    assert real >= 0.9 * sum(sizes)
    lengths = [max(len(e.ids) for e in batch) for batch in batches]
    assert lengths != sorted(lengths)
    again = side_by_side(examples, 1000, np.random.default_rng(0))
    assert [[id(e) for e in batch] for batch in again] == [[id(e) for e in batch] for batch in batches]
    other = side_by_side(examples, 1000, np.random.default_rng(1))
    assert [[id(e) for e in batch] for batch in other] != [[id(e) for e in batch] for batch in batches]
    assert [len(batch) for batch in side_by_side(examples[:3], 1, rng)] == [1, 1, 1]
