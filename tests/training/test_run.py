"""A training run: it learns, continues bit for bit, and stops before anything bad is saved."""

import errno
import importlib
import json
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from tiny_run import go, kept, record, sentences, stop_at, tiny_tokenizer, write_config

import minillama
from minillama.checkpoints.loading import load_checkpoint
from minillama.checkpoints.native import read_native
from minillama.data.shards.reading import write_shards
from minillama.tokenizers import save_tokenizer
from minillama.training import functions
from minillama.training import metrics as metrics_module
from minillama.training.curves import can_plot, draw_curves, smooth
from minillama.training.gradients import loss_and_gradients
from minillama.training.memory import check_memory
from minillama.training.pretraining import COLUMNS, prepare
from minillama.training.run_folder import RunError, RunFolder
from minillama.training.settings_toml import read_settings
from minillama.training.trainer import DivergedError
from minillama.trees import map_tree, named_leaves


@pytest.fixture(scope="module")
def config(data):
    return write_config(data)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory):
    """A run of 20 steps that nobody disturbed."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    watcher = go(config, run)[1]
    return run, watcher


# --- an undisturbed run ------------------------------------------------------------------


def test_it_learns_and_says_so(whole):
    run, watcher = whole
    losses = [row["loss"] for row in watcher.rows]
    assert losses[0] == pytest.approx(np.log(tiny_tokenizer().vocab_size), rel=0.02)
    assert losses[-1] < losses[0] - 0.3
    validated = [row["step"] for row in watcher.rows if "validation_loss" in row]
    assert validated == [5, 10, 15, 20]
    assert watcher.began == (0, 20)
    assert watcher.rows[-1]["tokens"] == 20 * 4 * 24
    assert kept(run) == ["step-00000020"]


def test_figures_of_validation(whole, data):
    """Loss, perplexity and bits per byte, counted afresh from the checkpoint and the texts."""
    run, watcher = whole
    checkpoint = read_native(run / "checkpoints" / "step-00000020")
    tokenizer, total, count, n_bytes = tiny_tokenizer(), 0.0, 0, 0
    for text in sentences(8, seed=2):
        ids = tokenizer.encode(text)[:25]
        tokens, targets = np.array([ids[:-1]]), np.array([ids[1:]])
        loss, _ = loss_and_gradients(checkpoint.params, checkpoint.config, tokens, targets)
        total, count = total + loss * len(ids[1:]), count + len(ids[1:])
        n_bytes += len(tokenizer.decode(ids).encode())
    row = watcher.rows[-1]
    assert row["validation_loss"] == pytest.approx(total / count, rel=1e-5)
    assert row["perplexity"] == pytest.approx(np.exp(total / count), rel=1e-5)
    assert row["bits_per_byte"] == pytest.approx(total / np.log(2) / n_bytes, rel=1e-5)


def test_metrics_and_samples(whole):
    run, watcher = whole
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows == watcher.rows
    assert [list(row) for row in rows if row["step"] % 5 == 0] == [list(COLUMNS)] * 4
    lines = (run / "metrics.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[5].split(",") == [repr(value) for value in rows[4].values()]
    samples = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    assert [(s["step"], s["prompt"]) for s in samples] == [(n, p) for n in (10, 20) for p in ("the cat", "sun")]
    text = (run / "samples.md").read_text()
    assert text.count("### Step 20") == 2
    assert "> **the cat**" in text


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_run_twice_gives_the_same_bytes(config, tmp_path, threads):
    if threads > (os.cpu_count() or 1):
        pytest.skip("one core")
    go(config, tmp_path / "a", threads=threads)
    go(config, tmp_path / "b", threads=threads)
    assert record(tmp_path / "a") == record(tmp_path / "b")


@pytest.mark.parametrize("more", ["recompute = true", "[optimizer]\nclip_norm = 0.0"])
def test_options_that_reach_the_mathematics(data, whole, tmp_path, more):
    watcher = go(write_config(data, more=more, name="more"), tmp_path / "run")[1]
    losses = [row["loss"] for row in watcher.rows]
    expected = [row["loss"] for row in whole[1].rows]
    assert losses[0] == pytest.approx(expected[0], rel=1e-6)
    same = losses == pytest.approx(expected, rel=1e-4)
    clipped = any(row["gradient_norm"] > 1 for row in whole[1].rows)
    assert same == ("recompute" in more or not clipped)


def test_parts_of_a_batch_give_the_batch(data, whole, tmp_path):
    path = write_config(data, name="parts")
    path.write_text(path.read_text().replace("batch_size = 4", "batch_size = 4\nmicro_batches = 3"))
    watcher = go(path, tmp_path / "run")[1]
    expected = [row["loss"] for row in whole[1].rows]
    assert [row["loss"] for row in watcher.rows] == pytest.approx(expected, rel=1e-3)


def test_untied_models_and_runs_without_validation(data, tmp_path):
    path = write_config(data, tied=False, name="bare")
    path.write_text(path.read_text().replace('validation = "valid"\n', ""))
    outcome, watcher = go(path, tmp_path / "run")
    assert all("validation_loss" not in row for row in watcher.rows)
    assert read_native(outcome.checkpoint).params.output is not None
    assert load_checkpoint(tmp_path / "run").path == outcome.checkpoint  # the newest: none is known as the best


# --- continuing --------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 7, 19])
def test_resuming_is_bit_for_bit(config, whole, tmp_path, n):
    run = tmp_path / "run"
    outcome, _ = go(config, run, stop=stop_at(n))
    assert (outcome.step, outcome.interrupted, outcome.checkpoint.name) == (n, True, f"step-{n:08d}")
    outcome, watcher = go(config, run, resume=True)
    assert (outcome.step, outcome.interrupted, watcher.began) == (20, False, (n, 20))
    assert record(run) == record(whole[0])


def test_many_interrupts(config, whole, tmp_path):
    run, outcome = tmp_path / "run", None
    while outcome is None or outcome.interrupted:
        outcome, _ = go(config, run, resume=True, stop=stop_at(3))
    assert record(run) == record(whole[0])


def test_a_run_in_two_parts_by_steps(config, whole, tmp_path):
    run = tmp_path / "run"
    assert go(config, run, steps=8)[0].step == 8
    outcome, watcher = go(config, run, resume=True, steps=8)
    assert (outcome.step, watcher.rows, watcher.notes) == (8, [], ["step 8 of 8 is done; --steps N continues"])
    go(config, run, resume=True)
    rows = lambda path: record(path)["metrics"]
    assert [row["loss"] for row in rows(run)] == [row["loss"] for row in rows(whole[0])]
    weights = "model.safetensors"
    assert record(run)[weights] == record(whole[0])[weights]


def test_a_longer_run_goes_on_at_the_final_rate(config, tmp_path):
    run = tmp_path / "run"
    go(config, run)
    watcher = go(config, run, resume=True, steps=22)[1]
    assert [row["learning_rate"] for row in watcher.rows] == pytest.approx([5e-4, 5e-4])


def test_moved_data_may_be_renamed_but_not_changed(data, config, whole, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(data, moved)
    run = tmp_path / "run"
    go(config, run, stop=stop_at(6))
    go(moved / config.name, run, resume=True, stop=stop_at(3))
    shutil.rmtree(moved / "more")
    write_shards(sentences(20, seed=77), tiny_tokenizer(), moved / "more")
    with pytest.raises(RunError, match="the data of source more is not what this run began with"):
        go(moved / config.name, run, resume=True)
    go(config, run, resume=True)
    assert record(run) == record(whole[0])


def test_changed_settings_are_named(config, data, tmp_path):
    run = tmp_path / "run"
    go(config, run, steps=5)
    changed = write_config(data, name="changed")
    changed.write_text(changed.read_text().replace("dim = 16", "dim = 24").replace("seed = 3", "seed = 4"))
    with pytest.raises(ValueError, match=r"model.dim: 16 before, 24 now; .*data.seed: 3 before, 4 now"):
        go(changed, run, resume=True)
    (run / "config.toml").unlink()  # then the checkpoint itself knows
    with pytest.raises(RunError, match="made with other settings"):
        go(changed, run, resume=True)


def test_another_number_of_threads_is_said(config, tmp_path):
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core")
    run = tmp_path / "run"
    go(config, run, steps=5)
    assert "1 threads before, 2 now" in go(config, run, resume=True, steps=6, threads=2)[1].notes[0]
    assert go(config, run, resume=True, steps=7, threads=None)[1].notes == []


def test_another_process_and_another_run_are_respected(config, whole, tmp_path):
    with pytest.raises(RunError, match="already holds a run"):
        go(config, whole[0])
    folder = RunFolder(tmp_path / "run")
    with folder.lock(), pytest.raises(RunError, match="another process"):
        go(config, tmp_path / "run")


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "training.json", "minillama.json"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_taken(config, whole, tmp_path, name):
    run = tmp_path / "run"
    go(config, run, steps=10)
    shutil.copytree(run / "checkpoints" / "step-00000010", tmp_path / "ten")
    go(config, run, resume=True, steps=12)
    shutil.copytree(tmp_path / "ten", run / "checkpoints" / "step-00000010", dirs_exist_ok=True)
    broken = run / "checkpoints" / "step-00000012"
    (broken / name).write_bytes((broken / name).read_bytes()[:-30])
    with pytest.raises(RunError, match=r"damaged: delete .*step-00000012, and --resume takes the one before"):
        go(config, run, resume=True)
    shutil.rmtree(broken)
    assert go(config, run, resume=True)[1].began == (10, 20)
    assert record(run)["model.safetensors"] == record(whole[0])["model.safetensors"]


# --- which checkpoint stands for a run ---------------------------------------------------


def test_the_best_checkpoint_stands_for_the_run(config, tmp_path):
    losses = iter([3.0, 1.0, 2.0, 1.0])  # at steps 5, 10, 15 and 20
    judge = lambda stage: setattr(stage, "evaluate", lambda model, workers: {"validation_loss": next(losses)})
    run = tmp_path / "run"
    rows = go(config, run, change=judge)[1].rows
    assert [row["validation_loss"] for row in rows if "validation_loss" in row] == [3.0, 1.0, 2.0, 1.0]
    assert kept(run) == ["step-00000010", "step-00000020"]
    assert load_checkpoint(run).path.name == "step-00000010"
    assert load_checkpoint(run / "checkpoints" / "step-00000020").path.name == "step-00000020"
    state = json.loads((run / "checkpoints" / "step-00000020" / "training.json").read_text())
    assert (state["best_step"], state["best_loss"]) == (10, 1.0)


# --- guards ------------------------------------------------------------------------------


def spoiled(at, change):
    """The usual objective, whose gradients `change` spoils at one step."""

    def change_stage(stage):
        usual, calls = stage.objective, 0

        def objective(model, batch, ops):
            nonlocal calls
            calls += 1
            found = usual(model, batch, ops)
            return change(*found) if calls == at else found

        stage.objective = objective

    return change_stage


def spoil(name, value):
    def change(sums, gradients):
        array = dict(named_leaves(gradients))[name]
        array.reshape(-1)[3] = value
        return sums, gradients

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil("layers.1.w_up", np.nan), r"layers\.1\.w_up is the first tensor .*\(1 have one\)"),
        (spoil("final_norm", np.inf), r"gradient norm inf: final_norm is the first tensor"),
        (
            lambda sums, gradients: ({**sums, "loss": float("nan")}, gradients),
            r"the loss is nan .*every gradient is finite",
        ),
        (
            lambda sums, gradients: (sums, map_tree(lambda g: g * np.float32(1e4), gradients)),
            r"norm at step 13 is .*above \[run\] gradient_norm_limit 500",
        ),
    ],
)
def test_a_run_that_diverges_stops_before_the_update(data, whole, tmp_path, change, message):
    path = write_config(data, more="gradient_norm_limit = 500", name="limit")
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match=message) as stop:
        go(path, run, change=spoiled(13, change), resume_command="RESUME")
    assert "step 13" in str(stop.value)
    assert "The last checkpoint is step-00000010; to continue from there: RESUME" in str(stop.value)
    assert kept(run)[-1] == "step-00000010"
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 12
    go(path, run, resume=True)  # had it been the hardware: nothing bad is left
    assert record(run)["model.safetensors"] == record(whole[0])["model.safetensors"]


def test_parameters_that_are_not_finite_are_not_saved(config, tmp_path, monkeypatch):
    class Bad(functions.AdamW):
        def update(self, gradients, learning_rate, scale=1.0, **more):
            super().update(gradients, learning_rate, scale)
            if self.n_steps == 7:
                self.params.layers[0].wq[0, 0] = np.inf

    monkeypatch.setattr(functions, "AdamW", Bad)
    judge = lambda stage: setattr(stage, "evaluate", lambda model, workers: {"validation_loss": 1.0})
    run = tmp_path / "run"
    with pytest.raises(DivergedError, match=r"after step 7 layers\.0\.wq is not finite any more"):
        go(config, run, change=judge, stop=stop_at(7))
    assert kept(run) == ["step-00000005"]


# --- a disk that is full -----------------------------------------------------------------


@contextmanager
def full_disk_at(n):
    """The n-th call that writes, and all after it, fail as they do on a full disk."""
    left = n
    places = [(os, "fsync"), (os, "mkdir"), (os, "replace"), (metrics_module, "_write")]
    originals = [getattr(module, name) for module, name in places]

    def failing(function):
        def call(*args, **kwargs):
            nonlocal left
            left -= 1
            if left <= 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return call

    for (module, name), original in zip(places, originals):
        setattr(module, name, failing(original))
    try:
        yield lambda: left <= 0
    finally:
        for (module, name), original in zip(places, originals):
            setattr(module, name, original)


def test_a_full_disk_at_any_write(data, tmp_path):
    config = write_config(data, steps=5, checkpoint_every=5, name="full")
    go(config, tmp_path / "whole")
    expected, n = record(tmp_path / "whole"), 0
    while True:
        n += 1
        run = tmp_path / f"at{n}"
        run.mkdir()
        with full_disk_at(n) as is_full:
            error = None
            try:
                go(config, run, resume_command="RESUME")
            except RunError as found:
                error = str(found)
            if not is_full():
                break
        assert error is not None, f"write {n}: nobody was told"
        assert "No space left on device" in error
        assert "continue with: RESUME" in error
        for folder in (run, run / "checkpoints"):
            left = [name for name in os.listdir(folder) if name.startswith(".")] if folder.is_dir() else []
            assert left in ([], [".lock"]), f"write {n}: {left}"
        go(config, run, resume=True)
        assert record(run) == expected, f"write {n}"
    assert error is None
    assert n > 25


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
@pytest.mark.parametrize("limit", [600, 3000, 20_000])
def test_a_real_limit_on_the_size_of_files(config, whole, tmp_path, limit):
    """The operating system refuses to write beyond a size: rows, a small file, the weights."""
    import resource

    run = tmp_path / "run"
    go(config, run, steps=2)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(RunError, match=r"File too large.*The checkpoint step-00000002 is whole"):
            go(config, run, resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert kept(run) == ["step-00000002"]
    go(config, run, resume=True)
    assert record(run)["model.safetensors"] == record(whole[0])["model.safetensors"]


# --- a vocabulary larger than the tokenizer's -------------------------------------------


def test_rows_that_stand_for_no_token_are_never_chosen(data, tmp_path):
    """A vocabulary padded by 64: in the samples of the run, and by whoever loads it."""
    n_ids, path, run = tiny_tokenizer().vocab_size, write_config(data, name="padded", steps=5), tmp_path / "run"
    text = path.read_text().replace("dim = 16\n", f"dim = 16\nvocab_size = {n_ids + 64}\n")
    path.write_text(text.replace("sample_every = 10", "sample_every = 1\ntemperature = 1.0\ntop_p = 1.0"))
    watcher = go(path, run)[1]
    assert watcher.notes == [f"[model] vocab_size {n_ids + 64}: 64 more than the tokenizer's tokens"]
    samples = [json.loads(line)["text"] for line in (run / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 10
    assert all(samples)
    llm = minillama.load(run)
    options = {"max_tokens": 50, "temperature": 1.0, "top_p": 1.0}
    found = [llm.generate("the cat", seed=seed, **options) for seed in range(4)]
    found += llm.generate_batch(["the cat", "sun"] * 2, seed=7, **options)
    assert all(id_ < n_ids for one in found for id_ in one.ids)
    assert sum(len(one.ids) for one in found) > 100, "too few to tell: 64 of all ids would come up by chance"


# --- data, memory, curves ----------------------------------------------------------------


def test_data_of_another_tokenizer(data, tmp_path):
    path = write_config(data, name="other")
    shutil.copytree(data / "tokenizer", tmp_path / "tokenizer")
    other = tiny_tokenizer()
    other.pieces[-1], other.scores[-1] = "q", -99.0
    save_tokenizer(other, tmp_path / "tokenizer")
    path.write_text(path.read_text().replace('"tokenizer"', json.dumps(str(tmp_path / "tokenizer"))))
    with pytest.raises(ValueError, match=r"\(source train\) was written with another tokenizer"):
        prepare(read_settings(path))


def test_a_model_larger_than_the_machine(config, monkeypatch):
    pattern = prepare(read_settings(config)).pattern()
    check_memory(pattern, 2)
    monkeypatch.setattr("minillama.training.memory.physical_memory", lambda: 50_000)
    with pytest.raises(RunError, match=r"parameters with their moments and the gradients of 2 threads take 0\.0 GB"):
        check_memory(pattern, 2)


def test_curves(whole, tmp_path):
    if not can_plot():
        pytest.skip("needs matplotlib")
    run = tmp_path / "run"
    shutil.copytree(whole[0], run)
    path = draw_curves(run, clip_norm=1.0, title="tiny")
    image = importlib.import_module("matplotlib.image").imread(path)
    assert image.shape[0] > 500
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 20
    assert [name for name in os.listdir(run) if name.endswith(".part")] == []


def test_curves_without_matplotlib(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not can_plot()
    with pytest.raises(ValueError, match="pip install matplotlib"):
        draw_curves(Path(whole[0]))


def test_smoothing_keeps_a_line_and_the_ends():
    line = np.arange(1000.0)
    np.testing.assert_allclose(smooth(line), line)
    noisy = line + np.where(np.arange(1000) % 2, 5.0, -5.0)
    assert np.abs(smooth(noisy) - line)[20:-20].max() < 0.6
    np.testing.assert_allclose(smooth(np.array([3.0])), [3.0])
