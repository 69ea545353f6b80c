"""Conversations side by side give what each gives alone, from its whole text."""

import numpy as np
import pytest
from ghost_models import tiny_model

from minillama.alignment.ghost_attention.talks import Talks, closing_id, common_length, next_prompt
from minillama.alignment.models import ChatModel
from minillama.inference.chat import ChatML, Llama2Chat
from minillama.kv_cache import ContextFullError
from minillama.model import forward


def greedy(model, prompt, max_tokens):
    """Token after token, each from the whole text."""
    ids = list(prompt)
    while len(ids) < len(prompt) + max_tokens:
        logits, _ = forward(model.params, model.config, [ids])
        ids.append(int(logits[0, -1, : model.tokenizer.vocab_size].argmax()))
        if ids[-1] in model.stop_ids:
            break
    return ids[len(prompt) :]


def test_turns_questions_aside_and_repeated_prompts():
    model = tiny_model()
    rng = np.random.default_rng(0)
    talks = Talks(model, 3, temperature=0.0, max_tokens=6)
    text = lambda n: rng.integers(3, 2048, n).tolist()
    before = {i: text(n) for i, n in enumerate((1, 9, 70))}
    for _ in range(4):
        aside = {i: [*before[i], *text(3)] for i in (2, 0)}
        for prompts in (aside, before, before):
            found = talks.answers(prompts, dict.fromkeys(prompts, 0))
            assert list(found) == list(prompts)
            for i, answer in found.items():
                assert answer == greedy(model, prompts[i], 6)
        before = {i: [*before[i], *found[i], *text(4)] for i in before}
        before[1] = [*before[1][:5], *text(7)]  # its middle changes
    assert talks.answers({}, {}) == {}


def test_seeds_decide_what_is_drawn():
    model = tiny_model()
    prompts = {i: [1, 50, 60, 70] for i in range(3)}
    first = Talks(model, 3, temperature=1.0, max_tokens=12).answers(prompts, {0: 5, 1: 6, 2: 5})
    assert first[0] == first[2] != first[1]
    assert Talks(model, 3, temperature=1.0, max_tokens=12).answers(prompts, {0: 5, 1: 6, 2: 5}) == first
    sampled = Talks(model, 3, temperature=1.0, max_tokens=12)
    assert sampled.answers(prompts, dict.fromkeys(prompts, 1), greedy=True)[1] == greedy(model, prompts[1], 12)


def test_the_context_ends_an_answer_and_refuses_a_prompt():
    model = tiny_model(max_seq_len=16, chat=Llama2Chat())
    talks = Talks(model, 1, temperature=0.0, max_tokens=50)
    answer = talks.answers({0: list(range(3, 13))}, {0: 0})[0]
    assert len(answer) == 7 or answer[-1] in model.stop_ids  # ten and six in the cache, and one more drawn
    with pytest.raises(ContextFullError):
        talks.answers({0: list(range(3, 23))}, {0: 0})
    assert talks.answers({0: list(range(3, 13))}, {0: 0})[0] == answer


DIALOGUE = [
    {"role": "user", "content": "What do you like?"},
    {"role": "assistant", "content": "I like to swim."},
    {"role": "user", "content": "Tell me about the cat."},
]


def test_parts_join_to_what_the_format_writes(stories260k):
    model = tiny_model(chat=Llama2Chat())
    first, answer = model.encode(DIALOGUE[:1]), model.tokenizer.encode(" I like to swim. ", bos=False, eos=True)
    whole = model.encode(DIALOGUE)
    rest = next_prompt(model, DIALOGUE)
    assert closing_id(model) == model.tokenizer.eos_id
    assert whole[-len(rest) :] == rest
    assert rest[0] == model.tokenizer.bos_id
    assert whole[: len(first)] == first
    assert whole[-len(rest) - 1] == answer[-1] == model.tokenizer.eos_id
    assert next_prompt(model, DIALOGUE[:1]) == first


def test_what_chatml_writes_after_the_end_belongs_to_the_next_prompt(smollm2):
    model = ChatModel(smollm2.params, smollm2.config, smollm2.tokenizer, ChatML())
    end = smollm2.tokenizer.special_tokens["<|im_end|>"]
    assert closing_id(model) == end
    first = model.encode(DIALOGUE[:1])
    answer = [*smollm2.tokenizer.encode("I like to swim.", bos=False), end]
    assert [*first, *answer, *next_prompt(model, DIALOGUE)] == model.encode(DIALOGUE)


def test_common_length():
    assert [common_length([1, 2, 3], other) for other in ([], [1, 2], [1, 2, 3, 4], [2])] == [0, 2, 3, 0]
