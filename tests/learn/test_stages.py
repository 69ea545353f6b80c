"""The stages that ship with the book: whole, small enough, loaded by one function, and of the recorded opinions."""

import json
import shutil
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from minillama.alignment.models import ChatModel
from minillama.alignment.reward import Scorer
from minillama.learn.book import stages
from minillama.learn.book.stages import load_stage, opinion_of, path_of, shipped_stages
from minillama.learn.workspace import book_files
from minillama.learn.workspace.learners_file import WorkspaceError
from minillama.trees import named_leaves

CLONE = Path(__file__).parents[2]
NAMES = ("base", "sft", "reward-helpful", "reward-safety", "rejection-sampling", "ppo", "chat")


def test_all_stages_together_have_at_most_16_megabytes():
    found = shipped_stages()
    assert tuple(found["stages"]) == NAMES
    sizes = [path_of(file).stat().st_size for one in found["stages"].values() for file in one["files"]]
    assert sum(sizes) == found["bytes"] <= 16_000_000


@pytest.mark.parametrize("name", NAMES)
def test_a_stage_loads_and_has_the_recorded_opinion_of_two_answers(name):
    """Every file's sum is checked on the way."""
    model, recorded = load_stage(name), shipped_stages()
    assert isinstance(model, Scorer if name.startswith("reward-") else ChatModel)
    params = model.model if isinstance(model, Scorer) else model.params
    assert all(leaf.dtype == np.float32 for _, leaf in named_leaves(params))  # to be trained further
    found = [opinion_of(model, dialogue) for dialogue in recorded["fixed"]]
    np.testing.assert_allclose(found, recorded["stages"][name]["fixed"], atol=2e-3)
    assert recorded["stages"][name]["command"].startswith(("minillama align", "make train-stories"))


def test_the_safety_model_prefers_the_kind_story():
    kind, harm = shipped_stages()["stages"]["reward-safety"]["fixed"]
    assert kind > harm + 1


def test_packing_cost_little():
    """Score changes beside their spread, pairs that are right, and KL in nats a token."""
    costs = {name: one["cost"] for name, one in shipped_stages()["stages"].items() if "cost" in one}
    for name in ("reward-helpful", "reward-safety"):
        assert costs[name]["answers"] >= 500
        assert costs[name]["mean"] < 0.03 * costs[name]["spread"]
        before, packed = (one["value"] for one in costs[name]["accuracy"])
        assert abs(packed - before) < 0.01
    for name in ("sft", "rejection-sampling", "ppo"):
        assert costs[name]["kl"] < 0.01
        rates = costs[name]["rates"]
        for measure, before in rates["before"].items():
            assert rates["packed"][measure]["low"] <= before["high"], measure
            assert rates["packed"][measure]["high"] >= before["low"], measure


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The book's stages in another clone, where they may be damaged."""
    there = tmp_path / "clone" / "notebooks"
    shutil.copytree(CLONE / "notebooks" / "stages", there / "stages")
    monkeypatch.setattr(book_files, "_CLONE", there.parent)
    return there / "stages"


def test_a_damaged_or_missing_file_is_one_clear_error(copy):
    content = bytearray((copy / "ppo.gguf").read_bytes())
    content[-1] ^= 1
    (copy / "ppo.gguf").write_bytes(content)
    with pytest.raises(WorkspaceError, match=r"ppo\.gguf is not the file of the stage ppo that was shipped.*install"):
        load_stage("ppo")
    (copy / "ppo.gguf").unlink()
    with pytest.raises(WorkspaceError, match=r"stages/ppo\.gguf did not come with this installation: install"):
        load_stage("ppo")
    (copy / "reward-safety" / "heads.safetensors").write_bytes(b"")
    with pytest.raises(WorkspaceError, match=r"heads\.safetensors is not the file of the stage reward-safety"):
        load_stage("reward-safety")
    with pytest.raises(WorkspaceError, match="there is no stage 'dpo': base, sft, "):
        load_stage("dpo")
    (copy / "stages.json").write_text("{")
    with pytest.raises(WorkspaceError, match=r"stages\.json cannot be read"):
        load_stage("sft")


def test_what_is_found_in_a_clone_is_what_pyproject_installs():
    settings = tomllib.loads((CLONE / "pyproject.toml").read_text(encoding="utf-8"))
    installed = settings["tool"]["setuptools"]["data-files"]
    for name in book_files.book_files():
        folder = Path("share/minillama/notebooks", name).parent.as_posix()
        assert any(fnmatch(f"notebooks/{name}", pattern) for pattern in installed[folder]), name


def test_the_page_is_what_stages_json_says():
    sys.path.insert(0, str(CLONE / "benchmarks"))
    from stages_card import card

    folder = Path(stages.path_of("stages/stages.json")).parent
    assert (folder / "README.md").read_text("utf-8") == card(json.loads((folder / "stages.json").read_text("utf-8")))
