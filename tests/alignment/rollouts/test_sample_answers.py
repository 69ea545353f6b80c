"""Sampled answers: a function of weights, settings, prompt and number; kept as they come, even through kill -9."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import minillama
from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.rollouts import sample_answers
from minillama.config import ModelConfig
from minillama.files.lock import LockedError, open_locked
from minillama.inference.chat import Llama2Chat
from minillama.params import init_params
from minillama.trees import map_tree

SETTINGS = {"k": 3, "temperature": 1.3, "seed": 5, "max_tokens": 12}


class ManyEnds(Llama2Chat):
    """One token of thirty ends an answer: a model of random numbers comes to one now and then."""

    def stop_ids(self, tokenizer):
        return frozenset(range(7, 2048, 30))


def make_model(seed=0, **changes):
    """A tiny model with the tokenizer that ships."""
    tokenizer = minillama.load("stories3M").tokenizer
    fields = {"dim": 32, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "hidden_dim": 48, "max_seq_len": 160} | changes
    config = ModelConfig(vocab_size=2048, **fields)
    params = map_tree(lambda a: 3 * a if a.ndim == 2 else a, init_params(config, np.random.default_rng(seed)))
    return ChatModel(params, config, tokenizer, ManyEnds())


def make_prompts(n, words=3):
    names = ["Tom", "Lily", "Ben", "Sue", "Max"]
    return [
        Prompt(f"p{i}", ({"role": "user", "content": " ".join(["Tell me about", *([names[i % 5]] * words)])},))
        for i in range(n)
    ]


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def whole(model):
    return sample_answers(model, make_prompts(6), **SETTINGS)


def test_an_answer_is_the_same_whatever_is_beside_it(model, whole):
    prompts = make_prompts(6)
    assert sample_answers(model, prompts, **SETTINGS, max_rows=4) == whole
    assert sample_answers(model, prompts[::-1], **SETTINGS)[::-1] == whole
    assert [row[:1] for row in whole] == sample_answers(model, prompts, **SETTINGS | {"k": 1})
    assert sample_answers(model, prompts[:2], **SETTINGS | {"seed": 6}) != whole[:2]
    assert len({answer.ids for row in whole for answer in row}) == 18
    assert [(a.prompt_id, a.k) for a in whole[2]] == [("p2", 0), ("p2", 1), ("p2", 2)]


def test_what_prompts_begin_with_in_common_changes_nothing(model):
    """More than a block of it, alone and together: also where BLAS multiplies, which rounds parts otherwise."""
    start = "Once there was a dog and a cat and a bird and a fish. " * 4
    prompts = [Prompt(str(i), ({"role": "user", "content": start + end},)) for i, end in enumerate("abcd")]
    together = sample_answers(model, prompts, **SETTINGS)
    assert len(together[0][0].prompt) > 70
    assert [sample_answers(model, [prompt], **SETTINGS)[0] for prompt in prompts] == together


def test_the_same_prompt_twice_is_answered_once(model, whole):
    told = []
    twice = sample_answers(model, make_prompts(1) * 2, **SETTINGS, progress=lambda n, of: told.append((n, of)))
    assert twice == [whole[0], whole[0]]
    assert told[-1] == (3, 3)


def test_why_an_answer_ends(model):
    prompt = make_prompts(1)
    (answers,) = sample_answers(model, prompt, k=40, temperature=1.3, max_tokens=30)
    ended = [answer for answer in answers if answer.ended]
    assert 0 < len(ended) < 40
    assert all(answer.ids[-1] in model.stop_ids and not set(answer.ids[:-1]) & model.stop_ids for answer in ended)
    assert all(len(answer.ids) == 30 for answer in answers if not answer.ended)
    assert not any(answer.context_full for answer in answers)
    short = make_model(max_seq_len=len(answers[0].prompt) + 4)
    (cut,) = sample_answers(short, prompt, k=40, temperature=1.3, max_tokens=30)
    assert {(answer.ended, answer.context_full) for answer in cut} == {(True, False), (False, True)}
    assert {len(answer.ids) for answer in cut if answer.context_full} == {5}  # the last token need not fit


def test_a_prompt_without_room_for_an_answer_is_named():
    small = make_model(max_seq_len=20)
    with pytest.raises(ValueError, match=r"the prompt p0 has \d\d tokens and the context 20: no room is left"):
        sample_answers(small, make_prompts(2, words=30), k=1)


# --- the journal -------------------------------------------------------------------------


def test_a_journal_goes_on_where_it_stopped(model, whole, tmp_path):
    """After any number of lines, with a torn one behind them; and with more prompts or answers than before."""
    path, told = tmp_path / "answers.jsonl", []
    assert sample_answers(model, make_prompts(6), **SETTINGS, journal=path) == whole
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 19
    for n in (0, 1, 5, 18, 19):
        path.write_bytes(b"".join(lines[:n]) + (b'{"prompt_id": "p' if n < 19 else b""))
        told.clear()
        progress = lambda done, of: told.append((done, of))
        assert sample_answers(model, make_prompts(6), **SETTINGS, journal=path, progress=progress) == whole
        assert len(told) == 18 - max(0, n - 1)
        assert sorted(path.read_bytes().splitlines()) == sorted(line.strip() for line in lines)
    fewer = SETTINGS | {"k": 2}
    path.unlink()
    assert sample_answers(model, make_prompts(4), **fewer, journal=path) == [row[:2] for row in whole[:4]]
    assert sample_answers(model, make_prompts(6), **SETTINGS, journal=path) == whole


def test_other_settings_are_refused(model, tmp_path):
    path, prompts = tmp_path / "answers.jsonl", make_prompts(1)
    sample_answers(model, prompts, **SETTINGS, journal=path)
    with pytest.raises(ValueError, match=r"were sampled otherwise: temperature 1.3 \(now 0.7\), seed 5 \(now 1\)"):
        sample_answers(model, prompts, **SETTINGS | {"temperature": 0.7, "seed": 1}, journal=path)
    with pytest.raises(ValueError, match="were sampled otherwise: weights"):
        sample_answers(make_model(1), prompts, **SETTINGS, journal=path)
    worded = [Prompt("p0", ({"role": "user", "content": "Something else"},))]
    sample_answers(model, worded, **SETTINGS, journal=path)  # another prompt, whatever it is called
    assert len(path.read_bytes().splitlines()) == 7
    for content in (b"{}\n", b"not json\n", b"[1]\n", b'{"prompt_id": "a", "prompt": "b", "k": 0, "ids": []}\n'):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no journal of answers"):
            sample_answers(model, prompts, **SETTINGS, journal=path)
        assert path.read_bytes() == content
    with open_locked(tmp_path / "answers.jsonl.lock", "holds"), pytest.raises(LockedError, match="another process"):
        sample_answers(model, prompts, **SETTINGS, journal=path)


KILLED = """
import os, signal, sys
from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.rollouts import sample_answers
model = ChatModel.load("stories3M")
prompts = [Prompt(name, ({"role": "user", "content": "Tell me about " + name},)) for name in ("a cat", "Tom")]
kill = lambda done, of: os.kill(os.getpid(), signal.SIGKILL) if done == int(sys.argv[2]) else None
sample_answers(model, prompts, k=6, seed=2, max_tokens=16, max_rows=5, journal=sys.argv[1], progress=kill)
"""


def test_kill_9_loses_no_answer(tmp_path):
    path = tmp_path / "answers.jsonl"
    run = [sys.executable, "-c", KILLED, str(path)]
    assert subprocess.run([*run, "4"], check=False, env=os.environ).returncode == -signal.SIGKILL
    assert len([json.loads(line)["ids"] for line in path.read_bytes().splitlines()[1:]]) == 4
    model = ChatModel.load("stories3M")
    prompts = [Prompt(name, ({"role": "user", "content": "Tell me about " + name},)) for name in ("a cat", "Tom")]
    settings = {"k": 6, "seed": 2, "max_tokens": 16}
    assert sample_answers(model, prompts, **settings, journal=path) == sample_answers(model, prompts, **settings)
