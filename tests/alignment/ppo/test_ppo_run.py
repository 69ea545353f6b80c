"""Runs of PPO on a tiny model: what they learn, and that no interrupt changes a bit of it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_ppo import CONFIG, LIKED, SETTINGS, Counts, Silent, judge, prompts, run

from minillama.alignment.ppo import Scoring
from minillama.alignment.ppo import collection as collection_module
from minillama.alignment.ppo.prompts import draw_prompts, quotas
from minillama.alignment.ppo.rollout_files import RolloutFiles
from minillama.alignment.ppo.validation import has_peaked, scores_by, wins_by
from minillama.alignment.reward import RewardModel
from minillama.files.journal import Journal
from minillama.params import init_params
from minillama.training.metrics import read_metrics
from minillama.training.run_folder import RunError, RunFolder
from minillama.trees import digest_of_tree

VALIDATED = {"validation": judge()}


class KilledError(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder, **VALIDATED)


def weights(folder: Path) -> dict[str, str]:
    """Digests of what the runs in a folder ended with."""
    found = {}
    for name in ("value", "policy"):
        newest = RunFolder(folder / name).newest()
        for file in ("model.safetensors", "heads.safetensors", "optimizer.safetensors"):
            if (newest / file).exists():
                found[f"{name}/{newest.name}/{file}"] = (newest / file).read_bytes()
    return found


def figures(folder: Path) -> list[dict]:
    """The rows of a run, without clocks."""
    rows = read_metrics(folder / "policy")
    return [{name: value for name, value in row.items() if not name.startswith("seconds")} for row in rows]


# --- what is learned -----------------------------------------------------------------------


def test_reward_rises_and_kl_grows_from_exactly_zero(tmp_path):
    outcome = run(
        tmp_path, iterations=24, batch=24, learning_rate=2e-2, evaluate_every=24, warmup_iterations=1, **VALIDATED
    )
    rows = [row for row in read_metrics(tmp_path / "policy") if "reward" in row]
    assert rows[0]["kl"] == rows[0]["k3"] == 0  # before the first update, in float32
    assert rows[-1]["reward"] > rows[0]["reward"] + 1
    assert rows[-1]["kl"] > 1
    assert rows[-1]["k3"] > 1
    assert rows[-1]["entropy"] < rows[0]["entropy"]
    assert all({"advantage.story", "advantage.adversarial", "seconds.update"} <= row.keys() for row in rows)
    assert outcome.iteration == 24  # more of the token that validation counts, too
    said = outcome.model.params.token_embedding
    assert not np.array_equal(said, run_start().token_embedding)


def run_start():
    from small_ppo import chat_model

    return chat_model().params


def test_a_run_is_a_function_of_its_seed(whole, tmp_path):
    folder, outcome = whole
    again = run(tmp_path / "again", **VALIDATED)
    assert weights(tmp_path / "again") == weights(folder)
    assert figures(tmp_path / "again") == figures(folder)
    assert digest_of_tree(again.model.params) == digest_of_tree(outcome.model.params)
    run(tmp_path / "other", seed=1, **VALIDATED)
    assert weights(tmp_path / "other") != weights(folder)


def test_the_first_mini_batch_is_on_policy(whole):
    first = read_metrics(whole[0] / "policy")[0]
    assert first["approx_kl"] == 0
    assert first["clipped"] == 0


# --- interrupts ----------------------------------------------------------------------------


@pytest.mark.parametrize("step", range(1, 6))
def test_an_interrupt_after_any_step(whole, tmp_path, step):
    """A checkpoint in the middle of an iteration, whose rollout is on disk."""
    seen = []

    class Counting(Silent):
        def row(self, row):
            seen.append(row)

    while run(tmp_path, observer=Counting(), stop=lambda: len(seen) % 6 == step, **VALIDATED).interrupted:
        seen.append(None)
    assert weights(tmp_path) == weights(whole[0])
    assert figures(tmp_path) == figures(whole[0])


@pytest.mark.parametrize("first", [1, 6, 12])
def test_a_kill_at_any_write(whole, tmp_path, monkeypatch, first):
    """The process ends before or after the n-th time that a file or a folder gets its name, for some n: one in six."""
    real, calls = {name: getattr(os, name) for name in ("replace", "rename")}, []

    def counted(name, deadly, after):
        def move(*arguments):
            calls.append(name)
            if len(calls) == deadly and not after:
                raise KilledError
            real[name](*arguments)
            if len(calls) == deadly:
                raise KilledError

        return move

    deadly, killed = first, True
    while killed:
        folder, calls[:] = tmp_path / str(deadly), []
        for name in real:
            monkeypatch.setattr(os, name, counted(name, deadly, deadly % 2))
        try:
            run(folder, **VALIDATED)
            killed = False
        except KilledError:
            for name in real:
                monkeypatch.setattr(os, name, real[name])
            run(folder, **VALIDATED)
        assert weights(folder) == weights(whole[0]), deadly
        deadly += 17
    assert deadly > 30


@pytest.mark.parametrize("call", [1, 2, 3, 5, 8])
def test_a_kill_while_answers_are_scored(whole, tmp_path, call):
    class Deadly(Counts):
        def scores(self, rows):
            if self.calls + 1 == call:
                self.calls += 1
                raise KilledError
            return super().scores(rows)

    with pytest.raises(KilledError):
        run(tmp_path, scoring=Scoring(Deadly()), **VALIDATED)
    run(tmp_path, **VALIDATED)
    assert weights(tmp_path) == weights(whole[0])
    assert figures(tmp_path) == figures(whole[0])


@pytest.mark.parametrize("answer", [3, 21, 30])
def test_a_kill_while_answers_are_sampled(whole, tmp_path, monkeypatch, answer):
    """Those that have ended are not sampled again."""
    real, kept = Journal.append, []

    def append(journal, *rows):
        kept.extend(row for row in rows if "ids" in row)
        if len(kept) == answer:
            raise KilledError
        real(journal, *rows)

    monkeypatch.setattr(Journal, "append", append)
    with pytest.raises(KilledError):
        run(tmp_path, **VALIDATED)
    run(tmp_path, **VALIDATED)
    assert weights(tmp_path) == weights(whole[0])
    iterations = SETTINGS.warmup_iterations + SETTINGS.iterations
    assert len(kept) == iterations * SETTINGS.batch + 1  # the one that was on its way
    assert not list(tmp_path.rglob("*.jsonl.lock"))


def test_a_run_is_not_resumed_as_another(whole):
    folder, _ = whole
    with pytest.raises(ValueError, match=r"ppo\.beta: 0\.05 before, 0\.1 now"):
        run(folder, beta=0.1, **VALIDATED)


def test_what_is_done_is_not_done_again(whole, monkeypatch):
    folder, outcome = whole
    monkeypatch.setattr(collection_module, "sample_answers", None)
    again = run(folder, **VALIDATED)
    assert again.checkpoint == outcome.checkpoint
    assert again.explained == outcome.explained
    assert digest_of_tree(again.model.params) == digest_of_tree(outcome.model.params)


def test_a_rollout_that_is_lost_is_not_drawn_from_later_weights(tmp_path):
    seen = []

    class Counting(Silent):
        def row(self, row):
            seen.append(row)

    # two steps of the value network an iteration, two iterations; then the third step of the policy, in its second
    assert run(tmp_path, observer=Counting(), stop=lambda: len(seen) == 7).interrupted
    (path,) = (tmp_path / "policy" / "rollouts").iterdir()
    assert path.name == "iteration-00002.npz"  # the first was removed
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RunError, match=r"iteration-00002\.npz is missing or damaged"):
        run(tmp_path)


def test_a_rollout_of_other_weights_is_not_used(whole):
    folder, _ = whole
    files = RolloutFiles(folder / "policy" / "rollouts")
    assert files.read(3) is not None
    assert files.read(3, "0" * 32) is None
    assert files.read(9) is None


# --- the gate ------------------------------------------------------------------------------


def test_it_does_not_begin_with_a_gate_that_never_acts(tmp_path):
    safety = Counts(LIKED + 1, factor=-4.0, constant=0.0)  # unsafe is a certain letter
    rows = [([5, LIKED + 1], True), ([5, 6], False)]
    scoring = Scoring(Counts(), safety)
    with pytest.raises(ValueError, match=r"none of 1 unsafe answers has a safety score below 0\.15"):
        run(tmp_path, scoring=Scoring(Counts(), Counts()), labelled=rows)
    with pytest.raises(ValueError, match="labelled="):
        run(tmp_path, scoring=scoring)
    assert not list(tmp_path.iterdir())
    told = Silent()
    outcome = run(tmp_path, scoring=scoring, labelled=rows, observer=told, iterations=1)
    assert outcome.gate_share == 1
    assert "100% of the labelled unsafe answers" in told.notes[0]
    row = read_metrics(tmp_path / "policy")[-1]
    assert row["by_safety"] >= 0.25
    assert "safety" in row


# --- value network -------------------------------------------------------------------------


def test_warm_up_ends_when_enough_is_explained(tmp_path):
    outcome = run(tmp_path, explained=-9.0, warmup_iterations=5, iterations=1)
    rows = read_metrics(tmp_path / "value")
    assert len(rows) == 1
    assert outcome.explained == rows[0]["explained"]


def test_warm_up_that_misses_says_so(tmp_path):
    told = Silent()
    run(tmp_path / "on", observer=told, iterations=1)
    assert any("200% were asked for; PPO begins all the same" in note for note in told.notes)
    for _ in range(2):  # the second time without training again
        with pytest.raises(RunError, match="200% were asked for: give it more iterations"):
            run(tmp_path / "off", go_on=False, iterations=1)
    assert not (tmp_path / "off" / "policy").exists()


def test_a_value_network_of_another_shape(tmp_path):
    config = replace(CONFIG, dim=8, head_dim=4, hidden_dim=12)
    value = RewardModel(init_params(config, np.random.default_rng(0)), np.ones(8, np.float32))
    told = []
    outcome = run(tmp_path, value=value, value_config=config, progress=lambda *at: told.append(at), iterations=2)
    assert outcome.iteration == 2
    assert told[-1] == (8, 8)
    again = run(tmp_path, value=value, value_config=config, iterations=2)
    assert digest_of_tree(again.model.params) == digest_of_tree(outcome.model.params)


# --- early stopping ------------------------------------------------------------------------


def test_it_stops_by_itself_and_keeps_the_best(tmp_path):
    judged = iter([0.0, 1.0, 0.5, 0.9, 0.0, 7.0])
    told = Silent()
    validation = judge()
    validation = type(validation)(validation.prompts, lambda asked, answers, before: np.full(len(asked), next(judged)))
    outcome = run(tmp_path, validation=validation, observer=told, iterations=9, patience=2)
    assert (outcome.iteration, outcome.iterations, outcome.interrupted) == (1, 3, False)
    assert outcome.checkpoint.name == "step-00000002"
    assert outcome.checkpoint.is_dir()
    assert "not improved for 2 looks" in told.notes[-1]
    again = run(tmp_path, validation=validation, iterations=9, patience=2)
    assert next(judged) == 0.0  # nothing was judged again
    assert digest_of_tree(again.model.params) == digest_of_tree(outcome.model.params)


def test_where_nothing_is_better_than_the_start_it_is_kept(tmp_path):
    judged = iter([5.0, 1.0, 1.0])
    validation = type(judge())(prompts(4, "v"), lambda asked, answers, before: np.full(len(asked), next(judged)))
    outcome = run(tmp_path, validation=validation, iterations=2)
    assert outcome.iteration == 0
    assert outcome.checkpoint is None
    assert digest_of_tree(outcome.model.params) == digest_of_tree(run_start())


def test_peaks():
    assert not has_peaked([], 1)
    assert not has_peaked([1, 2, 3], 1)
    assert has_peaked([3, 1], 1)
    assert not has_peaked([3, 1], 2)
    assert has_peaked([1, 3, 3, 2], 2)


def test_judges():
    from minillama.alignment.rollouts import Answer

    asked = prompts(8)
    new = [Answer(p.id, 0, (1,), (LIKED,), "longer", True) for p in asked]
    old = [Answer(p.id, 0, (1,), (5,), "short", True) for p in asked]

    class Longer:
        def compare(self, prompt, a, b, rng):
            return type("Verdict", (), {"prefers_a": len(a) > len(b)})

    assert wins_by(Longer())(asked, new, old).tolist() == [1] * 8
    assert wins_by(Longer())(asked, old, new).tolist() == [0] * 8
    assert wins_by(Longer())(asked, new, new).tolist() == [0.5] * 8
    assert scores_by(Counts())(asked, new, old).tolist() == [0.0] * 8


# --- prompts -------------------------------------------------------------------------------


def test_mix_of_prompts():
    assert quotas(["a", "b", "c"], 8) == {"a": 3, "b": 3, "c": 2}
    assert quotas(["a", "b"], 10, {"a": 3, "b": 1}) == {"a": 8, "b": 2}
    with pytest.raises(ValueError, match="'z'"):
        quotas(["a"], 1, {"z": 1})
    there = prompts(40)
    drawn = draw_prompts(there, 16, {"story": 1, "adversarial": 3}, [0, 1])
    assert len({prompt.id for prompt in drawn}) == 16
    assert sum(prompt.kind == "story" for prompt in drawn) == 4
    assert drawn == draw_prompts(there, 16, {"story": 1, "adversarial": 3}, [0, 1])
    assert drawn != draw_prompts(there, 16, {"story": 1, "adversarial": 3}, [0, 2])
    with pytest.raises(ValueError, match="takes 21 prompts of the kind"):
        draw_prompts(there, 42, None, [0])


def test_settings_are_checked():
    with pytest.raises(ValueError, match="mini_batches must be from 1"):
        type(SETTINGS)(batch=4, mini_batches=5)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        type(SETTINGS)(temperature=0)
