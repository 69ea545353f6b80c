"""Where the instruction stands while answers are sampled, which answers stay, and what survives kill -9."""

import json
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from ghost_models import FILLERS, PIP, POOLS, Scripted, killed, scene, tiny_model

from minillama.alignment.ghost_attention import (
    Instruction,
    Scene,
    SceneShape,
    SynthesisSettings,
    Turn,
    conversation_of_ghost,
    draw_scenes,
    obeys,
    synthesise,
)
from minillama.alignment.ghost_attention import synthesis as module
from minillama.inference.chat import Llama2Chat
from minillama.trees import map_tree

ONE = scene("Hello!", "Tell me more.", "Bye!")


@pytest.fixture
def model():
    return tiny_model(chat=Llama2Chat())


def scripted(monkeypatch, reply):
    talks = Scripted(reply)
    monkeypatch.setattr(module, "Talks", talks)
    return talks


def test_every_message_has_the_instruction_or_the_current_one(monkeypatch, model):
    for place in ("every", "current"):
        talks = scripted(monkeypatch, lambda text, seed: "Yes. Yay!")
        (ghost,) = synthesise(model, [ONE], SynthesisSettings(place=place, tries=1))
        said = PIP.sentences
        assert [prompt.count(said) for prompt in talks.prompts] == ([1, 2, 3] if place == "every" else [1, 1, 1])
        assert all("<<SYS>>" not in prompt.partition("Hello!")[2] for prompt in talks.prompts)
        assert talks.prompts[2].endswith(f"{said} Bye! [/INST]")
        assert [model.text_of(answer) for answer in ghost.answers] == ["Yes. Yay!"] * 3
        if place == "current":
            assert talks.prompts[2].count("Yes. Yay!") == 2
            assert talks.prompts[2].startswith("[INST] Hello! [/INST]")


def test_alone_every_message_is_the_first_one(monkeypatch, model):
    talks = scripted(monkeypatch, lambda text, seed: "Yes. Yay!")
    (ghost,) = synthesise(model, [ONE], SynthesisSettings(place="alone", tries=1))
    assert talks.prompts == [f"[INST] <<SYS>>\n{PIP.sentences}\n<</SYS>>\n\n{turn.text} [/INST]" for turn in ONE.turns]
    conversation = conversation_of_ghost(model, ghost)  # what is learned from is the whole dialogue
    text = model.tokenizer.decode(conversation.ids.tolist())
    assert text.count("[INST]") == 3
    assert text.count("swimming") == 1


def test_training_has_it_in_the_first_message_alone(monkeypatch, model):
    scripted(monkeypatch, lambda text, seed: "Yes. Yay!")
    for terse in (False, True):
        instructed = replace(ONE, instruction=Instruction(PIP.traits, terse))
        (ghost,) = synthesise(model, [instructed], SynthesisSettings(tries=1))
        conversation = conversation_of_ghost(model, ghost)
        text = model.tokenizer.decode(conversation.ids.tolist())
        first = "Hobby: swimming. End: Yay!" if terse else PIP.sentences
        assert text.startswith(f"[INST] <<SYS>>\n{first}\n<</SYS>>")
        assert text.count("swimming") == 1
        spans = conversation.answers
        assert [conversation.ids[span.start : span.stop].tolist() for span in spans] == ghost.answers
        assert "[INST] Tell me more. [/INST]" in text


def test_answers_that_disobey_are_drawn_again_and_end_the_dialogue(monkeypatch, model):
    replies = {"Hello!": ["No.", "Hi. Yay!"], "Tell me more.": ["Cut…", "More. Yay!"], "Bye!": ["Bye."] * 3}
    counts = {}

    def reply(text, seed):
        last = next(turn for turn in replies if text.endswith(f"{turn} [/INST]"))
        counts[last] = counts.get(last, -1) + 1
        return replies[last][counts[last]]

    scripted(monkeypatch, reply)
    (ghost,) = synthesise(model, [ONE], SynthesisSettings(tries=3))
    assert [model.text_of(answer) for answer in ghost.answers] == ["Hi. Yay!", "More. Yay!"]
    assert (ghost.ended, ghost.draws) == ("disobeyed", 7)
    counts.clear()
    assert synthesise(model, [ONE], SynthesisSettings(tries=3, least_turns=3)) == []


def test_questions_are_to_be_answered():
    asked = Scene("one", PIP, (Turn("What do you like?", PIP.facts[0].check, "hobby"), Turn("Hello!")))
    assert obeys(asked, 0, "I like swimming. Yay!")
    assert not obeys(asked, 0, "I like you. Yay!")
    assert not obeys(asked, 0, "I like swimming.")
    assert obeys(asked, 1, "Hi. Yay!")


def test_the_best_of_several_stays(monkeypatch, model):
    said = iter(["One. Yay!", "A long one. Yay!", "The longest of all, which disobeys.", "Two. Yay!"] * 3)
    scripted(monkeypatch, lambda text, seed: next(said))
    (ghost,) = synthesise(model, [ONE], SynthesisSettings(tries=4), score=lambda scene, turn, answer: len(answer))
    assert [model.text_of(answer) for answer in ghost.answers] == ["A long one. Yay!"] * 3
    assert ghost.draws == 12


@pytest.mark.parametrize("place", ["every", "current", "alone"])
def test_a_dialogue_ends_where_the_context_does(place):
    """Also where a turn is answered alone: what is learned is the whole."""
    settings = SynthesisSettings(tries=2, max_tokens=4, place=place)
    (whole,) = synthesise(tiny_model(), [ONE], settings, rule=lambda *_: True)
    room = len(conversation_of_ghost(tiny_model(), whole).ids) - 1
    small = tiny_model(max_seq_len=room)
    (ghost,) = synthesise(small, [ONE], settings, rule=lambda *_: True)
    assert ghost.ended == "no room"
    assert ghost.answers == whole.answers[: len(ghost.answers)]
    assert 2 <= len(ghost.answers) < len(whole.answers)
    assert len(conversation_of_ghost(small, ghost).ids) <= room


def drawn(n=9):
    return draw_scenes(POOLS, FILLERS, n, seed=4, shape=SceneShape(2, 5))


SETTINGS = SynthesisSettings(tries=3, max_tokens=6, at_once=4, least_turns=1, seed=2)


def anything(scene, turn, answer):
    return True


def contents(ghosts):
    return [(ghost.scene.id, ghost.answers, ghost.ended, ghost.draws) for ghost in ghosts]


def test_kill_and_resume(tmp_path):
    model, path = tiny_model(), tmp_path / "dialogues.jsonl"
    whole = contents(synthesise(model, drawn(), SETTINGS, rule=anything))
    assert len(whole) > 3
    assert whole == contents(synthesise(model, drawn(), SETTINGS, rule=anything))
    assert whole != contents(synthesise(model, drawn(), replace(SETTINGS, seed=3), rule=anything))

    def dies(done, n):
        if done >= 4:
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: synthesise(model, drawn(), SETTINGS, rule=anything, journal=path, progress=dies))
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 5
    path.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # torn in the middle of a group
    told = []
    found = synthesise(model, drawn(), SETTINGS, rule=anything, journal=path, progress=lambda *done: told.append(done))
    assert contents(found) == whole
    assert told == [(4, 9), (8, 9), (9, 9)]
    assert contents(synthesise(model, drawn(), SETTINGS, rule=anything, journal=path)) == whole
    rows = [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
    assert {row["id"] for row in rows} == {one.id for one in drawn()}


def test_a_journal_of_something_else_is_refused(tmp_path):
    model, path = tiny_model(), tmp_path / "dialogues.jsonl"
    synthesise(model, drawn(2), SETTINGS, rule=anything, journal=path)
    other = replace(model, params=map_tree(lambda a: a + np.float32(1e-3), model.params))
    for changed in (
        lambda: synthesise(other, drawn(2), SETTINGS, journal=path),
        lambda: synthesise(model, drawn(3), SETTINGS, journal=path),
        lambda: synthesise(model, drawn(2), replace(SETTINGS, temperature=0.5), journal=path),
    ):
        with pytest.raises(ValueError, match="other scenes, settings or weights"):
            changed()
    with pytest.raises(ValueError, match="id of its own"):
        synthesise(model, [ONE, ONE], SETTINGS)
    with pytest.raises(ValueError, match="place"):
        SynthesisSettings(place="nowhere")


def test_scenes_are_drawn_by_their_numbers():
    shape = SceneShape(2, 20, late_share=0.5, question_share=0.4)
    scenes = draw_scenes(POOLS, FILLERS, 400, seed=1, shape=shape)
    said = lambda some: [(one.id, one.instruction.text, [turn.text for turn in one.turns]) for one in some]
    assert said(scenes[:5]) == said(draw_scenes(POOLS, FILLERS, 5, seed=1, shape=shape))
    lengths = np.array([len(one.turns) for one in scenes])
    assert (lengths.min(), lengths.max()) == (2, 20)
    assert 0.5 < np.mean(lengths >= 14) < 0.8  # half of them, and a third of the others
    with_facts = [one for one in scenes if one.instruction.facts]
    asked = [bool(turn.fact) for one in with_facts for turn in one.turns]
    assert np.mean(asked) == pytest.approx(0.4, abs=0.03)
    assert not any(turn.fact for one in scenes if not one.instruction.facts for turn in one.turns)
