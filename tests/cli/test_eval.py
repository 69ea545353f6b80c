"""`minillama eval`: run, list and show, on the model and the stories that ship inside."""

import io
import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from minillama.cli.app import main
from minillama.cli.evaluation.progress import duration


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a command in this process; answers are kept in a folder of the test's own."""
    monkeypatch.setattr("minillama.files.home.cache_dir", lambda: tmp_path / "home")

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", "eval", *map(str, args)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return SimpleNamespace(code=stop.value.code, out=captured.out, err=captured.err)

    return run


def test_run_needs_nothing(run):
    result = run("run", "--no-hub")
    assert result.code == 0
    assert result.out.splitlines()[0].split()[:3] == ["task", "metric", "score"]
    assert "stories_cloze  acc" in result.out
    assert "64 items" in result.err  # what it costs, before it runs
    assert run("run", "--no-hub", "-q").err == ""


def test_results_go_to_a_folder(run, tmp_path):
    out = tmp_path / "run"
    assert "report.html" in run("run", "--limit", 8, "--out", out).err
    assert json.loads(next(out.glob("results_*.json")).read_text())["n-samples"]["stories_cloze"] == {
        "original": 64,
        "effective": 8,
    }
    again = run("run", "--limit", 8, "--out", out)
    assert again.code == 1
    assert "continue it with --resume, replace it with --force" in again.err
    other = run("run", "--limit", 9, "--out", out, "--resume")
    assert "asking.limit is 9 now and was 8" in other.err
    assert run("run", "--limit", 9, "--out", out, "--force").code == 0


def test_cost_alone_and_the_limit_for_an_interval(run):
    result = run("run", "--cost")
    assert (result.code, result.out) == (0, "")
    assert "tokens" in result.err
    suggested = run("run", "--interval", 3)
    assert suggested.out.startswith("--limit 1064: at most ± 3 points")
    assert "stories_cloze has 64 items: ± 11.9 points" in suggested.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--tasks", "arc_esy"], "did you mean arc_easy"),
        (["run", "--tasks", "arc_easy", "--no-hub"], "no documents of arc_easy (test)"),
        (["run", "--chat"], "leave out --chat"),
        (["run", "--limit", 0], "--limit"),
        (["run", "--interval", 50], "--interval"),
        (["run", "--data", "no-folder"], "no-folder is no folder"),
        (["show", "stories_cloze", "--data", "no-folder"], "no-folder is no folder"),
        (["list", "--data", "no-folder"], "no-folder is no folder"),
        (["run", "--resume"], "name its folder with --out"),
        (["run", "--fewshot", 2], "stories_cloze has no examples to show"),
        (["redteam", "--limit", 0], "--limit"),
        ([], "a command is missing"),
        (["run", "--out", "README.md"], "is a file"),
        (["show", "mmlu", 3], "mmlu stands for 57 tasks"),
        (["show", "stories_cloze", 64], "stories_cloze has 64 items"),
    ],
)
def test_errors_are_one_sentence(run, words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "README.md").write_text("text")
    result = run(*words)
    assert result.code in (1, 2)
    assert said in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_list(run, tmp_path):
    (tmp_path / "data" / "arc_easy").mkdir(parents=True)
    (tmp_path / "data" / "arc_easy" / "test.jsonl").write_text("{}\n")
    result = run("list", "--data", tmp_path / "data")
    lines = {line.split()[0]: line for line in result.out.splitlines() if line}
    assert str(tmp_path / "data") in lines["arc_easy"]
    assert "in the package" in lines["stories_cloze"]
    assert "Hub" in lines["piqa"]
    assert "llama2" in lines["triviaqa@llama2"]
    assert "57 tasks" in lines["mmlu"]
    assert "not here: SIQA, CommonsenseQA" in lines["commonsense"]
    assert "mmlu_anatomy" not in lines
    assert "mmlu_anatomy" in run("list", "--all").out


def test_show_marks_white_space_and_shows_tokens(run):
    result = run("show", "stories_cloze", 3)
    assert "The·room·was·dark.·Dad·turned·on·the\n" in result.out
    assert "  1  ·light.\n" in result.out
    assert "▁the⟨265⟩  |  ▁light⟨1375⟩ .⟨1996⟩   (10 + 2 tokens)" in result.out
    assert "the model's answers" not in result.out
    assert "tokens of stories3M" in result.err


def test_show_reads_no_weights_for_tokens(run, monkeypatch):
    monkeypatch.setattr("minillama.llm.LLM.__init__", lambda *_, **__: pytest.fail("a model was made"))
    assert run("show", "stories_cloze", 0, "--tokens-of", "stories3M").code == 0


def test_show_weighs_the_answers_of_a_model(run):
    out = run("show", "stories_cloze", 3, "--model", "stories3M").out
    rows = [line.split() for line in out.partition("the model's answers")[2].splitlines()[2:6]]
    assert [row[0] for row in rows] == ["0", "1", "2", "3"]
    assert rows[1][7:] == ["acc", "acc_norm", "acc_bytes"]
    for row in rows:
        assert float(row[5]) == pytest.approx(float(row[1]) / int(row[3]), abs=1e-4)
    assert "acc = 1.0" in out


def test_ctrl_c_keeps_what_is_answered_and_says_how_to_go_on(tmp_path):
    """Interrupted at the first progress; the command that is named finishes it."""
    code = (
        "import sys, minillama.cli.evaluation.progress as p, minillama.cli.app as a, contextlib\n"
        "@contextlib.contextmanager\n"
        "def shown(quiet):\n"
        "    def update(progress): raise KeyboardInterrupt\n"
        "    yield update\n"
        "p.shown_progress = shown\n"
        "a.main()\n"
    )
    words = ["eval", "run", "--no-hub", "--batch-size", "4", "--out", str(tmp_path / "run")]
    environment = {**os.environ, "MINILLAMA_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-W", "ignore", "-c", code, *words]
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert found.returncode == 130
    assert "what was answered is kept. Go on with: minillama eval run" in found.stderr
    assert found.stderr.strip().endswith("--resume")
    (kept,) = (tmp_path / "home" / "evaluation").glob("*.jsonl")
    assert kept.read_bytes().count(b"\n") > 0


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name != "posix", reason="signals of another kind")
def test_two_runs_with_the_same_model_do_not_mix(tmp_path, run):
    from minillama.files.lock import open_locked

    assert run("run", "-q").code == 0
    (lock,) = (tmp_path / "home" / "evaluation").glob("*.lock")
    with open_locked(lock, "is keeping answers of the same model"):
        result = run("run", "-q")
    assert result.code == 1
    assert "another process" in result.err


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.1, "1 s"), (89, "89 s"), (95, "2 min"), (5399, "90 min"), (7800, "2 h 10 min")]
)
def test_durations(seconds, said):
    assert duration(seconds) in (said, "1 h 30 min")
