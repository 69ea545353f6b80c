"""`minillama train` as a person uses it: messages, exit codes, Ctrl-C, kills, and models that others can open."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_run import kept, record, write_config

from minillama.cli.app import main

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return Result(stop.value.code, captured.out, captured.err)

    return run


@pytest.fixture(scope="module")
def config(data):
    return write_config(data, more="log_every = 4")


@pytest.fixture(scope="module")
def trained(config, tmp_path_factory):
    """A finished run of 20 steps, made by the command in a process of its own."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    process = command(config, "--out", out, "--threads", 1)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    return out, stdout, stderr


def command(*args):
    words = [sys.executable, "-m", "minillama", "train", *map(str, args)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


# --- what a person sees ------------------------------------------------------------------


def test_lines_and_result(trained):
    out, stdout, stderr = trained
    assert stdout == f"{out / 'checkpoints' / 'step-00000020'}\n"
    lines = [line for line in stderr.splitlines() if re.match(r"step +\d+/20 ", line)]
    assert [int(line.split("/")[0].removeprefix("step")) for line in lines] == [1, 4, 8, 12, 16, 20]
    for line in lines:
        assert re.search(r"loss \d\.\d{4}  lr \d\.\de-\d\d  norm \d+\.\d\d  [\d,]+ tokens/s  \d:\d\d left$", line)
    assert (
        len(re.findall(r"^step +\d+  validation loss [\d.]+  perplexity [\d.]+  [\d.]+ bits per byte$", stderr, re.M))
        == 4
    )
    assert f"minillama generate --model {out}" in stderr
    assert (out / "curves.png").is_file()


def test_quiet(run, config, tmp_path):
    result = run("train", config, "--out", tmp_path / "run", "--steps", 3, "-q", "--threads", 1)
    assert (result.code, result.err) == (0, "")


def test_the_default_folder(run, config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", config, "--steps", 2, "-q").code == 0
    assert (tmp_path / "runs" / "tiny" / "config.toml").is_file()


def test_a_terminal_has_a_bar(config, tmp_path):
    pty = pytest.importorskip("pty")
    words = [sys.executable, "-m", "minillama", "train", config, "--out", tmp_path / "run", "--steps", "12"]
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        list(map(str, words)),
        stdout=subprocess.PIPE,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        shown += piece
    process.communicate()
    os.close(leader)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert "━" in text
    assert re.search(r"12/12 .*loss \d\.\d{4}  lr \d\.\de-\d\d .*tokens/s  0:00 left", text)
    assert "validation loss" in text


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "give CONFIG.toml to train"),
        (["--resume"], "give CONFIG.toml to train"),
        (["--out", "nowhere", "--resume"], "nowhere holds no run that could be resumed"),
        (["none.toml"], "none.toml cannot be read: No such file"),
        (["--preset", "7B"], "a preset does not say where the data is: minillama train --preset 7B --print-config"),
        (["--preset", "8B", "--print-config"], "no preset named '8B'"),
        (["--print-config"], "presets: 7B, 13B"),
    ],
)
def test_what_is_missing_is_said(run, args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("train", *args)
    assert (result.code, result.out) == (1, "")
    assert message in result.err
    assert os.listdir(tmp_path) == []


def test_errors_name_file_and_key(run, config, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(config.read_text().replace("batch_size", "batchsize"))
    result = run("train", bad, "--out", tmp_path / "run")
    assert result.code == 1
    assert "bad.toml: [data] batchsize is not a setting: did you mean batch_size" in result.err
    assert not (tmp_path / "run").exists()
    bad.write_text(config.read_text())  # its paths start at another folder
    result = run("train", bad, "--out", tmp_path / "run")
    assert (result.code, "tokenizer" in result.err) == (1, True)
    assert not (tmp_path / "run").exists()


def test_an_older_run_is_never_overwritten(run, config, trained):
    before = record(trained[0])
    result = run("train", config, "--out", trained[0])
    assert result.code == 1
    assert "already holds a run: continue it with --resume" in result.err
    changed = config.with_name("changed.toml")
    changed.write_text(config.read_text().replace("peak = 5e-3", "peak = 1e-3"))
    result = run("train", changed, "--out", trained[0], "--resume")
    assert "schedule.peak: 0.005 before, 0.001 now" in result.err
    assert record(trained[0]) == before


def test_presets_print_settings_that_are_read(run, data, tmp_path):
    printed = run("train", "--preset", "smoke", "--print-config")
    assert (printed.code, printed.err) == (0, "")
    path = data / "smoke.toml"
    path.write_text(printed.out.replace("data/", ""))
    result = run("train", path, "--out", tmp_path / "run", "--steps", 2, "-q")
    assert (result.code, result.err) == (0, "")
    shown = run("train", path, "--print-config")
    assert 'tokenizer = "tokenizer"' in shown.out
    assert "total_steps = 0" in shown.out


def test_resuming_without_a_settings_file(run, config, trained, tmp_path):
    out = tmp_path / "run"
    assert run("train", config, "--out", out, "--steps", 7, "-q", "--threads", 1).code == 0
    result = run("train", "--out", out, "--resume")
    assert result.code == 0
    assert "continuing after step 7" in result.err
    assert record(out)["model.safetensors"] == record(trained[0])["model.safetensors"]


def test_a_run_that_diverges_ends_with_1(run, config, tmp_path, monkeypatch):
    from minillama.training import functions

    monkeypatch.setattr(functions, "global_norm", lambda gradients: float("nan"))
    result = run("train", config, "--out", tmp_path / "run")
    assert result.code == 1
    assert "at step 1 the loss is" in result.err
    assert "Lower [schedule] peak" in result.err
    assert not list((tmp_path / "run").glob("checkpoints/step-*"))


def test_without_matplotlib_the_run_is_as_good(run, config, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = run("train", config, "--out", tmp_path / "run", "--steps", 2)
    assert (result.code, result.out) == (0, f"{tmp_path / 'run' / 'checkpoints' / 'step-00000002'}\n")
    assert "no curves were drawn: curves are drawn by matplotlib, which is missing" in result.err


# --- stopped by force --------------------------------------------------------------------


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_save_and_say_how_to_go_on(data, tmp_path, number, code):
    config = write_config(data, steps=100_000, checkpoint_every=0, name=f"long{code}")
    out = tmp_path / "run"
    process = command(config, "--out", out, "--threads", 1)
    wait_for_rows(out, process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert "stopping after this step; interrupt again to stop at once" in stderr
    step = len((out / "metrics.jsonl").read_text().splitlines())
    assert f"stopped after step {step}, saved {out / 'checkpoints' / f'step-{step:08d}'}" in stderr
    assert f"continue with: minillama train {config} --out {out} --resume" in stderr
    assert kept(out) == [f"step-{step:08d}"]
    process = command(config, "--out", out, "--resume", "--steps", step + 2)
    assert process.communicate(timeout=60)[1].count("continuing after step") == 1
    assert process.returncode == 0


def wait_for_rows(out, process, n_bytes=1000):
    metrics = out / "metrics.jsonl"
    while not metrics.exists() or metrics.stat().st_size < n_bytes:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@POSIX
def test_killed_at_random_moments(tmp_path):
    from kill_and_resume import kill_at_random

    found = kill_at_random(tmp_path, kills=4, seed=5, threads=1)
    assert found["differences"] == []
    assert found["kills"] == 4


@POSIX
@pytest.mark.slow
def test_killed_at_every_change_of_the_disk(tmp_path):
    """In a process of its own: it forks, which one with threads must not."""
    script = Path(__file__).parents[2] / "benchmarks" / "kill_and_resume.py"
    found = subprocess.run([sys.executable, script, "--at-every-write"], capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    n = int(re.search(r"killed at each of (\d+) changes: every run ended with the same bytes", found.stdout)[1])
    assert n > 80


# --- what others make of it --------------------------------------------------------------


def test_generate_from_the_run_and_from_a_checkpoint(run, trained):
    greedy = ["-t", 0, "-n", 12, "-q", "--prompt", "the cat"]
    from_run = run("generate", "--model", trained[0], *greedy)
    assert from_run.code == 0
    assert len(from_run.out.strip()) > 0
    assert run("generate", "--model", trained[0] / "checkpoints" / "step-00000020", *greedy).out == from_run.out
    assert "minillama v1" in run("info", trained[0]).out


@pytest.mark.parametrize("target", ["out.gguf", "out.bin", "folder"])
def test_converted_models_write_the_same(run, trained, tmp_path, target):
    options = ["--format", "huggingface"] if target == "folder" else []
    result = run("convert", trained[0], tmp_path / target, *options)
    assert result.code == 0, result.err
    tokenizer = ["--tokenizer", tmp_path / "out.tokenizer.bin"] if target == "out.bin" else []
    greedy = ["-t", 0, "-n", 20, "-q", "--prompt", "the cat"]
    converted = run("generate", "--model", tmp_path / target, *tokenizer, *greedy)
    assert converted.out == run("generate", "--model", trained[0], *greedy).out


def test_transformers_reads_the_exported_model(run, trained, tmp_path):
    """Logits, greedy ids and ids of a text, from the Hugging Face folder and from the GGUF file."""
    import sentencepiece
    import torch
    import transformers

    import minillama

    ours = minillama.load(trained[0], exact=True)
    ids = ours.tokenizer.encode("the cat sees a big red house")
    expected = ours.logits(ids)
    greedy = ours.generate("the cat", temperature=0, max_tokens=15).ids
    assert run("convert", trained[0], tmp_path / "hf", "--format", "huggingface").code == 0
    assert run("convert", trained[0], tmp_path / "model.gguf").code == 0
    for options in (
        {"pretrained_model_name_or_path": tmp_path / "hf"},
        {"pretrained_model_name_or_path": tmp_path, "gguf_file": "model.gguf"},
    ):
        theirs = transformers.LlamaForCausalLM.from_pretrained(dtype=torch.float32, **options).eval()
        with torch.no_grad():
            logits = theirs(torch.tensor([ids])).logits[0].numpy()
            prompt = torch.tensor([ours.tokenizer.encode("the cat")])
            out = theirs.generate(prompt, max_new_tokens=15, do_sample=False, pad_token_id=0, eos_token_id=2)
        np.testing.assert_allclose(logits, expected, atol=2e-5)
        continued = out[0, prompt.shape[1] :].tolist()
        assert continued[: len(greedy)] == greedy
    # the file that transformers makes its tokenizer of
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "hf" / "tokenizer.model"))
    assert [processor.bos_id(), *processor.encode("the cat sees a big red house")] == ids


def test_the_gguf_library_reads_the_export(run, trained, tmp_path):
    import gguf

    assert run("convert", trained[0], tmp_path / "model.gguf").code == 0
    reader = gguf.GGUFReader(tmp_path / "model.gguf")
    assert reader.fields["general.architecture"].contents() == "llama"
    assert reader.fields["llama.block_count"].contents() == 2
    weights = {tensor.name: tensor.data for tensor in reader.tensors}
    import minillama

    np.testing.assert_array_equal(weights["blk.1.ffn_up.weight"], minillama.load(trained[0]).params.layers[1].w_up)


def test_training_json_says_what_resuming_needs(trained):
    state = json.loads((trained[0] / "checkpoints" / "step-00000020" / "training.json").read_text())
    assert (state["step"], state["n_steps"], state["threads"], state["best_step"]) == (20, 20, 1, 20)
    assert state["best_loss"] == state["validation_loss"]
    assert len(state["settings"]) == 64
    assert set(state["data"]) == {"source train", "source more", "validation"}
