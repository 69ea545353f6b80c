"""Fine-tuning as a run: it learns, survives kill -9 with the same bytes, and saves a model that chats."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest

import minillama
from minillama.alignment.conversations import Example, answers_learned, conversation_of, rows_of
from minillama.alignment.example_sources import Drawn, Passes, evenly
from minillama.alignment.models import ChatModel
from minillama.alignment.sft import PAPER, SMOLLM2, STORY, FineTuning, FineTuningSettings, fine_tune, passes_of
from minillama.checkpoints.native import read_native
from minillama.config import ModelConfig
from minillama.inference.chat import JinjaChat, Llama2Chat, recorded
from minillama.params import init_params
from minillama.training.gradients import next_token_sums
from minillama.training.run_folder import RunError
from minillama.training.schedule import Schedule

SETTINGS = FineTuningSettings(peak=1e-2, final_fraction=0.0, epochs=12, tokens=120, checkpoint_every=4, seed=3)


class Nobody:
    def __init__(self, kill_at=None):
        self.rows, self.kill_at = [], kill_at

    def begin(self, step, steps): ...

    def note(self, text): ...

    def row(self, row):
        self.rows.append(row)
        if row["step"] == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def model():
    """A tiny model with the tokenizer that ships."""
    tokenizer, chat = minillama.load("stories3M").tokenizer, Llama2Chat()
    config = ModelConfig(dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=2048, max_seq_len=64)
    params = init_params(config, np.random.default_rng(0))
    return ChatModel(params, config, recorded(chat, tokenizer), chat)


@pytest.fixture(scope="module")
def examples(model):
    asked = ["Who are you?", "Tell me a story.", "What do you like?", "Say yes.", "Where is the cat?"]
    told = ["I am Pip.", "Tom ran to the park. The end.", "I like to swim and run.", "Yes!", "The cat is at home."]
    dialogues = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in zip(asked, told)]
    return [answers_learned(conversation_of(d, model.chat, model.tokenizer)) for d in dialogues]


def files_of(run):
    newest = max((run / "checkpoints").iterdir())
    return {path.name: path.read_bytes() for path in newest.iterdir() if path.name != "training.json"}


@pytest.fixture(scope="module")
def whole(model, examples, tmp_path_factory):
    run, watcher = tmp_path_factory.mktemp("sft") / "whole", Nobody()
    outcome = fine_tune(model, examples, run, watcher, SETTINGS, held_out=examples[:2], threads=1)
    return run, outcome, watcher.rows


def test_it_learns_what_it_is_shown(whole, model, examples):
    _, outcome, rows = whole
    assert rows[0]["loss"] == pytest.approx(np.log(2048), rel=0.02)
    assert rows[-1]["loss"] < 0.7 * rows[0]["loss"]
    assert rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)
    assert rows[-1]["step"] == outcome.step == passes_of(examples, SETTINGS).n_steps
    passed = sum(row["learned"] for row in rows)
    assert passed == 12 * sum(e.n_learned for e in examples)
    assert all(row["loss"] == pytest.approx(row["nats"]) for row in rows)  # every weight is 1
    assert all(set(row) <= set(FineTuning.columns) for row in rows)


def test_the_validation_loss_is_nats_a_learned_token(whole, examples):
    checkpoint, total = read_native(whole[1].checkpoint), {"loss": 0.0, "count": 0.0}
    for example in examples[:2]:
        rows = rows_of([example])
        for name, value in next_token_sums(checkpoint.params, checkpoint.config, rows.tokens, rows.targets).items():
            total[name] += value
    assert whole[2][-1]["validation_loss"] == pytest.approx(total["loss"] / total["count"], rel=1e-5)


def test_the_saved_model_chats_in_its_format(whole, model):
    llm = minillama.load(whole[0])
    dialogue = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say yes."}]
    template = llm.chat_template()
    assert isinstance(template, JinjaChat)
    assert template.encode(dialogue, llm.tokenizer) == Llama2Chat().encode(dialogue, llm.tokenizer)
    assert llm.chat(dialogue, max_tokens=4, seed=0).ids
    loaded = ChatModel.load(whole[1].checkpoint)
    assert loaded.tokenizer.chat_template == Llama2Chat.source
    assert loaded.digest != model.digest
    assert ChatModel.load(whole[1].checkpoint, chat=None).encode(dialogue) == loaded.encode(dialogue)


@pytest.mark.parametrize("moment", [1, 4, 7, 11])
def test_kill_9_and_resume_end_with_the_same_bytes(whole, model, examples, tmp_path, moment):
    options = {"held_out": examples[:2], "threads": 1}
    child = os.fork()
    if not child:
        try:
            fine_tune(model, examples, tmp_path / "run", Nobody(kill_at=moment), SETTINGS, **options)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    watcher = Nobody()
    fine_tune(model, examples, tmp_path / "run", watcher, SETTINGS, **options)
    assert watcher.rows[0]["step"] == (moment - 1) // 4 * 4 + 1
    assert files_of(tmp_path / "run") == files_of(whole[0])


def test_a_run_is_bound_to_its_examples_model_and_settings(whole, model, examples, tmp_path):
    run = tmp_path / "run"
    stopping = {"threads": 1, "stop": lambda: True}
    fine_tune(model, examples, run, Nobody(), SETTINGS, **stopping)
    with pytest.raises(RunError, match="the data of examples"):
        fine_tune(model, examples[::-1], run, Nobody(), SETTINGS, **stopping)
    with pytest.raises(RunError, match="the data of first model"):
        fine_tune(ChatModel.load(whole[0]), examples, run, Nobody(), SETTINGS, **stopping)
    with pytest.raises(ValueError, match=r"sft\.tokens: 120 before, 121 now"):
        fine_tune(model, examples, run, Nobody(), replace(SETTINGS, tokens=121), **stopping)
    fine_tune(model, examples, run, Nobody(), replace(SETTINGS, checkpoint_every=7), **stopping)


def test_two_threads_learn_the_same(whole, model, examples, tmp_path):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    watcher = Nobody()
    fine_tune(model, examples, tmp_path / "run", watcher, SETTINGS, threads=2)
    expected = [row["loss"] for row in whole[2]]
    assert [row["loss"] for row in watcher.rows[:8]] == pytest.approx(expected[:8], rel=1e-3)


# --- sources and presets ------------------------------------------------------------------


def test_packed_passes_hold_every_learned_token_once(examples):
    source = Passes(examples, epochs=2, rows=2, length=16, seed=1)
    learned = [sum(e.n_learned for e in source.examples(step + 1)) for step in range(source.n_steps)]
    assert sum(learned) == 2 * sum(e.n_learned for e in examples)
    n_rows = -(-(sum(len(e.ids) for e in examples) - 1) // 16)
    assert source.n_steps == 2 * -(-n_rows // 2)
    first, second = source.examples(1)[0].ids.tolist(), source.examples(source.n_steps // 2 + 1)[0].ids.tolist()
    assert first != second
    with pytest.raises(ValueError, match="nothing to learn"):
        Passes([Example(np.arange(3), np.zeros(3, np.float32))], epochs=1)


def test_drawn_examples_are_a_function_of_the_step(model):
    def draw(pool):
        rng = np.random.default_rng([7, pool])
        return [
            Example(rng.integers(3, 99, n), np.r_[0, np.ones(n - 1)].astype(np.float32))
            for n in rng.integers(5, 60, 100)
        ]

    source = Drawn(draw, steps=8, seed=1)
    whole = [source.examples(step) for step in range(1, 25)]
    for step in (24, 3, 9, 1):
        for a, b in zip(whole[step - 1], Drawn(draw, steps=8, seed=1).examples(step), strict=True):
            np.testing.assert_array_equal(a.ids, b.ids)
    assert [sum(len(step) for step in whole[i : i + 8]) for i in (0, 8, 16)] == [100] * 3
    sizes = [sum(len(e.ids) for e in step) for step in whole]
    assert max(sizes) < 1.35 * min(sizes)
    padding = [1 - sum(len(e.ids) for e in step) / (len(step) * max(len(e.ids) for e in step)) for step in whole]
    assert np.mean(padding) < 0.12
    with pytest.raises(ValueError, match="say how many steps"):
        FineTuning(model, source, STORY)
    assert FineTuning(model, source, STORY, steps=9).settings.run.steps == 9
    with pytest.raises(ValueError, match="draw more"):
        evenly(draw(0)[:3], 4, np.random.default_rng(0))
    assert [len(step) for step in evenly(draw(0)[:4], 4, np.random.default_rng(0))] == [1] * 4


def test_presets_say_what_the_paper_says(model, examples):
    assert (PAPER.peak, PAPER.epochs, PAPER.rows, PAPER.length, PAPER.weight_decay) == (2e-5, 2, 64, 4096, 0.1)
    assert PAPER.tokens is None
    for preset in (PAPER, STORY, SMOLLM2):
        stage = FineTuning(model, passes_of(examples * 40, preset), preset)
        schedule, optimizer = stage.settings.schedule, stage.settings.optimizer
        assert (optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.clip_norm) == (0.9, 0.95, 1e-5, 1.0)
        steps = stage.settings.run.steps
        assert schedule.warmup_steps == min(steps - 1, max(5, round(0.03 * steps)))
        rate = Schedule(schedule.peak, schedule.warmup_steps, schedule.total_steps, schedule.final_fraction)
        assert rate(steps) == pytest.approx(preset.peak * preset.final_fraction)
