"""What a teacher gets: JSON of every check, and a class in one command, whatever a verified.json claims."""

import csv
import io
import json
import shutil

import pytest
from typer.testing import CliRunner

from minillama.cli import learn as learn_command
from minillama.cli.commands import app
from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.workspace import certificate, grading
from minillama.learn.workspace.folder import start

FEW = {id: catalogue()[id] for id in catalogue() if catalogue().chapter_of(id) == "05"}


@pytest.fixture(autouse=True)
def only_chapter_05(monkeypatch):
    for module in (certificate, grading):
        monkeypatch.setattr(module, "catalogue", lambda: FEW)
    monkeypatch.setattr("minillama.learn.chapters.catalogue.catalogue", lambda: FEW)


@pytest.fixture
def mine(solved, tmp_path):
    return shutil.copytree(solved, tmp_path / "mine")


def run(*args):
    return CliRunner().invoke(app, ["learn", *map(str, args)])


def spoil(folder):
    path = folder / "05_rope.py"
    path.write_text(path.read_text().replace("first * c - second * s", "first * c + second * s"))


def test_check_as_json_says_everything_and_writes_nothing(mine):
    before = {path: path.read_bytes() for path in mine.iterdir()}
    found = run("check", "--json", "--dir", mine)
    document = json.loads(found.stdout)
    assert found.exit_code == 0
    assert (document["passed"], document["of"]) == (len(FEW), len(FEW))
    spoil(mine)
    before[mine / "05_rope.py"] = (mine / "05_rope.py").read_bytes()
    found = run("check", "rope_half", "--json", "--dir", mine)
    (entry,) = json.loads(found.stdout)["exercises"]
    assert found.exit_code == 1
    assert (entry["id"], entry["status"]) == ("rope_half", "wrong")
    assert entry["mistake"] == entry["headline"][0]
    assert {"smallest case", "expected", "yours"} <= entry["facts"].keys()
    assert {path: path.read_bytes() for path in mine.iterdir()} == before
    assert "--json is about all cases" in str(run("check", "--json", "--case", "1", "--dir", mine).exception)


def test_as_json_a_missing_file_and_one_that_is_no_python_are_said(mine):
    (mine / "05_rope.py").write_text("def rope_half(:\n")
    entries = json.loads(run("check", "--json", "--dir", mine).stdout)["exercises"]
    assert {entry["status"] for entry in entries} == {"error"}
    (mine / "05_rope.py").unlink()
    entries = json.loads(run("check", "--json", "--dir", mine).stdout)["exercises"]
    assert "is missing" in entries[0]["headline"][0]


def rows(output):
    return {row["folder"]: row for row in csv.DictReader(io.StringIO(output))}


def test_a_class_is_graded_by_what_passes_here(mine, tmp_path):
    assert run("verify", "--dir", mine, "--name", "Ada", "--no-capstones").exit_code == 0
    for name in ("honest", "later", "forged"):
        shutil.copytree(mine, tmp_path / name)
    start(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    spoil(tmp_path / "later")
    spoil(tmp_path / "forged")
    (tmp_path / "forged" / "progress.json").unlink()
    path = tmp_path / "forged" / "verified.json"
    path.write_text(path.read_text().replace("Ada", "Eve"))
    folders = [tmp_path / name for name in ("honest", "later", "forged", "new", "empty")]
    found = run("grade", *folders)
    assert found.exit_code == 0
    assert "empty has no files of exercises" in found.stderr
    by_folder = rows(found.stdout)
    n = str(len(FEW))
    expected = {  # name, passed, claimed, claimed but failing, edited
        "honest": ("Ada", n, n, "", ""),
        "later": ("Ada", str(len(FEW) - 1), n, "rope_half", ""),
        "forged": ("Eve", str(len(FEW) - 1), n, "rope_half", "yes"),
        "new": ("", "0", "", "", ""),
    }
    columns = ("name", "passed", "claimed", "claimed but failing", "verified.json edited")
    assert {folder: tuple(row[c] for c in columns) for folder, row in by_folder.items()} == expected
    assert by_folder["later"]["changed since"] == "rope_half"
    documents = json.loads(run("grade", tmp_path / "later", "--json").stdout)
    assert documents[0]["exercises"][2]["status"] == "wrong"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"exercises": [1], "capstones": 3}', '{"exercises": {"a": 1}}'])
def test_a_verified_json_of_any_content_is_borne(mine, content):
    (mine / "verified.json").write_text(content)
    row = rows(run("grade", mine).stdout)["mine"]
    assert row["passed"] == str(len(FEW))


def test_json_without_an_exercise_works_when_all_are_solved(mine, monkeypatch):
    monkeypatch.setattr(learn_command, "_wanted", lambda *args, **options: (grading.Workspace(mine), None))
    assert json.loads(run("check", "--json").stdout)["passed"] == len(FEW)
