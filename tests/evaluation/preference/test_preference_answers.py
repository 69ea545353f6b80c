"""Answers of models: those of `llm.chat`, kept one by one, the same after an interrupt."""

import json
import os

import pytest
from made_pairs import prompts

from minillama.evaluation.preference import Answering, answer_prompts
from minillama.inference.sampling import Sampling

LLAMA = {"template": "llama-2", "max_tokens": 12}


class Interrupted(Exception):
    pass


def test_as_chat_answers(stories260k, tmp_path):
    asked = prompts(5)
    answering = Answering(Sampling(temperature=1.0), seed=3, **LLAMA)
    found = answer_prompts(stories260k, asked, tmp_path / "a.jsonl", answering, max_rows=2)
    for n, prompt in enumerate(asked):
        alone = stories260k.chat(list(prompt.dialogue), template="llama-2", temperature=1.0, max_tokens=12, seed=3 + n)
        assert found[prompt.id] == alone.text
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert rows[0]["settings"]["sampling"]["temperature"] == 1.0
    assert {row["id"]: row["seed"] for row in rows[1:]} == {f"p{n}": 3 + n for n in range(5)}


@pytest.mark.parametrize("cut", [0, 7])
def test_going_on_after_an_interrupt(stories260k, tmp_path, cut):
    asked = prompts(6)
    answering = Answering(Sampling(temperature=1.0), **LLAMA)
    whole = answer_prompts(stories260k, asked, tmp_path / "whole.jsonl", answering)

    def stop(done, total):
        if done == 3:
            raise Interrupted

    path = tmp_path / "cut.jsonl"
    with pytest.raises(Interrupted):
        answer_prompts(stories260k, asked, path, answering, max_rows=2, progress=stop)
    kept = path.read_bytes()
    assert kept.count(b"\n") == 4
    os.truncate(path, len(kept) - cut)
    told = []
    found = answer_prompts(stories260k, asked, path, answering, progress=lambda done, total: told.append(done))
    assert found == whole
    assert told == ([4, 5, 6] if cut == 0 else [3, 4, 5, 6])
    assert answer_prompts(stories260k, asked, path, answering, progress=lambda *_: 1 / 0) == whole


def test_other_settings_need_another_file(stories260k, tmp_path):
    path = tmp_path / "a.jsonl"
    answer_prompts(stories260k, prompts(1), path, Answering(**LLAMA))
    with pytest.raises(ValueError, match=r"holds answers with other settings: seed 0 there, 1 here; choose another"):
        answer_prompts(stories260k, prompts(1), path, Answering(seed=1, **LLAMA))


def test_a_system_message_and_hh_rlhfs_layout(stories260k, tmp_path):
    asked = prompts(1)
    with_system = Answering(system="Be kind.", **LLAMA)
    found = answer_prompts(stories260k, asked, tmp_path / "a.jsonl", with_system)
    messages = [{"role": "system", "content": "Be kind."}, *asked[0].dialogue]
    assert found["p0"] == stories260k.chat(messages, template="llama-2", temperature=0, max_tokens=12, seed=0).text
    layout = Answering(template="hh-rlhf", max_tokens=12)
    found = answer_prompts(stories260k, asked, tmp_path / "b.jsonl", layout)
    text = stories260k.generate("\n\nHuman: Question 0?\n\nAssistant:", temperature=0, max_tokens=12).text
    assert found["p0"] == text.partition("\n\nHuman:")[0].strip()


def test_what_cannot_be_answered(stories260k, tmp_path):
    with pytest.raises(ValueError, match="chat template is missing"):
        answer_prompts(stories260k, prompts(1), tmp_path / "a.jsonl")
    (prompt,) = prompts(1)
    long = type(prompt)("long", ({"role": "user", "content": "word " * 2000},))
    with pytest.raises(ValueError, match=r"the prompt long has .* no room is left"):
        answer_prompts(stories260k, [long], tmp_path / "b.jsonl", Answering(**LLAMA))
