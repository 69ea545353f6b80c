"""Conversations over one session with a model's own template: what the cache has is kept, nothing else."""

import numpy as np
import pytest
from chat_models import byte_level, pair

from minillama.config import ModelConfig
from minillama.inference.chat import template_for
from minillama.llm import LLM
from minillama.ops import REFERENCE
from minillama.params import init_params

# Earlier answers lose their thoughts, as in Qwen3's template.
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}"
    "{{ m.content.split('</think>')[-1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELLO = {"role": "user", "content": "Hello there"}


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    tokenizer = pair(byte_level, tmp_path_factory.mktemp("tokenizer"))[1]
    tokenizer.chat_template = FORGETFUL
    config = ModelConfig(
        dim=16, n_layers=1, n_heads=2, n_kv_heads=1, hidden_dim=24, vocab_size=tokenizer.vocab_size, max_seq_len=256
    )
    return LLM(init_params(config, np.random.default_rng(0)), config, tokenizer, ops=REFERENCE)


def ids_of(llm, messages, **options):
    return template_for(llm.tokenizer).encode(messages, llm.tokenizer, **options)


def test_what_a_template_takes_out_of_earlier_turns_is_computed_again(llm):
    session = llm.session()
    thought = {"role": "assistant", "content": "<think>Hm</think>Yes"}
    first, second = [HELLO], [HELLO, thought, HELLO]
    llm.chat(first, max_tokens=4, temperature=0, session=session)
    assert session.reused == 0
    answer = llm.chat(second, max_tokens=4, temperature=0, session=session)
    assert session.reused == len(ids_of(llm, first))  # up to the answer, which has no thought in it now
    assert answer.ids == llm.chat(second, max_tokens=4, temperature=0).ids
    assert "Hm" not in llm.tokenizer.decode(session.tokens)


def test_an_answer_goes_on_where_it_was_left(llm):
    begun = [HELLO, {"role": "assistant", "content": "It is "}]
    ids = ids_of(llm, begun, continue_final_message=True)
    assert llm.tokenizer.decode(ids).endswith("assistant\nIt is ")
    session = llm.session()
    answer = llm.chat(begun, continue_final_message=True, max_tokens=4, temperature=0, session=session)
    assert session.tokens[: len(ids)] == ids
    session = llm.session()
    session.feed(ids)
    assert answer.ids[0] == int(session.logits[: llm.tokenizer.vocab_size].argmax())


def test_an_answer_ends_where_the_template_ends_one(llm):
    """<|think|> is no end that is known by its name."""
    end = llm.tokenizer.special_tokens["<|think|>"]
    chat = template_for(llm.tokenizer)
    assert end not in chat.stop_ids(llm.tokenizer)
    llm.tokenizer.chat_template = FORGETFUL.replace("<|im_end|>", "<|think|>")
    try:
        assert end in llm.chat_stream([HELLO], max_tokens=1).tokens.stop_ids
    finally:
        llm.tokenizer.chat_template = FORGETFUL
