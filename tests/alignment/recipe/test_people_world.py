"""The world of people: parts share no first message, judges are others than what is maximised, and the gate acts."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fake_pipeline import Quiet
from tiny_people import CONFIG, tiny_model, write_all, write_tiny_pairs

from minillama.alignment.models import Prompt
from minillama.alignment.recipe.people import PeopleWorld, conversations, measures, talk
from minillama.alignment.recipe.people.judging import Judges, points, wins_by_judges
from minillama.alignment.recipe.people.pairs import PARTS, parts_of, read_pairs
from minillama.alignment.recipe.people.report import _alike
from minillama.alignment.recipe.pipeline import RecipeFolder
from minillama.alignment.recipe.run import chosen_settings, run_recipe
from minillama.alignment.recipe.settings import PRESETS
from minillama.alignment.recipe.steps.preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from minillama.alignment.recipe.steps.reward import gate_shift
from minillama.alignment.recipe.steps.shared import scorers
from minillama.alignment.recipe.worlds import WORLDS, steps_of, world_of
from minillama.alignment.rejection_sampling.round_files import read_prompts
from minillama.alignment.rollouts import Answer

SMOLLM2 = PRESETS["smollm2"].settings


def prompts(*kinds):
    asked = ({"role": "user", "content": "?"},)
    return [Prompt(f"p{i}", asked, kind, tagged=kind == "adversarial") for i, kind in enumerate(kinds)]


# --- pairs ----------------------------------------------------------------------------------


def test_parts_share_no_first_message_and_have_their_shares(tmp_path):
    some = [one for found in read_pairs(write_tiny_pairs(tmp_path / "pairs")).values() for one in found]
    many = [
        replace(one, prompt=replace(one.prompt, dialogue=({"role": "user", "content": f"{i} {n}"},)))
        for n in range(5)
        for i, one in enumerate(some)
    ]
    of = parts_of(many, seed=1)
    counts = {part: sum(of[one.prompt.dialogue[0]["content"]] == part for one in many) for part in PARTS}
    for part, share in PARTS.items():
        assert counts[part] == pytest.approx(share * len(many), abs=2)
    assert parts_of(many, seed=1) == of != parts_of(many, seed=2)


def test_pairs_say_what_they_are_for(tmp_path):
    found = read_pairs(write_tiny_pairs(tmp_path / "pairs"))
    assert {one.prompt.kind for one in found[HELPFUL]} == {"helpful"}
    assert {one.prompt.kind for one in found[SAFETY]} == {"adversarial"}
    assert [one.tagged for one in found[HELPFUL] + found[SAFETY]] == [False] * 39 + [True] * 39
    (tmp_path / "pairs" / "helpful-base.jsonl.gz").unlink()
    with pytest.raises(ValueError, match=r"has no helpful-base\.jsonl\.gz: --pairs expects a folder with"):
        read_pairs(tmp_path / "pairs")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run up to the judges."""
    work = tmp_path_factory.mktemp("people")
    options = write_all(work)
    folder = RecipeFolder(work / "run")
    given = dict(zip(options[::2], options[1::2]))
    settings = chosen_settings(
        folder,
        preset="smollm2",
        config=work / "tiny.toml",
        model=given["--model"],
        pairs=work / "pairs",
        seed=3,
        threads=1,
    )
    run_recipe(folder, settings, Quiet(), until="judge-safety")
    names = [step.name for step in steps_of(settings)]
    paths = {name: folder.step(n, name) for n, name in enumerate(names, 1)}
    made = lambda step, name: paths[step] / name
    return SimpleNamespace(of=paths.__getitem__, made=made, settings=settings, threads=1, folder=folder.path)


def first_messages(some):
    return {one.dialogue[0]["content"] for one in some}


def test_nothing_of_the_judges_or_the_test_is_learned_or_asked(ran):
    here = ran.of("pairs")
    messages = {
        part: first_messages(one.prompt for kind in (HELPFUL, SAFETY) for one in pairs_of(here, kind, part))
        for part in PARTS
    }
    assert all(messages.values())
    for a in PARTS:
        for b in PARTS:
            assert a == b or not messages[a] & messages[b]
    for split, part in (("train", ""), ("validation", HELD_OUT), ("test", "-test")):
        asked = read_prompts(here / f"prompts-{split}.jsonl").values()
        assert first_messages(asked) == messages[part]
        dialogues = [json.dumps(one.dialogue) for one in asked]
        assert len(set(dialogues)) == len(dialogues)


def test_requests_are_drawn_by_kind(ran):
    world = PeopleWorld()
    some = world.requests(ran, "a round", 10, world.mix)
    assert [one.kind for one in some] == ["adversarial"] * 4 + ["helpful"] * 6
    assert some == world.requests(ran, "a round", 10, world.mix) != world.requests(ran, "another", 10, world.mix)
    everything = world.requests(ran, "all", 1000, {"helpful": 1})
    assert {one.id for one in everything} == {
        one.id for one in read_prompts(ran.of("pairs") / "prompts-train.jsonl").values() if one.kind == "helpful"
    }


# --- reward models and judges ---------------------------------------------------------------


def test_only_the_last_layer_is_trained_and_frozen_ones_are_in_memory_once(ran):
    helpful, judge = scorers(ran, "reward-helpful", "judge-helpful")
    before = tiny_model().params
    for layer in range(CONFIG.n_layers):
        same = np.array_equal(helpful.model.backbone.layers[layer].wq, before.layers[layer].wq)
        assert same == (layer < CONFIG.n_layers - 1)
        shared = helpful.model.backbone.layers[layer].wq is judge.model.backbone.layers[layer].wq
        assert shared == (layer < CONFIG.n_layers - 1)
    assert helpful.model.backbone.token_embedding is judge.model.backbone.token_embedding
    assert not np.array_equal(helpful.model.head, judge.model.head)
    assert not (ran.of("reward-helpful") / "states").exists()


def test_the_gate_catches_a_share_of_the_rejected_answers(ran, rng):
    scores = rng.normal(3, 2, 200).astype(np.float32)
    below = 1 / (1 + np.exp(-(scores - gate_shift(scores, 0.1, 0.15)))) < 0.15
    assert below.sum() == 20
    assert set(np.flatnonzero(below)) == set(np.argsort(scores)[:20])
    same = np.full(4, -2.0, np.float32)
    assert (1 / (1 + np.exp(-(same - gate_shift(same, 0.1, 0.15)))) < 0.15).all()
    (safety,) = scorers(ran, "reward-safety")
    labelled = PeopleWorld().labelled(ran, ("pairs",), tiny_model())
    p_safe = [1 / (1 + np.exp(-safety.scores([ids])[0])) for ids, unsafe in labelled if unsafe]
    assert sum(p < 0.15 for p in p_safe) >= 1
    assert safety.shift == json.loads((ran.of("reward-safety") / "model" / "shift.json").read_text())["shift"]


def test_a_reward_model_that_died_after_its_training_is_put_together_again(ran):
    """The frozen layers' states may be gone by then; those of the held-out pairs are computed once more."""
    step = ran.of("reward-safety")
    before = {path.name: path.read_bytes() for path in (step / "model").iterdir()}
    assert {"model.safetensors", "heads.safetensors", "shift.json"} <= set(before)
    shutil.rmtree(step / "model")
    (step / "done.json").unlink()
    run_recipe(RecipeFolder(ran.folder), ran.settings, Quiet(), resume=True, until="reward-safety")
    assert {path.name: path.read_bytes() for path in (step / "model").iterdir()} == before
    assert not (step / "states").exists()


class Counts:
    """Scores rows by how often an id is in them."""

    def __init__(self, wanted):
        self.wanted = wanted

    def scores(self, rows):
        return np.array([list(row).count(self.wanted) for row in rows], np.float32)


def answer(prompt, *ids):
    return Answer(prompt.id, 0, (9,), ids, "", True)


def test_each_prompt_has_its_own_judge():
    asked = prompts("helpful", "adversarial", "helpful")
    judge = wins_by_judges(Judges(Counts(1), Counts(2)))
    now = [answer(asked[0], 1, 1), answer(asked[1], 1, 1), answer(asked[2], 2)]
    before = [answer(asked[0], 1), answer(asked[1], 2), answer(asked[2], 3)]
    assert judge(asked, now, before).tolist() == [1.0, 0.0, 0.5]
    assert points([0.0, 1.0, 2.0], [1.0, 1.0, 1.0]).tolist() == [1.0, 0.5, 0.0]


def test_wins_of_every_stage_against_the_one_before_and_the_first():
    asked = prompts("helpful", "helpful", "adversarial")
    judged = {"a": np.array([0.0, 0, 0]), "b": np.array([1.0, 0, -1]), "c": np.array([2.0, 1, 3])}
    rows = {(row["b"], row["a"], row["kind"]): row for row in measures.wins_by_scores(asked, judged)}
    assert len(rows) == 6
    assert rows["b", "a", "helpful"]["rate"] == 0.75
    assert rows["b", "a", "adversarial"]["rate"] == 0
    assert rows["c", "a", "helpful"]["rate"] == rows["c", "b", "adversarial"]["rate"] == 1
    assert rows["c", "b", "helpful"]["n"] == 2


def test_refusals_and_false_refusals():
    asked = prompts("helpful", "helpful", "adversarial", "adversarial")
    said = ["I'm sorry, but I can't help with that.", "Mix flour with water.", "I cannot assist with that.", "Sure."]
    rows = [{"text": text, "ended": i != 1, "ids": [1]} for i, text in enumerate(said)]
    found = measures.rates_of_answers(asked, rows, np.array([0.0, 1, 2, 3]))
    for how in ("classifier", "string match"):
        assert found[f"false refusals by the {how} (helpful)"]["value"] == 0.5
        assert found[f"refusals by the {how} (adversarial)"]["value"] == 0.5
    assert found["ended (helpful)"]["value"] == 0.5
    assert found["score of the held-out judge (adversarial)"]["value"] == 2.5
    assert found["words (helpful)"]["value"] == 6.0


def test_lengths_that_are_alike():
    assert _alike(np.array([[100.0, 91], [100, 90], [0, 0], [1, 2]])).tolist() == [True, False, True, False]


# --- what comes in ---------------------------------------------------------------------------


def test_conversations_of_a_file(tmp_path):
    path = tmp_path / "some.jsonl"
    good = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
    path.write_text(json.dumps(good) + "\n")
    assert conversations.read_conversations(path) == [tuple(good["messages"])]
    for row, problem in (
        ({"prompt": "Hi."}, "line 1: expected 'messages', a list of them, found 'prompt'"),
        ({"messages": good["messages"][:1]}, "the last message should be the assistant's, found one of the user"),
    ):
        path.write_text(json.dumps(row) + "\n")
        with pytest.raises(ValueError, match=problem):
            conversations.read_conversations(path)


def test_no_more_conversations_are_encoded_than_are_learned(tmp_path, monkeypatch):
    said = [[{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}."}] for n in range(20)]
    said[7][1]["content"] *= 400  # longer than the context
    path, model, asked, told = tmp_path / "some.jsonl", tiny_model(), [], []
    path.write_text("".join(json.dumps({"messages": one}) + "\n" for one in said))
    encode = conversations.conversation_of

    def counted(dialogue, *rest):
        asked.append(dialogue)
        return encode(dialogue, *rest)

    def drawn(most, seed=1):
        return conversations._drawn(path, model, most, seed, lambda *how: told.append(how))

    monkeypatch.setattr(conversations, "conversation_of", counted)
    first = drawn(4)
    assert len(first) == 4
    assert len(asked) <= 5
    assert told[-1] == (4, 4)
    assert len(drawn(100)) == 19
    assert [list(one.ids) for one in first] != [list(one.ids) for one in drawn(4, seed=2)]


def test_a_conversation_that_the_format_refuses_is_named(tmp_path):
    path = tmp_path / "some.jsonl"
    bad = {"messages": [{"role": "user", "content": "[INST]"}, {"role": "assistant", "content": "Hello."}]}
    path.write_text(json.dumps(bad) + "\n")
    with pytest.raises(ValueError, match=r"some\.jsonl, conversation 1: .*\[INST\].*; mend that line"):
        conversations._drawn(path, tiny_model(), 4, 1, lambda done, total: None)


def test_hobbies_and_figures():
    assert [talk.is_figure(item) for item in ("Marie Curie", "Curie", "marie curie", "A B C D")] == [True, *[False] * 3]
    assert [talk.is_hobby(item) for item in ("chess", "bird watching", "to go out often", "chess 2")] == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, "preferences of people are needed: --pairs FOLDER"),
        ({"pairs": "nowhere"}, "nowhere has no helpful-base"),
        ({"pairs": "nowhere", "text": "stories.txt"}, "--text is of the world of stories"),
    ],
)
def test_what_people_are_needed_for(tmp_path, changes, problem):
    settings = replace(SMOLLM2, recipe=replace(SMOLLM2.recipe, **changes))
    with pytest.raises(ValueError, match=problem):
        run_recipe(RecipeFolder(tmp_path / "run"), settings, Quiet())
    assert not (tmp_path / "run").exists()


def test_worlds_do_not_take_what_is_of_the_other():
    story = PRESETS["minute"].settings
    with pytest.raises(ValueError, match="are for a model of real weights"):
        WORLDS["story"].check(replace(story, recipe=replace(story.recipe, pairs="x")))
    changed = replace(SMOLLM2, preferences=replace(SMOLLM2.preferences, refresh=3))
    with pytest.raises(ValueError, match="refresh: nobody is there to compare new answers"):
        WORLDS["people"].check(replace(changed, recipe=replace(SMOLLM2.recipe, pairs="x")))
    with pytest.raises(ValueError, match=r"there is none called 'stroy'; did you mean story\? possible: story, people"):
        world_of(replace(story, recipe=replace(story.recipe, world="stroy")))


def test_the_steps_of_the_preset():
    names = [step.name for step in steps_of(SMOLLM2)]
    assert names == [
        "pairs", "reward-helpful", "reward-safety", "judge-helpful", "judge-safety", "own-answers", "lists",
        "distillation", "rejection-1", "rejection-2", "ppo", "ghost-attention", "chat", "report",
    ]  # fmt: skip
    taught = replace(SMOLLM2, recipe=replace(SMOLLM2.recipe, conversations="some.jsonl"))
    steps = {step.name: step for step in steps_of(taught)}
    assert list(steps)[:2] == ["pairs", "sft"]
    assert "sft" in steps["reward-helpful"].inputs
    assert "sft" in steps["rejection-1"].inputs
