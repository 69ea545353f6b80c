"""The two capstones: announced from the start, proved by `verify` on right functions, and on nothing less."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from minillama.cli import grading
from minillama.cli.commands import app
from minillama.learn.capstones import CAPSTONES, CHAT, TRAIN
from minillama.learn.chapters.catalogue import chapter_packages
from minillama.learn.workspace import proofs
from minillama.learn.workspace.folder import find_workspace, start
from minillama.learn.workspace.proofs import prove

INSIDE = "stories3M-chat"


@pytest.fixture
def mine(solved, tmp_path):
    shutil.copytree(solved, tmp_path / "mine")
    return find_workspace(tmp_path / "mine")


def change(workspace, file, before, after):
    path = workspace.folder / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def run(*args):
    found = CliRunner().invoke(app, ["learn", *map(str, args)])
    assert found.exit_code == 0, found.exception
    return found.output


def test_a_learner_hears_of_them_at_the_start_and_on_the_map(tmp_path):
    assert [capstone.after for capstone in CAPSTONES] == ["12", "14"]
    said, shown = run("start", tmp_path / "mine"), run("--dir", tmp_path / "mine")
    for capstone in CAPSTONES:
        assert f"after {capstone.after}  {capstone.goal}" in said
        assert capstone.command in shown.partition(f"==> {capstone.goal}")[2].partition("\n\n")[0]
    assert shown.index(f"==> {CHAT.goal}") < shown.index(" 13 pretraining data")


@pytest.mark.slow
def test_verify_proves_both_on_all_solutions(mine, tmp_path, monkeypatch):
    (tmp_path / "notes.txt").write_text("The dog sees the sun & the moon. The cat sees the dog.\n\n" * 30)
    monkeypatch.setattr(grading, "_chat_model", lambda: INSIDE)
    shown = run("verify", "--dir", mine.folder, "--name", "Ada", "--text", tmp_path / "notes.txt")
    assert shown.count("proved: ") == 2
    found = json.loads((mine.folder / "verified.json").read_text())
    assert all(entry["passed"] for entry in found["exercises"])
    chat, train = found["capstones"]
    assert (chat["id"], chat["proved"], chat["model"]) == ("chat", True, INSIDE)
    assert chat["tokens_per_second"] > 0
    assert (train["id"], train["proved"], train["text"]) == ("train", True, "notes.txt")
    assert train["losses"][-1] < train["losses"][0] - 1
    picture = (mine.folder / "verified.svg").read_text()
    assert "your own functions chat with stories3M-chat at" in picture
    assert "trained on notes.txt" in picture
    assert f"[x] ==> {CHAT.goal}" in run("--dir", mine.folder)


def test_a_wrong_function_proves_nothing(mine):
    """As if their checks had passed: the answer and the losses tell."""
    change(mine, "05_rope.py", "even * c - odd * s", "even * c + odd * s")
    proof = prove(CHAT, mine, {}, model=INSIDE)
    assert not proof["proved"]
    assert "of the answer is" in proof["said"]
    proof = prove(TRAIN, mine, {}, text=None)
    assert not proof["proved"]
    assert "the losses are not the package's" in proof["said"]
    change(mine, "05_rope.py", "even * c + odd * s", "even * c - odd * undefined")
    assert "your rope_interleaved in line" in prove(TRAIN, mine, {}, text=None)["said"]


def test_what_is_missing_is_named_and_nothing_runs(mine):
    failing = {"rope_interleaved": "not written yet", "rmsnorm_forward": "not written yet", "adamw_step": "wrong"}
    assert prove(CHAT, mine, failing, model="no such model")["said"] == "it needs rope_interleaved"
    proof = prove(TRAIN, mine, failing, text=None)  # of the two norms one is enough
    assert (proof["proved"], proof["said"]) == (False, "it needs rope_interleaved, adamw_step")
    start(mine.folder / "new")
    everything = dict.fromkeys(proofs.catalogue(), "not written yet")
    assert "and 19 more" in prove(TRAIN, find_workspace(mine.folder / "new"), everything, text=None)["said"]


def test_a_text_that_is_too_short_is_said(mine, tmp_path):
    (tmp_path / "short.txt").write_text("one line")
    assert "short.txt has" in prove(TRAIN, mine, {}, text=str(tmp_path / "short.txt"))["said"]
    found = CliRunner().invoke(app, ["learn", "verify", "--dir", str(mine.folder), "--text", "nowhere.txt"])
    assert "nowhere.txt is not a file" in str(found.exception)


def test_a_proof_that_takes_too_long_ends(mine, monkeypatch):
    change(mine, "05_rope.py", "    even, odd = x", "    while x.shape[-1] > 12: pass\n    even, odd = x")
    monkeypatch.setattr(proofs, "SECONDS", 6.0)
    assert "your functions are too slow" in prove(CHAT, mine, {}, model=INSIDE)["said"]


def test_without_the_weights_the_model_inside_answers(monkeypatch, capsys):
    from minillama.checkpoints.hub import models
    from minillama.checkpoints.hub.downloads import DownloadError

    def no_network(*args, **options):
        raise DownloadError("no network\nand so on")

    monkeypatch.setattr(models, "fetch", no_network)
    assert grading._chat_model() == INSIDE
    assert "smollm2-135m-instruct is not on this machine (no network): stories3M-chat" in capsys.readouterr().err


def test_ctrl_c_leaves_a_proof_out_and_the_certificate_is_written(mine, monkeypatch):
    from minillama.learn.workspace import certificate

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(proofs, "prove", interrupted)
    monkeypatch.setattr(grading, "_chat_model", lambda: INSIDE)
    monkeypatch.setattr(certificate, "catalogue", lambda: {"rope_half": proofs.catalogue()["rope_half"]})
    assert run("verify", "--dir", mine.folder, "--name", "Ada").count("not yet: left out") == 2
    found = json.loads((mine.folder / "verified.json").read_text())
    assert [proof["proved"] for proof in found["capstones"]] == [False, False]
    assert certificate.proved_in(mine.folder) == set()


def test_the_chapters_are_there():
    numbers = [package.__name__.rpartition(".ch")[2][:2] for package in chapter_packages()]
    assert {capstone.after for capstone in CAPSTONES} <= set(numbers)
