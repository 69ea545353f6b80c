"""The real steps, with counts so small that nothing is learned: all of them, and killed on the way."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_pipeline import Quiet

from minillama.alignment.models import ChatModel
from minillama.alignment.recipe.pipeline import RecipeFolder
from minillama.alignment.recipe.run import chosen_settings, run_recipe
from minillama.alignment.recipe.settings import PRESETS
from minillama.alignment.recipe.worlds import steps_of

TINY = Path(__file__).with_name("tiny.toml")


@pytest.mark.parametrize("name", ["minute", "story"])
def test_the_steps_of_a_preset(name):
    steps = [step.name for step in steps_of(PRESETS[name].settings)]
    assert steps[:8] == [
        "stories", "sft", "verified", "verified-2", "preferences", "reward-helpful", "reward-safety", "distillation",
    ]  # fmt: skip
    assert steps[8:13] == ["rejection-1", "rejection-2", "preferences-2", "reward-helpful-2", "reward-safety-2"]
    assert steps[-4:] == ["ppo", "ghost-attention", "chat", "report"]


def test_the_report_measures_reward_models_on_the_pairs_of_every_policy():
    """The newest one says hardly anything unsafe."""
    *_, last = steps_of(PRESETS["story"].settings)
    assert {"preferences", "preferences-2"} <= set(last.inputs)


@pytest.mark.slow
def test_every_step_and_the_model_as_a_file(tmp_path):
    folder = RecipeFolder(tmp_path / "run")
    settings = chosen_settings(folder, preset="minute", config=TINY, seed=3)
    ended = run_recipe(folder, settings, Quiet())
    assert (ended.step, ended.interrupted) == ("report", False)
    steps = steps_of(settings)
    assert [path.name for path in sorted(folder.path.iterdir()) if path.is_dir()] == [
        f"{n:02}-{step.name}" for n, step in enumerate(steps, 1)
    ]
    page = folder.file("report.html").read_text(encoding="utf-8")
    for text in ("What each stage changed", "Win rates", "RS 1", "Reward models", "Side by side", "01-stories"):
        assert text in page
    asked = [{"role": "system", "content": "Your name is Pip."}, {"role": "user", "content": "What is your name?"}]
    kept = ChatModel.load(folder.step(len(steps) - 2, "ghost-attention") / "model", "llama-2")
    inside = ChatModel.load(folder.file("chat.gguf"), None)  # with the chat format that the file brings
    assert inside.encode(asked) == kept.encode(asked)
    assert inside.stop_ids == kept.stop_ids


@pytest.mark.slow
def test_killed_in_its_steps_it_ends_with_the_same_models(tmp_path):
    settings = ["--preset", "minute", "--config", str(TINY), "--until", "reward-helpful"]
    command = [sys.executable, "-m", "minillama", "align", *settings, "-q", "--resume"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    killed = tmp_path / "killed"
    for step, seconds in (("01-stories", 0.5), ("02-sft", 1.0), ("04-preferences", 0.3), ("05-reward-helpful", 0.1)):
        process = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL)
        while process.poll() is None and not (killed / step).exists():
            time.sleep(0.01)
        time.sleep(seconds)
        process.kill()
        process.wait()
    subprocess.run([*command, "--out", str(killed)], check=True, stdout=subprocess.DEVNULL)
    assert digests(killed) == digests(tmp_path / "whole")
    assert list(killed.rglob(".part*")) == []


def digests(run):
    files = [
        p for p in sorted(run.rglob("*")) if p.suffix == ".safetensors" or p.name in ("kept.jsonl", "helpful.jsonl")
    ]
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
