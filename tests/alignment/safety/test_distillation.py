"""Context distillation: what the safety model is shown, what is kept, what is learned."""

import json

import numpy as np
import pytest

from minillama.alignment.conversations import WeightedNextToken, conversation_of, rows_of
from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.rollouts import Answer
from minillama.alignment.safety import (
    KEPT,
    DistillationSettings,
    Learning,
    Outcome,
    chosen,
    distil,
    distillation,
    examples_of,
    learn_distilled,
    mixed,
    own_answers,
)
from minillama.alignment.safety.keeping import ALL_ADVERSARIAL, WITH_BENIGN, parts_of, parts_table
from minillama.alignment.safety.learning import first_weighted
from minillama.alignment.sft import FineTuningSettings

PREPROMPT = "You are a kind and gentle story teller."


@pytest.fixture(scope="module")
def model():
    return ChatModel.load("stories3M")


def asked(name, kind, text):
    return Prompt(name, ({"role": "user", "content": text},), kind)


PROMPTS = [
    asked("a0", "adversarial", "Tell me how Bob hurts the fox."),
    asked("a1", "adversarial", "Tell me how Ann kicks the dog."),
    asked("a2", "adversarial", "Tell me how Tom bites the cat."),
    asked("b0", "borderline", "Tell me how Tom burns the toast."),
]
OWN = {"a0": "Bob hurt the fox.", "a1": "Ann kicked the dog.", "a2": "Tom bit the cat.", "b0": "Tom burned the toast."}
KIND = {"a0": "Bob hugged the fox.", "a1": "Ann kicked the dog hard.", "a2": "Tom patted the", "b0": "Tom was nice."}


class Remembering:
    """Gives answers a number by a word in them, and remembers what it was shown."""

    def __init__(self, tokenizer):
        self.tokenizer, self.seen = tokenizer, []

    def scores(self, rows):
        self.seen += [self.tokenizer.decode(list(row)) for row in rows]
        return np.array([self._score(text) for text in self.seen[-len(rows) :]], np.float32)

    def _score(self, text):
        answer = text.partition("[/INST]")[2]
        return 2.0 if any(word in answer for word in ("hugged", "patted", "nice")) else -1.0 - ("hard" in answer)


@pytest.fixture
def sampled(monkeypatch):
    """What stands for sampling: the answers above, written without an end where the limit cut them."""
    calls = []

    def sample_answers(model, prompts, **options):
        calls.append(options)
        found = []
        for prompt in prompts:
            is_behind = prompt.dialogue[0]["role"] == "system"
            name = prompt.id.partition(" ")[0]
            text = (KIND if is_behind else OWN)[name]
            turn = {"role": "assistant", "content": text}
            whole = conversation_of([*prompt.dialogue, turn], model.chat, model.tokenizer)
            (span,) = whole.answers
            ids = whole.ids[span.start : span.stop].tolist()
            ended = text.endswith(".")
            ids = ids if ended else ids[:-1]
            before = tuple(whole.ids[: span.start].tolist())
            found.append([Answer(prompt.id, 0, before, tuple(ids), text, ended)])
        return found

    monkeypatch.setattr(distillation, "sample_answers", sample_answers)
    return calls


def test_both_answers_are_scored_without_the_preprompt(model, sampled, tmp_path):
    scorer = Remembering(model.tokenizer)
    rows = distil(model, PROMPTS, [PREPROMPT], scorer, folder=tmp_path)
    assert len(scorer.seen) == 2 * len(PROMPTS)
    assert not any("gentle" in text for text in scorer.seen)
    assert [row.own for row in rows] == list(OWN.values())
    assert [row.distilled for row in rows] == list(KIND.values())
    assert rows[0].own_safe == pytest.approx(1 / (1 + np.e))
    assert rows[0].distilled_safe == pytest.approx(1 / (1 + np.exp(-2.0)))
    # preferred, worse than its own, preferred but without an end, preferred
    assert [row.is_preferred for row in rows] == [True, False, False, True]
    lines = [json.loads(line) for line in (tmp_path / "distilled.jsonl").read_text().splitlines()]
    assert [line["preferred"] for line in lines] == [True, False, False, True]
    assert lines[0] | {"own": "Bob hurt the fox.", "preprompt": PREPROMPT, "prompt_id": "a0"} == lines[0]
    assert lines[0]["dialogue"] == list(PROMPTS[0].dialogue)


def test_variants_keep_what_they_say(model, sampled):
    rows = distil(model, PROMPTS, [PREPROMPT], Remembering(model.tokenizer))
    ids = lambda variant, **more: [row.prompt.id for row in chosen(rows, variant, **more)]
    assert ids(KEPT) == ["a0"]
    assert ids(KEPT, least=0.9) == []
    assert ids(ALL_ADVERSARIAL) == ["a0", "a1"]
    assert ids(WITH_BENIGN) == ["a0", "a1", "b0"]
    with pytest.raises(ValueError, match="kept, all adversarial"):
        chosen(rows, "all")


def test_what_is_learned_is_the_answer_after_the_plain_prompt(model, sampled):
    rows = chosen(distil(model, PROMPTS, [PREPROMPT], Remembering(model.tokenizer)))
    (example,) = examples_of(rows)
    turn = {"role": "assistant", "content": KIND["a0"]}
    whole = conversation_of([*PROMPTS[0].dialogue, turn], model.chat, model.tokenizer)
    np.testing.assert_array_equal(example.ids, whole.ids)
    (span,) = whole.answers
    np.testing.assert_array_equal(np.flatnonzero(example.weights), np.arange(span.start, span.stop))
    assert example.ids[-1] == model.tokenizer.eos_id


def test_the_answer_that_the_safety_model_likes_best_stands_for_several(model, sampled, monkeypatch):
    class Third:
        def scores(self, rows):
            scores = np.zeros(len(rows), np.float32)
            scores[len(PROMPTS) + 2 :: 3] = 1.0  # the third try of each prompt
            return scores

    tries = [f"You are kind {n}." for n in range(40)]
    draw = lambda prompt, rng: tries[int(rng.integers(40))]
    settings = DistillationSettings(per_prompt=3, seed=5)
    rows = distil(model, PROMPTS, draw, Third(), settings)
    rng = [np.random.default_rng([5, n]) for n in range(len(PROMPTS))]
    assert [row.preprompt for row in rows] == [[draw(None, one) for _ in range(3)][2] for one in rng]
    assert sampled[-1]["temperature"] == settings.temperature
    assert "per_prompt" not in sampled[-1]


def test_replay_is_balanced_by_the_kept(model, sampled):
    (kept,) = examples_of(chosen(distil(model, PROMPTS, [PREPROMPT], Remembering(model.tokenizer))))
    others = [kept._replace(ids=np.full(3, 100 + n)) for n in range(8)]
    replay = {"borderline": others[:3], "story": others[3:]}
    found = mixed([kept] * 4, replay, {"borderline": 1.0, "story": 0.5}, seed=1)
    counts = [sum(example.ids[0] == 100 + n for example in found) for n in range(8)]
    assert len(found) == 4 + 4 + 2
    assert sorted(counts[:3]) == [1, 1, 2]  # each once before one is taken twice
    assert sum(counts[3:]) == 2
    same = mixed([kept] * 4, replay, {"borderline": 1.0, "story": 0.5}, seed=1)
    assert all(a is b for a, b in zip(found, same))
    with pytest.raises(ValueError, match="nothing of the kind 'kind' to replay: found borderline, story"):
        mixed([kept], replay, {"kind": 1.0})
    assert mixed([], replay, {"borderline": 1.0}) == []


def test_a_judge_sees_afterwards_what_was_kept(model, sampled):
    adversarial = PROMPTS[:3]
    rows = distil(model, adversarial, [PREPROMPT], Remembering(model.tokenizer))
    hurts = ("hurt", "kicked", "bit")
    judge = lambda prompt, text: Outcome(any(word in text for word in hurts), "hugged" in text, None)
    parts = {part.name: part for part in parts_of(rows, chosen(rows), judge)}
    assert {name: part.n for name, part in parts.items()} == {
        "own answers": 3,
        "behind a pre-prompt": 3,
        "kept": 1,
        "dropped": 2,
    }
    assert (parts["own answers"].violations, parts["kept"].violations, parts["dropped"].violations) == (1, 0, 0.5)
    assert (parts["kept"].kind_turns, parts["dropped"].kind_turns) == (1, 0)
    assert "| kept | 1 | 0.0 % | 100.0 % | 0.881 |" in parts_table(parts.values())


def test_with_a_model_that_samples(model, tmp_path):
    class Longer:
        def scores(self, rows):
            return np.array([len(row) for row in rows], np.float32) - 40

    settings = DistillationSettings(max_tokens=4, seed=1)
    rows = distil(model, PROMPTS[:2], [PREPROMPT], Longer(), settings, folder=tmp_path)
    assert [row.prompt_ids for row in rows] == [tuple(model.encode(prompt.dialogue)) for prompt in PROMPTS[:2]]
    assert all(len(row.ids) == 4 and not row.ended for row in rows)
    assert chosen(rows, ALL_ADVERSARIAL) == []
    journal = tmp_path / "answers.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + 4
    journal.write_bytes(b"".join(lines[:3]) + lines[3][:20])  # what a kill leaves
    told = []
    more = {"folder": tmp_path, "progress": lambda done, total: told.append((done, total))}
    again = distil(model, PROMPTS[:2], [PREPROMPT], Longer(), settings, **more)
    assert again == rows
    assert told == [(3, 4), (4, 4)]
    assert sorted(journal.read_bytes().splitlines(keepends=True)) == sorted(lines)


class Quiet:
    def begin(self, step, steps):
        self.steps = steps

    def row(self, row):
        pass

    def note(self, text):
        pass


def test_learning_what_was_kept(model, sampled, tmp_path):
    """After it the kept answer is likelier after the plain prompt, and so is the replayed one."""
    rows = distil(model, PROMPTS, [PREPROMPT], Remembering(model.tokenizer))
    plain = distillation.sample_answers(model, PROMPTS)
    replay = own_answers(PROMPTS, plain, lambda prompt, answer: prompt.kind == "borderline")
    assert list(replay) == ["borderline"]
    learning = Learning(
        shares={"borderline": 2.0}, tuning=FineTuningSettings(peak=1e-3, epochs=4, tokens=512, checkpoint_every=0)
    )
    outcome = learn_distilled(model, rows, replay, tmp_path / "run", Quiet(), learning)
    tuned = ChatModel.load(outcome.checkpoint)

    def nats(one, example):
        return WeightedNextToken(one.config)(one.params, rows_of([example]))[0]["loss"]

    (kept,) = examples_of(chosen(rows))
    for example in (kept, replay["borderline"][0]):
        assert nats(tuned, example) < 0.8 * nats(model, example)
    with pytest.raises(ValueError, match=r"none of 4 distilled answers is kept \(kept\)"):
        learn_distilled(model, rows, replay, tmp_path / "other", Quiet(), Learning(least=0.99))


def test_the_first_tokens_of_an_answer_may_count_more(model, sampled):
    (example,) = examples_of(chosen(distil(model, PROMPTS, [PREPROMPT], Remembering(model.tokenizer))))
    found = first_weighted(example, 16.0)
    start = int(np.flatnonzero(example.weights)[0])
    assert model.tokenizer.decode(example.ids[start : start + 2].tolist()).strip() == "Bob hugged"
    np.testing.assert_array_equal(found.weights[start : start + 2], [16, 16])
    found.weights[start : start + 2] = 1
    np.testing.assert_array_equal(found.weights, example.weights)
