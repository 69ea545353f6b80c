"""The paper's test, made on models whose memory is known."""

import os
import re
import signal

import pytest
from ghost_models import FILLERS, POOLS, Scripted, killed, scene, tiny_model

from minillama.alignment.ghost_attention import (
    Mixture,
    Reply,
    RetentionSettings,
    Share,
    draw_tests,
    hobby,
    measure_retention,
    retention_rows,
    retention_table,
)
from minillama.alignment.ghost_attention import retention as module
from minillama.alignment.ghost_attention.instructions import Instruction
from minillama.inference.chat import Llama2Chat
from minillama.kv_cache import ContextFullError

TESTS = draw_tests(POOLS, FILLERS, 12, seed=1, last_turn=6, group="seen")
STYLES = POOLS["ending"]


@pytest.fixture
def model():
    return tiny_model(max_seq_len=2048, chat=Llama2Chat())


def remembers(turns):
    """A model that knows what stands in the last so many messages, and adds an ending that it was not told."""

    def reply(text, seed):
        seen = "".join(re.split(r"(?=\[INST\])", text)[-turns:])
        liked = re.search(r"You enjoy (\w+)", seen)
        end = re.search(r"answers with (\w+!)", seen)
        answer = f"I like {liked[1]}." if liked and "like" in text.rpartition("[INST]")[2] else "It is good."
        return f"{answer} {end[1] if end else 'Wow!'}"

    return reply


def ask(monkeypatch, model, reply, settings):
    talks = Scripted(reply)
    monkeypatch.setattr(module, "Talks", talks)
    monkeypatch.setattr(module, "draw_question", lambda instruction, rng: asked(instruction))
    return talks, measure_retention(model, TESTS, settings)


def asked(instruction):
    from minillama.alignment.ghost_attention import Turn

    return Turn("What do you like?", instruction.facts[0].check, instruction.facts[0].kind)


def test_a_model_that_remembers_three_messages(monkeypatch, model):
    settings = RetentionSettings(turns=(1, 3, 4, 6))
    talks, replies = ask(monkeypatch, model, remembers(3), settings)
    rows = retention_rows(TESTS, replies, STYLES)
    n_styled = sum(bool(one.instruction.styles) for one in TESTS)
    assert 0 < n_styled < 12
    assert [row.turn for row in rows] == [1, 3, 4, 6]
    assert [row.recall for row in rows] == [Share(12, 12), Share(12, 12), Share(0, 12), Share(0, 12)]
    kept = sum(one.instruction.kept_by("Good. Wow!") for one in TESTS if one.instruction.styles)
    assert [row.style for row in rows] == [Share(n, n_styled) for n in (n_styled, n_styled, kept, kept)]
    assert [row.style_between for row in rows] == [row.style for row in rows]
    assert {row.added for row in rows} == {Share(12 - n_styled, 12 - n_styled)}
    assert all(row.tokens <= row.most_tokens for row in rows)
    assert rows[0].tokens < rows[1].tokens < rows[2].tokens < rows[3].tokens
    # a question leaves no trace: no later prompt has it before its own last message
    assert not any("What do you like?" in prompt.rpartition("[INST]")[0] for prompt in talks.prompts)
    table = retention_table({"model": rows}, trained_length=rows[1].most_tokens)
    assert table.count("*") == 3  # two turns are beyond, and the note
    assert "| model | seen | 3 | 100 [76, 100] of 12 |" in table


def test_reminded_at_every_turn(monkeypatch, model):
    for place, in_last_prompt in (("every", 3), ("current", 1), ("first", 1)):
        talks, replies = ask(monkeypatch, model, remembers(1), RetentionSettings(turns=(1, 3), place=place))
        recall = [row.recall.successes for row in retention_rows(TESTS, replies)]
        assert recall == ([12, 0] if place == "first" else [12, 12])
        last = [prompt for prompt in talks.prompts if prompt.endswith("What do you like? [/INST]")][-1]
        assert last.count("You enjoy") == in_last_prompt
        assert ("You enjoy" in last.rpartition("[INST]")[2]) == (place != "first")


def test_a_context_that_does_not_hold_the_last_turn_is_an_error():
    small = tiny_model(max_seq_len=150)
    settings = RetentionSettings(turns=(1, 6), max_tokens=4)
    with pytest.raises(ContextFullError, match=r"turn \d of the test, with an answer, takes \d+ tokens.*holds 150"):
        measure_retention(small, TESTS[:3], settings)
    replies = measure_retention(small, TESTS[:3], RetentionSettings(turns=(1, 6), max_tokens=4, when_full="stop"))
    assert [reply.turn for reply in replies if reply.fact] == [1, 1, 1]
    assert max(reply.tokens for reply in replies) <= 150


def test_kill_and_resume(tmp_path):
    model, path = tiny_model(max_seq_len=1024), tmp_path / "test.jsonl"
    settings = RetentionSettings(turns=(1, 3), max_tokens=5, at_once=5, seed=3)
    whole = measure_retention(model, TESTS, settings)
    assert len(whole) == 12 * 4
    assert all(isinstance(reply, Reply) for reply in whole)

    def dies(done, n):
        if done >= 10:
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: measure_retention(model, TESTS, settings, journal=path, progress=dies))
    assert measure_retention(model, TESTS, settings, journal=path) == whole
    with pytest.raises(ValueError, match="other scenes, settings or weights"):
        measure_retention(model, TESTS, RetentionSettings(turns=(1, 3), max_tokens=6), journal=path)


def test_what_cannot_be_tested_is_refused(model):
    with pytest.raises(ValueError, match="needs a fact"):
        measure_retention(
            model, [scene("Hello!", instruction=Instruction((STYLES[0],)))], RetentionSettings(turns=(1,))
        )
    with pytest.raises(ValueError, match="2 turns"):
        measure_retention(
            model, [scene("Hello!", instruction=Instruction((hobby("chess"),)))], RetentionSettings(turns=(2,))
        )
    with pytest.raises(ValueError, match="ascending"):
        RetentionSettings(turns=(4, 2))
    facts = [one.instruction.facts for one in draw_tests(POOLS, FILLERS, 50, seed=2, mixture=Mixture(fact_share=0.2))]
    assert all(facts)
