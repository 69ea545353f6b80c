"""The reader's copy of the book: it follows the book where it was not touched, and is never written over."""

import importlib.metadata
import json
import subprocess
import sys
import time
import urllib.request

import pytest

from minillama.learn.workspace import book_files, folder, own_book
from minillama.learn.workspace.learners_file import WorkspaceError


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A small book in the place of the clone's."""
    there = tmp_path / "clone" / "notebooks"
    there.mkdir(parents=True)
    for name in ("05_rope.ipynb", "glossary.md", "book.svg", "05_rope.py"):
        (there / name).write_text(f"{name}, first edition")
    monkeypatch.setattr(book_files, "_CLONE", there.parent)
    return there


def test_what_a_reader_needs_is_copied_once(book, tmp_path):
    mine = tmp_path / "my-llama"
    assert own_book.bring_book(mine) == ["05_rope.ipynb", "book.svg", "glossary.md"]
    assert own_book.bring_book(mine) == []
    assert not (mine / "notebooks" / "05_rope.py").exists()  # JupyterLab would open the source as a second notebook


def test_what_was_not_touched_follows_the_book(book, tmp_path):
    mine = tmp_path / "my-llama"
    own_book.bring_book(mine)
    (book / "05_rope.ipynb").write_text("second edition")
    assert own_book.bring_book(mine) == ["05_rope.ipynb"]
    assert (mine / "notebooks" / "05_rope.ipynb").read_text() == "second edition"


def test_a_newer_edition_stands_beside_what_was_edited_and_comes_once(book, tmp_path):
    mine = tmp_path / "my-llama" / "notebooks"
    own_book.bring_book(mine.parent)
    (mine / "05_rope.ipynb").write_text("mine")
    assert own_book.bring_book(mine.parent) == []
    (book / "05_rope.ipynb").write_text("second edition")
    assert own_book.bring_book(mine.parent) == ["05_rope.new.ipynb"]
    assert (mine / "05_rope.ipynb").read_text() == "mine"
    (mine / "05_rope.new.ipynb").unlink()  # read, and thrown away
    assert own_book.bring_book(mine.parent) == []
    (mine / "05_rope.ipynb").unlink()  # begun again
    assert own_book.bring_book(mine.parent) == ["05_rope.ipynb"]


def test_a_damaged_record_costs_no_edits(book, tmp_path):
    mine = tmp_path / "my-llama" / "notebooks"
    own_book.bring_book(mine.parent)
    (mine / "05_rope.ipynb").write_text("mine")
    (mine / ".book.json").write_text("{")
    assert own_book.bring_book(mine.parent) == ["05_rope.new.ipynb"]  # which edition they had is not known any more
    assert (mine / "05_rope.ipynb").read_text() == "mine"


def test_without_a_clone_the_installed_book_is_copied(book, tmp_path, monkeypatch):
    """Files of a wheel's data are listed relative to site-packages."""
    inside = tmp_path / "env" / "share" / "minillama" / "notebooks"
    inside.parent.mkdir(parents=True)
    (book / "stages").mkdir()
    (book / "stages" / "ppo.gguf").write_bytes(b"weights")
    book.rename(inside)

    class Distribution:
        def locate_file(self, path):
            return tmp_path / "env" / "lib" / "site-packages" / path

    def files(name):
        names = [path.relative_to(inside).as_posix() for path in inside.rglob("*.*")]
        listed = [f"../../share/minillama/notebooks/{name}" for name in names]
        parts = [importlib.metadata.PackagePath(text) for text in [*listed, "minillama/__init__.py"]]
        for part in parts:
            part.dist = Distribution()
        return parts

    (tmp_path / "env" / "lib" / "site-packages").mkdir(parents=True)
    monkeypatch.setattr(book_files, "files", files)
    news = own_book.bring_book(tmp_path / "my-llama")
    assert news == ["05_rope.ipynb", "book.svg", "glossary.md", "stages/ppo.gguf"]
    monkeypatch.setattr(book_files, "files", lambda name: [])
    with pytest.raises(WorkspaceError, match="not installed with the package"):
        own_book.bring_book(tmp_path / "another")


def test_folders_of_the_book_are_copied_too(book, tmp_path):
    mine = tmp_path / "my-llama"
    (book / "stages" / "reward-safety").mkdir(parents=True)
    for name in ("stages/ppo.gguf", "stages/reward-safety/heads.safetensors"):
        (book / name).write_bytes(b"weights")
    news = own_book.bring_book(mine)
    assert news[-2:] == ["stages/ppo.gguf", "stages/reward-safety/heads.safetensors"]
    assert (mine / "notebooks" / news[-1]).read_bytes() == b"weights"
    assert own_book.bring_book(mine) == []


def test_a_chapter_by_its_number_or_name():
    assert own_book.notebook_of("05") == own_book.notebook_of("05_rope") == "05_rope.ipynb"
    with pytest.raises(WorkspaceError, match="there is no chapter '99': 00 to"):
        own_book.notebook_of("99")


@pytest.mark.slow
def test_jupyterlab_serves_the_chapter_from_the_learners_folder(tmp_path):
    pytest.importorskip("jupyterlab", reason="JupyterLab comes with .[notebooks]")
    mine = tmp_path / "my llama"  # with a space, as a home folder may have
    folder.start(mine)
    options = ["--no-browser", "--allow-root", "--port", "0", "--ServerApp.token=", "--ServerApp.disable_check_xsrf=1"]
    command = [sys.executable, "-m", "minillama", "learn", "lab", "05", "--dir", str(mine), *options]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(line.split()[-1] for line in server.stderr if "http://127.0.0.1" in line)
        assert "/lab/tree/notebooks/05_rope.ipynb" in address
        base = address.partition("/lab")[0]
        for _ in range(50):
            try:
                with urllib.request.urlopen(f"{base}/api/contents/notebooks/05_rope.ipynb?content=0") as answer:
                    assert json.load(answer)["type"] == "notebook"
                break
            except OSError:
                time.sleep(0.2)
        else:
            pytest.fail("JupyterLab does not answer")
    finally:
        server.terminate()
        server.communicate(timeout=30)
