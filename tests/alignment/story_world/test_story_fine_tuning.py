"""The curriculum of the story world, and rounds of verified answers, on a tiny model."""

import json
from dataclasses import replace

import numpy as np
import pytest

import minillama
from minillama.alignment.models import ChatModel
from minillama.alignment.rollouts.sampling import Answer
from minillama.alignment.story_world import drawing, verified
from minillama.alignment.story_world.demonstrations import Demonstrations
from minillama.alignment.story_world.drawing import draw_requests
from minillama.alignment.story_world.emphasis import demonstration_of, example_of, later_uses
from minillama.alignment.story_world.fine_tuning import (
    SETTINGS,
    Curriculum,
    base_stories,
    curriculum_source,
    fine_tune_on_stories,
)
from minillama.alignment.story_world.requests import Request
from minillama.alignment.story_world.stories import parse_stories
from minillama.alignment.story_world.told import told_stories
from minillama.alignment.story_world.verified import VerifiedRound, round_source, verified_answers, verified_round
from minillama.config import ModelConfig
from minillama.inference.chat import Llama2Chat, recorded
from minillama.params import init_params

PLAN = Curriculum(steps=6, settings=replace(SETTINGS, tokens=256, checkpoint_every=2))


class Nobody:
    def __init__(self):
        self.rows = []

    def begin(self, step, steps): ...

    def note(self, text): ...

    def row(self, row):
        self.rows.append(row)


@pytest.fixture(scope="module")
def model():
    tokenizer, chat = minillama.load("stories3M").tokenizer, Llama2Chat()
    config = ModelConfig(dim=16, n_layers=1, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=2048, max_seq_len=512)
    return ChatModel(init_params(config, np.random.default_rng(0)), config, recorded(chat, tokenizer), chat)


@pytest.fixture(scope="module")
def demonstrations():
    names = {"she": "Lily", "he": "Tom", "it": "Kit"}
    return Demonstrations(parse_stories(text.replace("@", names[gender]) for gender, _, text in told_stories()))


def test_first_uses_count_more_and_later_ones_not_at_all(model):
    text = "A dog saw a ball. The dogs like a ball."
    request = Request(
        kind="dense", split="train", dialogue=({"role": "user", "content": "Go."},), words=("dog", "ball")
    )
    shown = demonstration_of(request, text)
    assert [text[a:b] for a, b in later_uses(request, text)] == ["dogs", "ball"]

    def weights(**given):
        example = example_of(shown, model, word_weight=8, start_weight=2.5, **given)
        learned = slice(example.ids.tolist().index(model.tokenizer.encode("A", bos=False)[0]), None)
        tokens = [model.tokenizer.decode([int(i)]) for i in example.ids[learned]]
        return tokens, example.weights[learned].tolist()

    tokens, found = weights(later_weight=0)
    assert "".join(tokens) == text.replace(" ", "")
    written = {}
    for token, weight in zip(tokens, found):
        written.setdefault(weight, []).append(token)
    assert "".join(written[8]) == "dogball"
    assert "".join(written[0]) == "dogsball"
    assert written[2.5][0] == "The"
    assert found[-1] == 2.5
    assert 0 not in weights()[1]


def test_the_curriculum_is_a_function_of_the_step(model, demonstrations):
    plan = replace(PLAN, steps=200)
    whole = curriculum_source(demonstrations, model, plan)
    expected = {step: whole.examples(step) for step in (1, 40, 130, 200)}
    for step in (200, 1):
        again = curriculum_source(demonstrations, model, plan).examples(step)
        for a, b in zip(expected[step], again, strict=True):
            np.testing.assert_array_equal(a.ids, b.ids)
            np.testing.assert_array_equal(a.weights, b.weights)
    heaviest = lambda first: max(e.weights.max() for s in range(first, first + 32) for e in whole.examples(s))
    assert heaviest(1) == 4
    assert 4 < heaviest(33) < 8
    assert heaviest(129) == 8
    turns = [(e.ids == model.tokenizer.bos_id).sum() for s in range(1, 33) for e in whole.examples(s)]
    assert max(turns) <= 5
    late = [e for s in range(161, 193) for e in whole.examples(s)]
    assert 6 <= max((e.ids == model.tokenizer.bos_id).sum() for e in late) <= 100
    assert max(len(e.ids) for e in late) <= model.config.max_seq_len


def test_dense_ones_become_fewer(model, demonstrations):
    source = curriculum_source(demonstrations, model, replace(PLAN, steps=320, long=0.0))
    length = lambda pool: np.mean([len(e.ids) for s in range(32) for e in source.examples(32 * pool + s + 1)])
    assert length(9) > 1.05 * length(0)


def test_a_run_resumes_and_its_model_chats(model, demonstrations, tmp_path):
    whole, parts = Nobody(), Nobody()
    outcome = fine_tune_on_stories(model, demonstrations, tmp_path / "whole", whole, PLAN, threads=1)
    asked = iter((False, False, True))
    fine_tune_on_stories(model, demonstrations, tmp_path / "parts", parts, PLAN, threads=1, stop=lambda: next(asked))
    again = fine_tune_on_stories(model, demonstrations, tmp_path / "parts", parts, PLAN, threads=1)
    read = lambda path: (path / "model.safetensors").read_bytes()
    assert read(outcome.checkpoint) == read(again.checkpoint)
    assert [row["loss"] for row in whole.rows] == [row["loss"] for row in parts.rows]
    assert minillama.load(tmp_path / "whole").chat([{"role": "user", "content": "Hello!"}], max_tokens=2).ids


def test_samples_of_the_base_are_kept(tmp_path):
    base, told = ChatModel.load("stories3M"), []
    stories = base_stories(base, tmp_path, 6, seed=1, progress=lambda done, n: told.append((done, n)))
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert list(before) == ["stories-1-000.json"]
    assert told[-1] == (6, 6)
    assert base_stories(base, tmp_path, 6, seed=1) == stories
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    texts = [text.replace("@", "Lily") for _, _, text in told_stories()[:3]]
    assert len(base_stories(base, tmp_path, 6, seed=1, texts=texts)) > len(stories)


# --- verified answers ---------------------------------------------------------------------


def shorter(texts):
    """A fluency that likes short texts."""
    return [-float(len(text)) for text in texts]


def good_answer(request):
    """Has all that is asked for of a story without words and without a happy end."""
    hero = f"a {request.sort}" if request.sort else "someone"
    first = f"Once there was {hero} named {request.name}."
    others = ["The sun was out.", "It was a day.", "A bird sang.", "Rain came.", "Night fell."]
    return " ".join([first, *others[: (request.count or 3) - 1]])


@pytest.fixture
def answering(monkeypatch):
    """The model gives three answers to every request: one that is not ended, a good one, and one with a sigh."""

    def sample(model, prompts, *, k, temperature, seed, **_):
        found = []
        for prompt in prompts:
            text = good_answer(Request.of(prompt)) if prompt.kind == "story" else "The end"
            texts = (text, text, text[:-1] + ", oh, oh, oh.")
            found.append([Answer(prompt.id, i, (1,), (5,), said, ended=i > 0) for i, said in enumerate(texts)])
        return found

    monkeypatch.setattr(verified, "sample_answers", sample)


def test_kept_are_answers_that_have_all_that_was_asked_for(model, answering):
    plan = VerifiedRound(requests=150, k=2)
    kept = verified_answers(model, plan, fluency=shorter)
    requests = draw_requests("train", 150, plan.seed, verified.VERIFIED_MIX)
    assert {request.kind for request in requests} == set(verified.VERIFIED_MIX)
    simple = [r for r in requests if r.kind == "story" and not r.words and not r.happy]
    assert len(simple) > 5
    assert [shown.request for shown in kept] == simple
    assert all(shown.answer == good_answer(shown.request) for shown in kept)


ASKED = Request(kind="story", split="train", dialogue=(), name="Ann", sort="girl", words=("kite",), count=2)
HARM = Request(kind="adversarial", split="train", dialogue=(), name="Ann", verb="hurt", object="bunny")


@pytest.mark.parametrize(
    ("request_", "text", "right"),
    [
        (ASKED, "Ann was a girl. She had a kite.", True),
        (ASKED, "Ann was a girl. She had a ball.", False),  # the word is missing
        (ASKED, "Ann was a girl. She had a kite, a kite and a kite.", False),  # three times
        (ASKED, "Ann had a kite. She was a girl. She was glad.", False),  # one sentence too many
        (ASKED, "Let's be kind. Ann was a girl who had a kite.", False),  # refuses where nothing was wrong
        (ASKED, "Ann was a girl with a kite. She hurt the bunny.", False),
        (HARM, "Let's be kind. Ann hugged the bunny.", True),
        (HARM, "Let's be kind. Ann hurt the bunny.", False),
        (HARM, "Ann hugged the bunny.", False),  # nobody is hurt, but nothing is said of it
    ],
)
def test_right_is_what_was_asked_for_and_harm_is_turned_to_kindness(request_, text, right):
    assert verified.is_right(request_, text, ended=True) is right
    assert not verified.is_right(request_, text, ended=False)


def test_a_round_mixes_kept_answers_with_fresh_ones(model, demonstrations, answering):
    plan = VerifiedRound(requests=150, k=2, tokens=256, passes=3)
    kept = verified_answers(model, plan, fluency=shorter)
    source, steps = round_source(kept, demonstrations, model, plan)
    own = {tuple(example_of(shown, model).ids.tolist()) for shown in kept}
    examples = [e for step in range(steps) for e in source.examples(step + 1)]
    sizes = [len(e.ids) for e in examples if tuple(e.ids.tolist()) in own]
    assert sum(sizes) / sum(len(e.ids) for e in examples) == pytest.approx(0.7, abs=0.05)
    assert max(e.weights.max() for e in examples) == 8
    with pytest.raises(ValueError, match="no answer of the model"):
        round_source([], demonstrations, model, plan)


def test_answers_are_kept_as_they_come(model, tmp_path):
    plan, path = VerifiedRound(requests=5, k=2, max_tokens=3), tmp_path / "answers.jsonl"
    verified_answers(model, plan, journal=path)
    settings, *rows = map(json.loads, path.read_text().splitlines())
    assert len(rows) == 10
    assert max(len(row["ids"]) for row in rows) <= 3
    assert settings["settings"]["max_tokens"] == 3
    told = []
    verified_answers(model, plan, lambda done, total: told.append(done), journal=path)
    assert told == []  # nothing is drawn again


def test_what_is_hard_to_answer_comes_as_often_as_it_was_asked_for():
    plan = VerifiedRound(requests=200)
    stories = [r for r in draw_requests("train", 200, plan.seed, verified.VERIFIED_MIX) if r.kind == "story"]
    easy = [r for r in stories if not r.words and r.count is None]
    hard = [r for r in stories if len(r.words) == 2 and r.count is not None]
    kept = [demonstration_of(request, "Yes.") for request in (*easy, *hard[::2], *hard[:1])]
    shares = verified.balanced(kept, plan)
    assert shares[: len(easy)] == pytest.approx(1)
    assert shares[len(easy) :] == pytest.approx(len(hard) / (len(kept) - len(easy)))
    rare = verified.balanced([*kept[: len(easy)], kept[-1]], plan)
    assert rare.tolist() == [1] * len(easy) + [4]


def test_a_round_keeps_its_answers_on_disk(model, demonstrations, answering, tmp_path, monkeypatch):
    plan = VerifiedRound(requests=60, k=2, tokens=256)
    outcome = verified_round(model, demonstrations, tmp_path / "a", Nobody(), plan, fluency=shorter, threads=1)
    rows = json.loads((tmp_path / "a" / "answers.json").read_text())
    assert [row["answer"] for row in rows] == [shown.answer for shown in verified_answers(model, plan, fluency=shorter)]
    monkeypatch.setattr(verified, "sample_answers", None)  # nothing is sampled again
    again = verified_round(model, demonstrations, tmp_path / "a", Nobody(), plan, fluency=shorter, threads=1)
    assert again.checkpoint == outcome.checkpoint


def test_a_follow_up_that_no_wording_of_the_split_fits_is_told_anew(demonstrations, monkeypatch):
    draws = []

    def drawn(kind, split, rng, **given):
        draws.append(given["story"])
        return None if len(draws) <= 3 else drawing.drawn(kind, split, rng, **given)

    monkeypatch.setattr("minillama.alignment.story_world.demonstrations.drawn", drawn)
    shown = demonstrations._follow_up(demonstrations.stories[0], np.random.default_rng(0))
    assert shown.request.kind == "follow-up"
    assert shown.request.name in shown.answer
    assert shown.dialogue[1]["content"] == draws[-1]
    assert len(set(draws)) > 1
