"""What the steps put together: which pairs a reward model learns from, what is replayed, whose traits are tested."""

from types import SimpleNamespace

import numpy as np
import pytest

from minillama.alignment.ghost_attention import retention_rows
from minillama.alignment.ghost_attention.retention import Reply
from minillama.alignment.preferences.candidates import Candidate, Candidates
from minillama.alignment.recipe.settings import PRESETS
from minillama.alignment.recipe.steps import best_answers, preferences, rejection
from minillama.alignment.recipe.steps.kept import Kept
from minillama.alignment.recipe.steps.preferences import HELPFUL, MIX, SAFETY, compared, second_asked
from minillama.alignment.recipe.steps.replay import SKILLS
from minillama.alignment.recipe.steps.retention import lines_of, scenes_of
from minillama.alignment.recipe.steps.story import StoryWorld
from minillama.alignment.rollouts import Answer
from minillama.alignment.story_world import draw_requests
from minillama.alignment.story_world.vocabulary import split_of


def test_no_reward_for_helping_to_hurt():
    answer = Candidate("Yes.", (1,), True, 0, 0.7)
    pairs = [Candidates(request.prompt(), answer, answer) for request in draw_requests("train", 90, 1, MIX)]
    helpful, safety = ({one.prompt.kind for one in compared(pairs, kind)} for kind in (HELPFUL, SAFETY))
    assert helpful == set(MIX) - {"adversarial"}
    assert safety == set(MIX)


def test_the_second_variant_is_asked_to_be_kind():
    """Where somebody would be hurt in most pairs, elsewhere in some, and never in a plain story."""
    prompts = [request.prompt() for request in draw_requests("train", 450, 1, MIX)]
    asked = [second_asked(prompt, 5) for prompt in prompts]
    assert asked == [second_asked(prompt, 5) for prompt in prompts]
    shares = {}
    for kind in MIX:
        some = [(p, a) for p, a in zip(prompts, asked) if p.kind == kind]
        shares[kind] = sum(a.dialogue[0]["role"] == "system" for _, a in some if a.id.endswith("behind 0")) / len(some)
    assert 0.45 < shares.pop("adversarial") < 0.75
    assert 0.1 < shares.pop("borderline") < 0.4
    assert 0.05 < shares.pop("kind") < 0.5
    assert set(shares.values()) == {0}
    assert all(a.dialogue[-1] == p.dialogue[-1] for p, a in zip(prompts, asked))


@pytest.mark.parametrize(
    ("folder", "empty", "setting"),
    [
        ("05-preferences", ("train", SAFETY), "requests: of 48 requests \\(train\\)"),
        ("11-preferences-2", ("train", SAFETY), "refresh: of 48 requests \\(train\\)"),
        ("11-preferences-2", ("validation", HELPFUL), "held_out: of 16 requests \\(validation\\)"),
    ],
)
def test_pairs_of_which_none_is_left_are_refused_where_they_are_made(monkeypatch, tmp_path, folder, empty, setting):
    """Else a later step would read a file without a row."""
    monkeypatch.setattr(preferences, "chat_model", lambda *args: None)
    monkeypatch.setattr(preferences, "base_fluency", lambda context: None)
    monkeypatch.setattr(preferences, "_candidates", lambda context, model, split, n: split)
    monkeypatch.setattr(
        preferences, "_annotated", lambda _, split, fluency, kind, suffix: [0] * ((split, kind) != empty)
    )
    context = SimpleNamespace(folder=tmp_path / folder, settings=PRESETS["minute"].settings)
    with pytest.raises(ValueError, match=rf"\[preferences\] {setting} no pair is left for the {empty[1]} reward model"):
        preferences.preferences(context, "verified", 48)


@pytest.mark.parametrize(("safe", "start"), [("distillation", "distillation"), (None, "verified")])
def test_a_round_starts_from_what_context_distillation_gave(monkeypatch, safe, start):
    """The scores are centred on the answers of the fine-tuned model all the same."""
    begun = {}

    def one_round(folder, number, policy, prompts, rewards, fine_tune, how, **_):
        begun.update(policy=policy, start=fine_tune.args[2])
        return SimpleNamespace(figures={})

    monkeypatch.setattr(rejection, "chat_model", lambda context, step: step)
    monkeypatch.setattr(rejection, "scoring_of", lambda *args: begun.update(centred=args[-1]))
    monkeypatch.setattr(StoryWorld, "requests", lambda *args, **_: [])
    monkeypatch.setattr(StoryWorld, "replay", lambda *args: {})
    monkeypatch.setattr(rejection, "rejection_round", one_round)
    context = SimpleNamespace(settings=PRESETS["story"].settings, folder=None, progress=None)
    models = {"policy": "rejection-1", "first": "verified", "helpful": "h", "safety": "s"}
    rejection.rejection(context, StoryWorld(), 1, **models, before=None, safe=safe)
    assert begun == {"centred": "verified", "policy": "rejection-1", "start": start}


def test_of_its_own_right_answers_the_best_one_is_replayed(monkeypatch, tmp_path):
    prompts = [request.prompt() for request in draw_requests("train", 3, 2, {"story": 1})]
    texts = [["long", "longer", "wrong, and very long"], ["a", "b", "c"], ["wrong", "wrong", "wrong"]]
    answers = [
        [Answer(prompt.id, k, (1,), (2,), text, True) for k, text in enumerate(some)]
        for prompt, some in zip(prompts, texts)
    ]
    monkeypatch.setattr(StoryWorld, "requests", lambda *args, **_: prompts)
    monkeypatch.setattr(StoryWorld, "is_right", lambda self, prompt, answer: "wrong" not in answer.text)
    monkeypatch.setattr(best_answers, "answers_to", lambda *args, **_: answers)
    monkeypatch.setattr(best_answers, "scoring_of", lambda *args, **_: None)
    by_length = lambda prompts, some: np.array([len(one.text) for one in some])
    monkeypatch.setattr(best_answers, "combined_rewards", lambda scoring, gate: by_length)
    once = lambda name, write: (tmp_path / name).exists() or write(tmp_path / name)
    context = SimpleNamespace(settings=PRESETS["story"].settings, folder=tmp_path, once=once)
    asked = (context, StoryWorld(), None, 3, {"story": 1}, "ppo")
    kept = [Kept(prompts[0], "longer"), Kept(prompts[1], "a")]
    assert best_answers.best_answers(*asked, helpful="h", safety="s") == kept
    monkeypatch.setattr(best_answers, "answers_to", None)  # not to be called
    assert best_answers.best_answers(*asked, helpful="h", safety="s") == kept  # what is there is not drawn again


@pytest.mark.parametrize("step", ["distillation", "rejection", "ghost-attention"])
def test_every_skill_that_is_drawn_for_replay_is_replayed(step):
    drawn = set(SKILLS) - ({"dialogue"} if step == "ghost-attention" else set())  # Ghost Attention's own are dialogues
    assert drawn <= set(StoryWorld.beside[step])


def test_ghost_attention_is_tested_with_what_training_had_and_with_what_it_had_not():
    scenes = scenes_of(12, 3, 4)
    assert [scene.group for scene in scenes] == ["seen"] * 12 + ["unseen"] * 12
    assert len({scene.id for scene in scenes}) == 24
    for scene in scenes:
        splits = {split_of(trait.value) for trait in scene.instruction.traits}
        assert splits == {"train" if scene.group == "seen" else "test"}


def test_lines_of_the_test_by_group():
    scenes = scenes_of(2, 3, 2)
    replies = []
    for scene in scenes:
        fact = scene.instruction.facts[0]
        said = fact.value if scene.group == "seen" else "nothing"
        replies.append(Reply(scene.id, 2, fact.kind, "?", f"It is {said}.", 10))
    lines = {line["measure"]: line for line in lines_of(retention_rows(scenes, replies))}
    assert list(lines) == ["recall (seen)", "recall (unseen)", "style (seen)", "style (unseen)"]
    assert (lines["recall (seen)"]["turns"], lines["recall (unseen)"]["turns"]) == ({"2": 1.0}, {"2": 0.0})
    low, high = lines["recall (seen)"]["intervals"]["2"]
    assert 0.2 < low < high == 1
