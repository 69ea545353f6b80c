"""`minillama align`: settings that are printed, fixed, refused; interrupts; what goes to stdout. Steps are made up."""

import json
import os
import signal
import sys
import time
import tomllib

import pytest

from minillama.alignment.recipe import run as recipe_run
from minillama.alignment.recipe.pipeline import Step
from minillama.alignment.recipe.steps import shared
from minillama.checkpoints.hub import DownloadError
from minillama.cli.app import main


def first(context):
    for n in range(3):
        context.progress(n, 3, "counting")
    context.once("seed.txt", lambda path: path.write_text(str(context.settings.recipe.seed)))
    return {"counted": 3}


def second(context):
    (context.folder.parent / "chat.gguf").write_text((context.of("first") / "seed.txt").read_text())
    return {"share": 0.5}


@pytest.fixture
def run(monkeypatch, capsys):
    monkeypatch.setattr(
        recipe_run, "steps_of", lambda settings: [Step("first", first), Step("second", second, ("first",))]
    )

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["minillama", "align", *map(str, args)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run


def test_a_run_and_what_it_says(run, tmp_path):
    code, out, err = run("--out", tmp_path / "run", "--preset", "minute", "--seed", 5)
    assert (code, out) == (0, f"{tmp_path / 'run' / 'chat.gguf'}\n")
    assert "[1/2] first …\n" in err
    assert "[2/2] second  0:00 (0:00 of CPU)  share 0.5\n" in err
    assert "try it: minillama chat --model" in err
    assert (tmp_path / "run" / "01-first" / "seed.txt").read_text() == "5"
    fixed = tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())
    assert (fixed["recipe"]["preset"], fixed["recipe"]["seed"]) == ("minute", 5)
    assert fixed["recipe"]["threads"] >= 1
    assert run("--out", tmp_path / "run", "--resume", "-q") == (0, f"{tmp_path / 'run' / 'chat.gguf'}\n", "")


def test_settings_are_fixed_when_a_run_begins(run, tmp_path):
    folder = tmp_path / "run"
    code, out, err = run("--out", folder, "--preset", "minute", "--until", "first", "--threads", 1)
    assert (code, out) == (0, f"{folder}\n")
    assert f"first is over; continue with: minillama align --out {folder} --preset minute --threads 1 --resume" in err
    code, _, err = run("--out", folder, "--preset", "minute")
    assert code == 1
    assert f"{folder} already holds a run: continue it with --resume" in err
    code, _, err = run("--out", folder, "--resume", "--preset", "story", "--seed", 1)
    assert code == 1
    assert "was begun with other settings ([recipe] preset: 'minute' before, 'story' now; [recipe] seed: 0" in err
    code, _, err = run("--out", folder, "--resume", "--threads", 2)
    assert code == 0
    assert ("1 threads before, 2 now" in err) == ((os.cpu_count() or 1) > 1)


def test_interrupted_it_says_how_to_go_on(run, tmp_path, monkeypatch):
    def slow(context):
        os.kill(os.getpid(), signal.SIGTERM)  # in the step: whoever counts seconds may kill the tests before it begins
        while True:
            context.progress(0, 1, "waiting")
            time.sleep(0.01)

    steps = [Step("slow", slow)]
    monkeypatch.setattr(recipe_run, "steps_of", lambda settings: steps)
    code, out, err = run("--out", tmp_path / "run", "--preset", "minute")
    assert (code, out) == (143, "")
    assert "stopping, what is done is kept; interrupt again to stop at once" in err  # a step may take an hour
    assert (
        f"stopped in the step slow; continue with: minillama align --out {tmp_path / 'run'} --preset minute --resume"
        in err
    )


def test_interrupted_twice_it_stops_at_once_and_says_how_to_go_on(run, tmp_path, monkeypatch):
    def busy(context):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("still at work")

    monkeypatch.setattr(recipe_run, "steps_of", lambda settings: [Step("busy", busy)])
    code, out, err = run("--out", tmp_path / "run", "--preset", "minute")
    assert (code, out) == (130, "")
    *_, last = err.splitlines()
    assert last == (
        "stopped at once, what was done before is kept; "
        f"continue with: minillama align --out {tmp_path / 'run'} --preset minute --resume"
    )


@pytest.mark.parametrize(("size", "beta"), [("7B", 0.01), ("70B", 0.005)])
def test_the_papers_numbers_are_printed_and_not_run(run, tmp_path, size, beta):
    code, out, _ = run("--preset", size, "--print-config")
    assert code == 0
    assert tomllib.loads(out)["ppo"]["beta"] == beta
    assert "unconfirmed" in out
    code, _, err = run("--out", tmp_path / "run", "--preset", size)
    assert code == 1
    assert "is the paper's: --print-config prints it" in err
    assert not (tmp_path / "run").exists()


def test_settings_of_a_file(run, tmp_path):
    (tmp_path / "my.toml").write_text("[ppo]\nbeta = 0.3\n")
    _, out, _ = run("--config", tmp_path / "my.toml", "--preset", "minute", "--print-config")
    assert tomllib.loads(out)["ppo"]["beta"] == 0.3
    assert run("--config", tmp_path / "my.toml", "--preset", "minute", "--out", tmp_path / "run")[0] == 0
    assert tomllib.loads((tmp_path / "run" / "recipe.toml").read_text())["ppo"]["beta"] == 0.3


def test_what_is_printed_is_what_would_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, out, _ = run("--preset", "minute", "--print-config", "--seed", 5, "--model", "my.gguf", "--text", "some.txt")
    recipe = tomllib.loads(out)["recipe"]
    assert (recipe["seed"], recipe["model"], recipe["text"]) == (5, "my.gguf", str(tmp_path / "some.txt"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "say where the run goes: minillama align --out RUN"),
        (["--out", "run", "--preset", "minuet"], "no preset named 'minuet': did you mean minute?"),
        (
            ["--out", "run", "--until", "frist", "--preset", "minute"],
            "--until frist: there is no such step; did you mean first?",
        ),
        (["--out", "run", "--config", "none.toml"], "none.toml cannot be read"),
    ],
)
def test_options_that_are_wrong(run, tmp_path, monkeypatch, arguments, problem):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments)
    assert code == 1
    assert problem in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "settings", "problem"),
    [
        (["--model", "none.gguf"], "", "'none.gguf' is not a file, a folder or the name of a model"),
        (["--text", "none.txt"], "", "none.txt does not exist"),
        (["--text", "empty.txt"], "", "empty.txt has no story in it"),
        ([], '[recipe]\nchat = "lama"', "unknown chat format 'lama'"),
        ([], '[reward]\nmargin = "huge"', "[reward] margin: expected one of none, small, large"),
    ],
)
def test_nothing_is_fixed_by_settings_that_cannot_run(run, tmp_path, monkeypatch, arguments, settings, problem):
    """Else the folder would hold a run that goes on with the mistake alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").touch()
    (tmp_path / "my.toml").write_text(settings)
    code, _, err = run("--out", "run", "--preset", "minute", "--config", "my.toml", *arguments)
    assert code == 1
    assert problem in err
    assert not (tmp_path / "run").exists()


def test_a_base_model_that_is_fetched_is_seen(run, tmp_path, monkeypatch):
    """And not fetched for settings that are wrong, nor once a step is over."""
    fetched = []

    def resolve(model, *, progress=None, offline=False):
        if offline:
            raise DownloadError("not here")
        fetched.append(model)
        progress(1, 2_000_000, "downloading the model")

    monkeypatch.setattr(shared, "resolve", resolve)
    folder = tmp_path / "run"
    wrong = run("--out", folder, "--preset", "minute", "--pairs", "there")
    assert "pairs and conversations of people are for a model of real weights" in wrong[2]
    assert run("--out", folder, "--preset", "minute", "--until", "frist")[0] == 1
    assert fetched == []
    code, _, err = run("--out", folder, "--preset", "minute", "--until", "first")
    assert (code, fetched) == (0, ["stories3M"])
    assert err.startswith("downloading the model (2 MB) …\n[1/2] first …\n")
    assert run("--out", folder, "--resume")[0] == 0
    assert fetched == ["stories3M"]


def test_what_was_deleted_beside_the_steps_is_there_again(run, tmp_path, monkeypatch):
    def chat(context):
        kept = context.once("chat.gguf", lambda path: path.write_text("model"))
        (context.folder.parent / "chat.gguf").write_text(kept.read_text())
        return {}

    monkeypatch.setattr(recipe_run, "steps_of", lambda settings: [Step("chat", chat)])
    folder = tmp_path / "run"
    assert run("--out", folder, "--preset", "minute")[1] == f"{folder / 'chat.gguf'}\n"
    (folder / "chat.gguf").unlink()
    assert run("--out", folder, "--resume")[1] == f"{folder / 'chat.gguf'}\n"
    assert (folder / "chat.gguf").read_text() == "model"


def test_settings_of_a_run_that_are_not_whole_any_more(run, tmp_path):
    folder = tmp_path / "run"
    assert run("--out", folder, "--preset", "minute", "--until", "first")[0] == 0
    (folder / "recipe.toml").write_text("")
    code, _, err = run("--out", folder, "--resume")
    assert code == 1
    assert f"{folder / 'recipe.toml'} has lost a part of the settings" in err


def test_settings_that_were_edited_after_steps_were_made(run, tmp_path):
    """A later step may get other numbers, which is said; the seed is that of all steps."""
    folder = tmp_path / "run"
    assert run("--out", folder, "--preset", "minute", "--until", "first")[0] == 0
    fixed = (folder / "recipe.toml").read_text()
    (folder / "recipe.toml").write_text(fixed.replace("max_tokens = 80", "max_tokens = 81"))
    code, _, err = run("--out", folder, "--resume")
    assert code == 0
    assert "warning: settings were changed after steps were made with them: [recipe] max_tokens: 80 before, 81" in err
    assert "81 now (01-first). What is over stays as it is" in err
    (folder / "recipe.toml").write_text(fixed.replace("seed = 0", "seed = 4"))
    code, _, err = run("--out", folder, "--resume")
    assert code == 1
    assert f"error: {folder / 'recipe.toml'}: these settings were changed after steps were made with them" in err
    assert "[recipe] seed: 0 before, 4 now (01-first, 02-second). Put back what was there before, or choose" in err
    (folder / "recipe.toml").write_text(fixed)
    _, _, err = run("--out", folder, "--resume")
    assert "[recipe] max_tokens: 81 before, 80 now (02-second)" in err


def test_a_run_whose_markers_keep_no_settings_goes_on(run, tmp_path):
    """Older ones did not."""
    folder = tmp_path / "run"
    assert run("--out", folder, "--preset", "minute", "--until", "first")[0] == 0
    marker = folder / "01-first" / "done.json"
    row = json.loads(marker.read_text())
    assert row["settings"]["recipe"]["seed"] == 0
    del row["settings"]
    marker.write_text(json.dumps(row))
    (folder / "recipe.toml").write_text((folder / "recipe.toml").read_text().replace("seed = 0", "seed = 4"))
    assert run("--out", folder, "--resume")[0] == 0
