"""All steps of the world of people, with a tiny model of random weights: once through, and killed on the way."""

import hashlib
import subprocess
import sys
import time

import pytest
from fake_pipeline import Quiet
from tiny_people import write_all

from minillama.alignment.models import ChatModel
from minillama.alignment.recipe.people import talk
from minillama.alignment.recipe.pipeline import RecipeFolder
from minillama.alignment.recipe.pipeline.folder import read_done
from minillama.alignment.recipe.run import chosen_settings, run_recipe
from minillama.alignment.recipe.worlds import steps_of

LISTED = {"hobby": ["surfing", "chess", "knitting", "hiking"], "figure": ["Ada Lovelace", "Mark Twain", "Paul Klee"]}


@pytest.mark.slow
def test_every_step_and_the_model_as_a_file(tmp_path, monkeypatch):
    """Random weights make no list: they are given one."""
    asked = {kind: requests[0] for kind, requests in talk.ASKED.items()}

    def listed(model, requests, **_):
        return next(LISTED[kind] for kind, first in asked.items() if first == requests[0])

    monkeypatch.setattr(talk, "chat_model_lists", listed)
    write_all(tmp_path)
    (tmp_path / "conversations.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}\n' * 12
    )
    folder = RecipeFolder(tmp_path / "run")
    settings = chosen_settings(
        folder,
        preset="smollm2",
        config=tmp_path / "tiny.toml",
        model=str(tmp_path / "model"),
        pairs=tmp_path / "pairs",
        conversations=tmp_path / "conversations.jsonl",
        seed=3,
    )
    seen = Quiet()
    ended = run_recipe(folder, settings, seen)
    assert (ended.step, ended.interrupted) == ("report", False)
    steps = [step.name for step in steps_of(settings)]
    paths = {name: folder.step(n, name) for n, name in enumerate(steps, 1)}
    figures = {name: read_done(path).figures for name, path in paths.items()}
    assert figures["sft"]["conversations"] == 11
    assert figures["distillation"]["kept"] > 0
    assert figures["rejection-2"]["chosen"] > figures["rejection-1"]["chosen"] > 0
    assert figures["ppo"]["iterations"] == 2
    assert figures["ghost-attention"]["dialogues"] > 0
    assert not any("nothing is learned in this step" in note for note in seen.notes)
    page = folder.file("report.html").read_text(encoding="utf-8")
    for text in (
        "No program judges here, and no person did",
        "How often a held-out reward model, not a person, scores",
        "false refusals by the classifier (helpful)",
        "RS 2 against RS 1",
        "judge of safety",
        "the longer answer wins",
        "PPO: reward against KL",
        "recall (unseen)",
        "02-sft",
    ):
        assert text in page, text
    dialogue = [{"role": "system", "content": "You enjoy chess."}, {"role": "user", "content": "What is your hobby?"}]
    kept = ChatModel.load(paths["ghost-attention"] / "model", None)
    inside = ChatModel.load(folder.file("chat.gguf"), None)  # with the chat format that the file brings
    assert inside.encode(dialogue) == kept.encode(dialogue)
    assert inside.stop_ids == kept.stop_ids


@pytest.mark.slow
@pytest.mark.timeout(900)  # ten processes
def test_killed_in_its_steps_it_ends_with_the_same_bytes(tmp_path):
    command = [sys.executable, "-m", "minillama", "align", *write_all(tmp_path), "-q", "--resume"]
    subprocess.run([*command, "--out", str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    killed, n_killed = tmp_path / "killed", 0
    for step, seconds in (
        ("01-pairs", 0.0),
        ("02-reward-helpful", 0.2),
        ("03-reward-safety", 0.1),
        ("06-own-answers", 0.02),
        ("08-distillation", 0.1),
        ("09-rejection-1", 0.2),
        ("11-ppo", 0.3),
        ("14-report", 0.5),
    ):
        process = subprocess.Popen([*command, "--out", str(killed)], stdout=subprocess.DEVNULL)
        while process.poll() is None and not (killed / step).exists():
            time.sleep(0.002)
        time.sleep(seconds)
        process.kill()
        n_killed += process.wait() < 0
    assert n_killed >= 6
    subprocess.run([*command, "--out", str(killed)], check=True, stdout=subprocess.DEVNULL)
    assert digests(killed) == digests(tmp_path / "whole")
    assert list(killed.rglob(".part*")) == []


def digests(run):
    names = ("kept.jsonl", "pool.jsonl", "shift.json", "lists.json", "chat.gguf")
    files = [p for p in sorted(run.rglob("*")) if p.suffix == ".safetensors" or p.name in names]
    assert len(files) > 20
    return {str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
