"""Rounds in files: the same bytes however often they are stopped, and what pooling keeps from being forgotten."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import minillama
from minillama.alignment.conversations import answered, answers_learned, conversation_of, digest_of
from minillama.alignment.models import ChatModel, Prompt
from minillama.alignment.rejection_sampling import RejectionSettings, rejection_round, rewards_of, tuned_from
from minillama.alignment.rollouts import answer_logprobs
from minillama.alignment.sft import FineTuningSettings
from minillama.config import ModelConfig
from minillama.inference.chat import Llama2Chat, recorded
from minillama.params import init_params
from minillama.trees import map_tree

SETTINGS = RejectionSettings(samples=3, temperatures=(0.8, 1.2), max_tokens=6, seed=4)
TUNING = FineTuningSettings(peak=1e-2, final_fraction=0.0, epochs=2, tokens=120, checkpoint_every=2)


class Nobody:
    def begin(self, step, steps): ...

    def note(self, text): ...

    def row(self, row): ...


class LikesHighIds:
    def __init__(self, factor=1):
        self.factor = factor

    def scores(self, rows):
        return np.array([self.factor * np.mean(row[-6:]) for row in rows])


def make_model():
    tokenizer, chat = minillama.load("stories3M").tokenizer, Llama2Chat()
    config = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=2048, max_seq_len=64)
    return ChatModel(init_params(config, np.random.default_rng(0)), config, recorded(chat, tokenizer), chat)


def make_prompts(names, kind="p"):
    return [Prompt(f"{kind}-{name}", ({"role": "user", "content": f"Tell me about {name}."},)) for name in names]


REWARDS = rewards_of(LikesHighIds())
PROMPTS, MORE = make_prompts(["Tom", "a cat", "the sea"]), make_prompts(["a cat", "a dog"])
VALIDATION = make_prompts(["Ben", "Sue"], "v")


def replay_of(model):
    dialogue = [{"role": "user", "content": "Who are you?"}, {"role": "assistant", "content": "I am Pip."}]
    return [answers_learned(conversation_of(dialogue, model.chat, model.tokenizer))]


def both_rounds(folder, model, progress=None):
    """With another model after each round, which depends on what was chosen."""

    def tune(examples, here):
        rng = np.random.default_rng(int(digest_of(examples)[:8], 16))
        return replace(
            model, params=map_tree(lambda a: a * rng.uniform(0.9, 1.1, a.shape).astype(a.dtype), model.params)
        )

    options, rewards = {"validation": VALIDATION, "replay": replay_of(model), "progress": progress}, REWARDS
    one = rejection_round(folder, 1, model, PROMPTS, rewards, tune, SETTINGS, **options)
    return one, rejection_round(folder, 2, one.model, MORE, rewards, tune, SETTINGS, **options)


def files_of(folder):
    """Their lines: journals have answers in the order in which they ended."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): sorted(path.read_bytes().splitlines())
        for path in names
        if "lock" not in path.name
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, *both_rounds(folder, make_model())


def test_two_rounds(whole):
    folder, one, two = whole
    assert one.temperature in (0.8, 1.2)
    assert [row["temperature"] for row in one.table] == [0.8, 1.2]
    assert len(one.candidates) == 9
    assert len(two.candidates) == 15
    assert [c.prompt_id for c in one.pool] == ["p-Tom", "p-a cat", "p-the sea"]
    assert {c.prompt_id for c in two.pool} == {"p-Tom", "p-a cat", "p-the sea", "p-a dog"}
    for pool, candidates in ((one.pool, one.candidates), (two.pool, two.candidates)):
        for best in pool:
            assert best.reward == max(c.reward for c in candidates if c.prompt_id == best.prompt_id)
    assert two.candidates[:9] == one.candidates
    assert one.candidates[3:6] != [replace(c, round=1) for c in two.candidates[9:12]]  # another policy and seed
    assert one.model.digest != two.model.digest != make_model().digest
    assert one.figures["chosen_reward"] > one.figures["mean_reward"]
    assert (folder / "round-02" / "pool.jsonl").exists()


def test_again_from_the_files(whole):
    """Nothing is sampled or trained once more."""
    folder, one, two = whole
    before = files_of(folder)
    again = both_rounds(folder, make_model(), progress=lambda *_: pytest.fail("sampled again"))
    assert [(o.pool, o.temperature, o.model.digest, o.figures) for o in again] == [
        (o.pool, o.temperature, o.model.digest, o.figures) for o in (one, two)
    ]
    assert files_of(folder) == before


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_rounds import both_rounds, make_model
n = 0
def kill(what, done, of):
    global n
    n += 1
    if n == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
both_rounds(Path(sys.argv[1]), make_model(), progress=kill)
"""


@pytest.mark.parametrize("moment", [5, 14, 21, 25])
def test_kill_9_changes_nothing(whole, tmp_path, moment):
    """While validation prompts are answered, in the midst of a round's answers, and in the second round."""
    run = [sys.executable, "-c", KILLED, str(tmp_path / "out"), str(moment), os.path.dirname(__file__)]
    (tmp_path / "out").mkdir()
    assert subprocess.run(run, check=False, env=os.environ).returncode == -signal.SIGKILL
    both_rounds(tmp_path / "out", make_model())
    assert files_of(tmp_path / "out") == files_of(whole[0])


@pytest.mark.parametrize("lost", ["temperatures.json", "candidates.jsonl", "pool.jsonl"])
def test_any_file_can_be_the_last_one(whole, tmp_path, lost):
    """Stopped right before a file of the second round was there."""
    out = tmp_path / "out"
    shutil.copytree(whole[0], out)
    names = ["temperatures.json", "candidates.jsonl", "pool.jsonl"]
    for name in names[names.index(lost) :]:
        (out / "round-02" / name).unlink()
    both_rounds(out, make_model())
    assert files_of(out) == files_of(whole[0])


def test_the_fine_tuning_of_a_round(tmp_path):
    """A run in the round's folder: it learns the pool, and is not repeated."""
    model, settings = make_model(), replace(SETTINGS, temperatures=(1.0,))
    tune = tuned_from(model, TUNING, Nobody())
    options = {"replay": replay_of(model)}
    found = rejection_round(tmp_path, 1, model, PROMPTS, REWARDS, tune, settings, **options)
    conversations = [answered(one.prompt, one.ids) for one in found.pool]
    before, after = (answer_logprobs(m.params, m.config, conversations) for m in (model, found.model))
    assert sum(map(np.sum, after)) > sum(map(np.sum, before)) + 1
    assert found.model.encode(PROMPTS[0].dialogue) == model.encode(PROMPTS[0].dialogue)
    again = rejection_round(tmp_path, 1, model, PROMPTS, REWARDS, tune, settings, **options)
    assert again.model.digest == found.model.digest


def test_without_pooling_a_round_forgets_the_others(whole, tmp_path):
    folder, one, two = whole
    shutil.copytree(folder / "round-01", tmp_path / "round-01")
    learned = []
    tune = lambda examples, here: learned.append(examples) or one.model
    settings = replace(SETTINGS, pooled=False)
    options = {"validation": VALIDATION, "replay": replay_of(make_model())}
    alone = rejection_round(tmp_path, 2, one.model, MORE, REWARDS, tune, settings, **options)
    assert [(c.prompt_id, c.round) for c in alone.pool] == [("p-a cat", 2), ("p-a dog", 2)]
    assert alone.candidates == two.candidates
    assert len(learned[0]) == len(alone.pool) + 1
    np.testing.assert_array_equal(learned[0][0].ids, alone.pool[0].example.ids)


def test_refreshed_reward_models_judge_earlier_candidates_too(whole, tmp_path):
    folder, one, _ = whole
    shutil.copytree(folder / "round-01", tmp_path / "round-01")
    tune = lambda examples, here: one.model
    other = rewards_of(LikesHighIds(-2))
    options = {"validation": VALIDATION, "replay": replay_of(make_model()), "rewards_name": "refreshed"}
    found = rejection_round(
        tmp_path, 2, one.model, MORE, other, tune, replace(SETTINGS, temperatures=(1.0,)), **options
    )
    assert [c.reward for c in found.candidates[:9]] == [-2 * c.reward for c in one.candidates]
    assert found.pool[0].reward == max(c.reward for c in found.candidates if c.prompt_id == "p-Tom")


def test_what_does_not_fit_is_refused(whole, tmp_path):
    folder, one, _ = whole
    tune, rewards = (lambda examples, here: one.model), REWARDS
    single = replace(SETTINGS, temperatures=(1.0,))
    with pytest.raises(ValueError, match="was begun with other prompts, validation, replay: give it those"):
        rejection_round(folder, 1, make_model(), MORE, rewards, tune, SETTINGS)
    with pytest.raises(ValueError, match="round 3 goes on from round 2, which is not in"):
        rejection_round(tmp_path, 3, one.model, PROMPTS, rewards, tune, single)
    with pytest.raises(ValueError, match="chosen on validation prompts"):
        rejection_round(tmp_path, 1, one.model, PROMPTS, rewards, tune, SETTINGS)
    with pytest.raises(ValueError, match="the prompt p-Tom is there twice"):
        rejection_round(tmp_path, 1, one.model, PROMPTS * 2, rewards, tune, single)
    other = [Prompt("p-Tom", ({"role": "user", "content": "Something else"},))]
    with pytest.raises(ValueError, match="p-Tom was another one in an earlier round"):
        rejection_round(folder, 2, one.model, other, rewards, tune, single)
    with pytest.raises(ValueError, match="no answer of round 1 may be kept"):
        rejection_round(tmp_path / "k", 1, make_model(), PROMPTS, rewards, tune, single, keep=lambda p, a: False)
    with pytest.raises(ValueError, match="counted from 1"):
        rejection_round(tmp_path, 0, one.model, PROMPTS, rewards, tune, single)
