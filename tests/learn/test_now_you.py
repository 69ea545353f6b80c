"""A function that a reader writes in a notebook counts everywhere, and every chapter runs without one."""

import json
import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from typer.testing import CliRunner

from minillama.cli.commands import app
from minillama.learn.chapters.catalogue import catalogue, get_exercise
from minillama.learn.diagnosis.report import Report
from minillama.learn.workspace import certificate, from_notebook
from minillama.learn.workspace import folder as module
from minillama.learn.workspace.cells import NotebookOnly, extract
from minillama.learn.workspace.folder import Record, find_workspace, function_text, start
from minillama.learn.workspace.from_notebook import keep, note

HEAD = "import numpy as np\nfrom minillama.learn.book import now_you"
SOFTMAX = """
def softmax_over_keys(scores):
    e = np.exp(largest_out(scores))
    return e / e.sum(axis=KEYS, keepdims=True)
"""
HELPERS = """
KEYS = -1

def largest_out(scores):
    return scores - scores.max(axis=KEYS, keepdims=True)
"""
ONE_HEAD = """
def attend_one_head(q, k, v, positions):  # über √h
    scores = q @ k.T / np.float32(np.sqrt(q.shape[-1]))
    return softmax_over_keys(np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))) @ v
"""
MANY_HEADS = """
def attend_many_heads(q, k, v, positions):
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf))) @ v
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "minillama" / "tests"))
    monkeypatch.setenv("MINILLAMA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")


@pytest.fixture
def folder(tmp_path):
    start(tmp_path / "my-llama")
    return tmp_path / "my-llama"


def run_cells(folder, *cells):
    """What each cell prints or shows, from a real kernel that begins in the folder."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parents[2]]))})
    return [
        "".join(out.get("text", "") or out.get("data", {}).get("text/html", "") for out in cell.outputs)
        for cell in notebook.cells
    ]


def call(id):
    return f'{id} = now_you("{id}")'


def learn(*args):
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 0, result.output
    return result.output


def test_a_function_of_a_cell_counts_in_learn_verify_and_generate(folder, monkeypatch):
    wrong = SOFTMAX.replace("KEYS, keepdims", "-2, keepdims")
    many = "attend_many_heads"
    cells = [
        HEAD,
        HELPERS + wrong + call("softmax_over_keys"),
        "print(softmax_over_keys.__module__)",
        SOFTMAX + call("softmax_over_keys"),
        "print(softmax_over_keys.__module__)",
        call("softmax_over_keys") + "\n" + call("causal_mask"),
        ONE_HEAD + call("attend_one_head"),
        MANY_HEADS + call(many),
    ]
    said = run_cells(folder, *cells)
    assert "not yet" in said[1]
    assert "softmax_over_keys is the book's from here on: yours of this notebook does not pass yet." in said[1]
    assert "ch06_attention" in said[2]
    assert "softmax_over_keys is yours from here on: it passes on 5 cases. It counts, in 06_attention.py" in said[3]
    assert said[4].strip() == "__main__"
    assert "It counts, in 06_attention.py." in said[5]
    assert "attend_one_head is yours" in said[6]
    assert f"{many} is yours" in said[7], said[7]

    record = find_workspace(folder).record("softmax_over_keys")
    assert (record.passed, record.attempts) == (True, 2)  # the wrong one, and the right one once
    shown = learn("learn", "--dir", str(folder))
    assert " 3 of 124 exercises" in shown
    assert all(f"[x] {id}" in shown for id in ("softmax_over_keys", "attend_one_head", many))
    few = {id: catalogue()[id] for id in ("softmax_over_keys", "causal_mask", "attend_one_head", many)}
    monkeypatch.setattr(certificate, "catalogue", lambda: few)
    assert "3 of 4 exercises pass" in learn("learn", "verify", "--no-capstones", "--dir", str(folder))
    result = CliRunner().invoke(
        app, ["generate", "--with", str(folder), "Once upon", "-n", "4", "--temperature", "0", "--model", "stories3M"]
    )
    assert result.exit_code == 0, result.output
    assert f"attention_forward  is your {many}" in result.stderr


def test_an_unsolved_book_runs_and_says_what_is_asked_for(tmp_path):
    said = run_cells(tmp_path, HEAD, call("causal_mask"), "print(causal_mask(np.arange(2), 2).tolist())")
    assert said[1].startswith("causal_mask(positions, n_keys), about 5 minutes\n    Who may look at whom")
    assert "causal_mask is the book's from here on." in said[1]
    assert "minillama learn start my-llama" in said[1]
    assert said[2] == "[[True, False], [True, True]]\n"


def test_the_function_of_the_folder_is_taken_and_recorded(folder):
    path = folder / "06_attention.py"
    find_workspace(folder).put("causal_mask", "def causal_mask(p, n):\n    return np.arange(n) <= p[:, None]")
    said = run_cells(folder, HEAD, call("causal_mask"), "print(causal_mask.__module__)", call("causal_mask"))
    assert "causal_mask is yours from here on: it passes on 6 cases, in 06_attention.py." in said[1]
    assert "learner_06_attention" in said[2]
    assert find_workspace(folder).record("causal_mask").attempts == 1
    path.write_text(path.read_text().replace("<=", "<"))
    said = run_cells(folder, HEAD, call("causal_mask"))
    assert "hides a token from itself" in said[1]
    assert "yours in 06_attention.py does not pass yet" in said[1]
    path.write_text(path.read_text() + "\ndef broken(:\n")
    assert "the book's from here on: yours in 06_attention.py" in run_cells(folder, HEAD, call("causal_mask"))[1]


def test_nothing_that_passes_is_replaced_and_what_was_begun_is_copied(folder):
    workspace = find_workspace(folder)
    begun = "def causal_mask(positions, n_keys):\n    return 'an idea'"
    workspace.put("causal_mask", begun)
    right = "def causal_mask(p, n):\n    return np.arange(n) <= p[:, None]\n"
    other = right.replace("<= p[:, None]", "< 1 + p[:, None]")
    said = run_cells(folder, HEAD, right + call("causal_mask"), other + call("causal_mask"))
    assert "It counts" in said[1]
    assert "The one that counts is that in 06_attention.py." in said[2]
    assert "<= p[:, None]" in function_text(folder / "06_attention.py", "causal_mask")
    (copy,) = folder.glob("*.bak")
    assert "an idea" in copy.read_text()
    assert f"The file as it was is {copy.name}." in said[1]


def test_a_function_that_needs_its_notebook_is_used_and_not_recorded(folder):
    cells = ["rng = np.random.default_rng(0)\nscale = rng.normal()", "def f(x):\n    return scale * 0 + x\n"]
    before = (folder / "06_attention.py").read_text()
    own = "def causal_mask(p, n):\n    return f(np.arange(n)) <= p[:, None]\n" + call("causal_mask")
    said = run_cells(folder, HEAD, *cells, own)
    assert "causal_mask is yours from here on" in said[-1]
    assert "It is not recorded: f reads scale, which a cell computes: make it an argument." in said[-1]
    assert (folder / "06_attention.py").read_text() == before
    assert not find_workspace(folder).record("causal_mask").passed


def nothing(id):
    return False


def test_what_a_function_needs_comes_with_it():
    found = extract("attend_one_head", [HEAD, ONE_HEAD], nothing)
    module = "minillama.learn.chapters.ch06_attention"
    assert set(found.imports) == {
        "import numpy as np",
        f"from {module}.softmax_over_keys import softmax_over_keys as book_softmax_over_keys",
        f"from {module}.causal_mask import causal_mask as book_causal_mask",
    }
    assert "book_softmax_over_keys(np.where(book_causal_mask(positions" in found.text
    assert "# über √h" in found.text
    own = extract("attend_one_head", [HEAD, ONE_HEAD], ["softmax_over_keys", "causal_mask"].__contains__)
    assert list(own.imports) == ["import numpy as np"]
    helped = extract("softmax_over_keys", [HEAD, HELPERS, SOFTMAX, "%%time"], nothing)
    assert list(helped.definitions) == ["KEYS", "largest_out", "softmax_over_keys"]
    with pytest.raises(NotebookOnly, match="no cell defines causal_mask"):
        extract("causal_mask", [HEAD, call("causal_mask")], nothing)


MASK = "def causal_mask(p, n):\n    return np.arange(n) <= p[:, None]\n"


@pytest.fixture
def mask():
    return get_exercise("causal_mask")


def test_work_in_the_file_that_passes_and_is_not_recorded_yet_stays(folder, mask):
    workspace = find_workspace(folder)
    workspace.put(mask.id, MASK)
    other = MASK.replace("<= p[:, None]", "< 1 + p[:, None]")
    assert keep(workspace, mask, [HEAD, other]) == "The one that counts is that in 06_attention.py."
    assert function_text(folder / "06_attention.py", mask.id) == MASK
    assert find_workspace(folder).record(mask.id).passed
    assert not list(folder.glob("*.bak"))


def test_a_cell_that_fails_is_shown_and_the_file_that_passes_is_used(folder):
    find_workspace(folder).put("causal_mask", MASK)
    needs_ipython = SOFTMAX.replace("largest_out(scores))", "scores - scores.max(-1, keepdims=True)); display")
    said = run_cells(
        folder,
        HEAD,
        MASK.replace("<=", "<") + call("causal_mask"),
        "print(causal_mask.__module__)",
        needs_ipython.replace("KEYS", "-1") + call("softmax_over_keys"),
    )
    assert "hides a token from itself" in said[1]
    assert "Yours of this notebook does not pass yet: the one in 06_attention.py is used." in said[1]
    assert "causal_mask is yours from here on: it passes on 6 cases, in 06_attention.py." in said[1]
    assert "learner_06_attention" in said[2]
    assert "It is not recorded: softmax_over_keys reads display, which no cell defines." in said[3]


def test_a_chapter_whose_file_is_gone_goes_on_with_the_books(folder):
    (folder / "06_attention.py").unlink()
    said = run_cells(folder, HEAD, call("causal_mask"), "print(causal_mask.__module__)")
    assert "06_attention.py is missing: `minillama learn start" in said[1]
    assert "ch06_attention" in said[2]


def test_what_cannot_be_recorded_is_said(folder, mask, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "atomic_write", full)
    report = Report(mask.id, mask.chapter, "wrong")
    assert note(find_workspace(folder), mask, report) == "It is not recorded: [Errno 28] No space left on device."
    said = keep(find_workspace(folder), mask, [HEAD, MASK])
    assert said.startswith("It stands in 06_attention.py of my-llama. It is not recorded: [Errno 28]")


@pytest.mark.parametrize("is_edited", [False, True])
def test_an_interrupted_check_leaves_the_file_as_it_was_or_as_it_was_saved_meanwhile(
    folder, mask, monkeypatch, is_edited
):
    path = folder / "06_attention.py"
    before = path.read_bytes()

    def interrupted(*args):
        assert "<= p[:, None]" in path.read_text()
        if is_edited:
            path.write_text("# saved by an editor\n")
        raise KeyboardInterrupt

    monkeypatch.setattr(from_notebook, "check", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keep(find_workspace(folder), mask, [HEAD, MASK])
    assert path.read_bytes() == (b"# saved by an editor\n" if is_edited else before)


def test_a_neighbour_in_the_file_that_does_not_pass_is_not_called(folder):
    workspace = find_workspace(folder)
    workspace.put("causal_mask", MASK.replace("<=", "<"))
    workspace.put(
        "softmax_over_keys",
        SOFTMAX.replace("KEYS", "-1").replace("largest_out(scores)", "scores - scores.max(-1, keepdims=True)"),
    )
    assert keep(workspace, get_exercise("attend_one_head"), [HEAD, ONE_HEAD]).startswith("It counts")
    text = function_text(folder / "06_attention.py", "attend_one_head")
    assert "book_causal_mask(" in text
    assert "book_softmax_over_keys(" not in text


def test_a_watch_does_not_take_back_what_a_notebook_has_passed(folder, mask):
    watching, notebook = find_workspace(folder), find_workspace(folder)
    notebook.put(mask.id, MASK)
    notebook.note_result(mask, True)
    watching.note_result(mask, False)
    record = find_workspace(folder).record(mask.id)
    assert (record.passed, record.attempts) == (True, 2)


def test_a_pass_in_a_notebook_is_not_forgotten_by_a_terminal_that_watches(folder):
    watching, notebook = find_workspace(folder), find_workspace(folder)
    notebook.records["causal_mask"] = Record(passed=True, sha256="a")
    notebook.save()
    watching.note_result(get_exercise("rope_half"), False)
    kept = json.loads((folder / "progress.json").read_text())["exercises"]
    assert kept["causal_mask"]["passed"]
    assert kept["rope_half"]["attempts"] == 1
