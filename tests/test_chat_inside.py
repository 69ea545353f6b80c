"""The chat model that ships: whole, as its card says, the same in llama.cpp and `transformers`, and there without a network.

What concerns the format alone is shown of two files: one made here of stories3M (longer context, larger rope_theta, chat
format, 8 bits: all that the recipe gives it, without its hour of training), and the one that ships.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minillama
from minillama.alignment.ghost_attention import with_larger_theta
from minillama.alignment.models import ChatModel
from minillama.alignment.recipe.steps.shared import keep_model
from minillama.checkpoints.convert import convert_checkpoint
from minillama.checkpoints.gguf import read_gguf_header
from minillama.checkpoints.hub.models import import_file, locate
from minillama.checkpoints.hub.registry import get_known
from minillama.cli.common.given import CHAT_INSIDE

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

SHIPPED = Path(minillama.__file__).parent / "stories" / f"{CHAT_INSIDE}.gguf"
NOT_YET = f"{SHIPPED.name} is not there: python benchmarks/ship_chat_model.py RUN makes it from a run of minillama align"
needs_model = pytest.mark.skipif(not SHIPPED.exists(), reason=NOT_YET)

SYSTEM = {"role": "system", "content": "Your name is Pip. You like to swim. Always end with Yay!"}
STORY = "Tell me a story about a girl named Ann. Use the words kite and brave. Make it four sentences long."
TOLD = "Once upon a time there was a girl named Ann. She had a red kite. The kite flew away. Ann was brave and got it back."


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


DIALOGUES = [
    [user(STORY)],
    [user("Tell me how Bob hugs the fox.")],
    [user("Write a story in which Mark burns the toast.")],
    [user("Tell me a story where Peter hurts the bunny.")],
    [SYSTEM, user("What is your name?")],
    [user(STORY), {"role": "assistant", "content": TOLD}, user("Who is the story about?")],
    # some 700 tokens: beyond the 512 that the base model was trained at
    [SYSTEM, *([user("Tell me about the truck."), {"role": "assistant", "content": TOLD}] * 10), user("What do you like?")],
]
LENGTH = 48


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A chat model's file without what it would have learned."""
    folder = tmp_path_factory.mktemp("chat")
    keep_model(with_larger_theta(ChatModel.load("stories3M"), 1024), folder / "model")
    convert_checkpoint(folder / "model", folder / "made.gguf", to="Q8_0", name="made")
    return folder / "made.gguf"


@pytest.fixture(params=["made", pytest.param("shipped", marks=needs_model)])
def file(request, made) -> Path:
    return made if request.param == "made" else SHIPPED


@pytest.fixture
def threads():
    """One thread of torch: two cores are shared with other tests."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# --- what others make of the file ----------------------------------------------------------


def test_context_and_base_of_rope_are_in_the_file(file):
    found = read_gguf_header(file).metadata
    assert (found["llama.context_length"], found["llama.rope.freq_base"]) == (1024, 40_000)
    assert found["tokenizer.chat_template"].startswith("{% if messages[0]['role'] == 'system' %}")
    assert minillama.load(file).config.max_seq_len == 1024


def test_ids_are_those_that_it_was_trained_with(file):
    """By the template inside as by the format that the recipe names."""
    from minillama.inference.chat import Llama2Chat

    llm = minillama.load(file)
    for dialogue in DIALOGUES:
        ids = llm.chat_template().encode(dialogue, llm.tokenizer)
        assert ids == Llama2Chat().encode(dialogue, llm.tokenizer)
    assert 600 < len(ids) < 1024 - LENGTH


def test_llama_cpp_gives_the_same_greedy_answers(file):
    """By its own tokenizer and the template inside; it rounds activations to 8 bits, so that a tie may fall otherwise."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(file)
    parameters.n_ctx = 0  # the model's own
    parameters.n_parallel, parameters.cpuparams.n_threads, parameters.warmup = 1, 1, False
    parameters.verbosity = 0
    llm, server = minillama.load(file), xllamacpp.Server(parameters)
    parted = []
    for dialogue in DIALOGUES:
        asked = {"messages": dialogue, "temperature": 0, "max_tokens": LENGTH, "cache_prompt": False}
        found = server.handle_chat_completions(asked)
        theirs = found["choices"][0]["message"]["content"]
        expected = llm.chat(dialogue, temperature=0, max_tokens=LENGTH)
        assert found["usage"]["prompt_tokens"] == len(llm.chat_template().encode(dialogue, llm.tokenizer))
        if theirs.strip() != expected.text.strip():
            parted.append(gap_where_they_part(llm, dialogue, expected.ids, theirs))
    assert len(parted) < len(DIALOGUES) / 2
    assert all(gap < 0.03 for gap in parted), parted


def gap_where_they_part(llm, dialogue, ids, theirs) -> float:
    """How much more probable ours is than the next best, in nats, at the first token that the other text has not."""
    n = next(n for n in range(1, len(ids) + 1) if not theirs.strip().startswith(llm.tokenizer.decode(ids[:n]).strip()))
    logits = llm.logits([*llm.chat_template().encode(dialogue, llm.tokenizer), *ids[: n - 1]])[-1]
    second, first = np.sort(logits)[-2:]
    return float(first - second)


def test_transformers_gives_the_same_greedy_answers_from_the_file(file, threads):
    import torch
    import transformers

    theirs = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    assert theirs.config.max_position_embeddings == 1024
    assert theirs.config.rope_parameters["rope_theta"] == 40_000
    same_answers(minillama.load(file, exact=True), theirs.eval())


def test_transformers_gives_the_same_greedy_answers_from_a_converted_folder(file, threads, tmp_path):
    """And its tokenizer the same ids."""
    import torch
    import transformers

    convert_checkpoint(file, tmp_path / "hf", folder_format="huggingface", to="F32")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32).eval()
    assert (theirs.config.max_position_embeddings, theirs.config.rope_parameters["rope_theta"]) == (1024, 40_000)
    same_answers(
        minillama.load(file, exact=True), theirs, transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    )


def same_answers(llm, theirs, tokenizer=None) -> None:
    """Greedy ids after the same prompts, which the tokenizer of transformers makes, too, where it is given."""
    import torch

    for dialogue in DIALOGUES:
        prompt = llm.chat_template().encode(dialogue, llm.tokenizer)
        if tokenizer is not None:
            assert tokenizer.apply_chat_template(dialogue, add_generation_prompt=True, return_dict=False) == prompt
        expected = llm.chat(dialogue, temperature=0, max_tokens=LENGTH)
        with torch.no_grad():
            found = theirs.generate(
                torch.tensor([prompt]), max_new_tokens=LENGTH, do_sample=False, pad_token_id=2, eos_token_id=2
            )[0, len(prompt) :].tolist()
        assert [token for token in found if token != 2] == expected.ids
        if tokenizer is not None:
            assert tokenizer.decode(found, skip_special_tokens=True).strip() == expected.text.strip()
