"""A learner's folder: nothing of theirs is lost, whatever happens to the book or to the files."""

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minillama.cli.commands import app
from minillama.learn.chapters import texts
from minillama.learn.chapters.catalogue import catalogue, chapter_packages, get_exercise
from minillama.learn.diagnosis.report import Report
from minillama.learn.speed import SpeedCard, Timing
from minillama.learn.workspace import folder as module
from minillama.learn.workspace import learners_file
from minillama.learn.workspace.checker import check_in_process
from minillama.learn.workspace.folder import WorkspaceError, find_workspace, function_text, start
from minillama.learn.workspace.learners_file import place_of
from minillama.learn.workspace.watch import Watcher
from minillama.learn.workspace.worker import load_file

ROPE = get_exercise("rope_interleaved")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(Path.home() / ".cache" / "minillama" / "tests"))
    monkeypatch.setenv("MINILLAMA_HOME", str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path):
    start(tmp_path / "mine")
    return tmp_path / "mine"


def solve(folder, chapter="05"):
    for package in chapter_packages():
        if texts.file_name(package).startswith(chapter):
            (folder / texts.file_name(package)).write_text(texts.solution_file(package))


def write(folder, code, chapter="05_rope.py"):
    (folder / chapter).write_text("import numpy as np\n\n\n" + textwrap.dedent(code))


def run(*args, code=0):
    result = CliRunner().invoke(app, ["learn", *args])
    assert result.exit_code == code or (code and result.exception), result.output
    return result


def test_start_copies_every_chapter_and_overwrites_nothing(folder):
    assert {path.name for path in folder.glob("*.py")} == set(map(texts.file_name, chapter_packages()))
    write(folder, "def rope_half(x, cos, sin, positions):\n    return 'mine'\n")
    (folder / "05_rope.py").write_text((folder / "05_rope.py").read_text() + "# my note\n")
    _, news = start(folder)
    text = (folder / "05_rope.py").read_text()
    assert "return 'mine'" in text
    assert "# my note" in text
    assert "rope_angles in 05_rope.py" in news  # functions that the file did not have
    assert "def rope_angles" in text
    assert start(folder)[1] == []


def test_progress_survives_and_unknown_entries_do_no_harm(folder):
    workspace = find_workspace(folder)
    solve(folder)
    workspace.note_result(ROPE, True)
    content = json.loads((folder / "progress.json").read_text())
    content["exercises"]["gone"] = {"passed": True, "of_a_later_version": 1}
    (folder / "progress.json").write_text(json.dumps(content))
    again = find_workspace(folder)
    assert again.record(ROPE.id).passed
    assert again.record(ROPE.id).attempts == 1
    assert again.next_exercise(after=ROPE).chapter == "05"


def test_renamed_exercises_keep_their_progress(folder, monkeypatch):
    content = {"version": 1, "exercises": {"rope_meta": {"passed": True}}}
    (folder / "progress.json").write_text(json.dumps(content))
    monkeypatch.setattr(module, "RENAMED", {"rope_meta": "rope_interleaved"})
    assert find_workspace(folder).record("rope_interleaved").passed


@pytest.mark.parametrize("content", ["", "{", "[]", '{"exercises": 3}', '{"exercises": {"a": 3}}'])
def test_damaged_progress_is_refused_with_advice(folder, content):
    (folder / "progress.json").write_text(content)
    with pytest.raises(WorkspaceError, match="put a copy back, or delete it"):
        find_workspace(folder)


def test_the_folder_is_found_from_inside_and_afterwards(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(folder)
    assert find_workspace().folder == folder
    monkeypatch.chdir(tmp_path)
    assert find_workspace().folder == folder.resolve()  # the one used last
    with pytest.raises(WorkspaceError, match="learn start"):
        find_workspace(tmp_path)


def test_the_books_own_folder_is_refused():
    with pytest.raises(WorkspaceError, match="choose another one"):
        start(Path(__file__).parents[2] / "exercises")


def test_a_place_is_said_from_the_current_folder(folder, monkeypatch):
    path = folder / "05_rope.py"
    monkeypatch.chdir(folder.parent)
    line = 1 + path.read_text().splitlines().index("def rope_half(x, cos, sin, positions):")
    assert place_of(path, "rope_half") == f"mine/05_rope.py:{line}"
    monkeypatch.chdir("/")
    assert place_of(path, "gone") == str(path).lstrip("/")
    path.write_text("def broken(:\n")
    assert place_of(path, "rope_half").endswith("mine/05_rope.py")


def test_reset_brings_one_function_back_and_keeps_a_copy(folder):
    solve(folder)
    before = (folder / "05_rope.py").read_text()
    kept = find_workspace(folder).reset(ROPE)
    assert kept.read_text() == before
    assert "NotImplementedError" in function_text(folder / "05_rope.py", ROPE.id)
    assert "NotImplementedError" not in function_text(folder / "05_rope.py", "rope_half")
    write(folder, "def broken(:\n")
    find_workspace(folder).reset(ROPE)
    assert "NotImplementedError" in function_text(folder / "05_rope.py", ROPE.id)


def test_a_copy_of_the_same_second_does_not_overwrite_the_first(folder, monkeypatch):
    monkeypatch.setattr(learners_file.time, "strftime", lambda form: "20260101-000000")
    path = folder / "05_rope.py"
    for n in range(3):
        path.write_text(f"n = {n}\n")
        assert find_workspace(folder).keep_copy(ROPE.id).read_text() == f"n = {n}\n"
    assert sorted(kept.read_text() for kept in folder.glob("*.bak")) == ["n = 0\n", "n = 1\n", "n = 2\n"]


def test_a_file_that_was_saved_meanwhile_is_left_alone(folder):
    path = folder / "05_rope.py"
    before = path.read_bytes()
    path.write_text("# saved by an editor\n")
    with pytest.raises(WorkspaceError, match="was changed meanwhile"):
        find_workspace(folder).put(ROPE.id, "def rope_interleaved(): ...", (), before)
    assert path.read_text() == "# saved by an editor\n"


# --- in a process of its own -----------------------------------------------------------------


def checked(folder, code, seconds=20.0):
    write(folder, code)
    return check_in_process(ROPE, folder / "05_rope.py", seconds=seconds)


SIGNATURE = "def rope_interleaved(x, cos, sin, positions):\n    "


def test_solution_passes(folder):
    solve(folder)
    assert check_in_process(ROPE, folder / "05_rope.py").passed


def test_endless_loops_end(folder):
    report = checked(folder, SIGNATURE + "while True: pass\n", seconds=1.0)
    assert (report.status, dict(report.facts)["case"]) == ("timeout", "1x2x1x4")


def test_endless_loops_at_the_top_of_the_file_end(folder):
    assert checked(folder, "while True: pass\n", seconds=1.0).status == "timeout"


WAITS = """import time
asleep = time.sleep({seconds})


def rope_interleaved(x, cos, sin, positions):
    c, s = cos[positions][:, None], sin[positions][:, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return np.stack((even * c - odd * s, even * s + odd * c), axis=-1).reshape(x.shape)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of another process is not known")
def test_a_busy_machine_fails_no_right_answer(folder):
    """The clock alone stops nothing before the sixfold time: a process that gets no processor computes nothing."""
    assert checked(folder, WAITS.format(seconds=2.5), seconds=2.0).passed
    report = checked(folder, WAITS.format(seconds=60), seconds=0.5)
    assert report.status == "timeout"
    assert "Does it wait for something" in report.text()
    assert 3 <= report.seconds < 50


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of another process is not known")
def test_what_other_processes_compute_for_it_counts(folder):
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'while True: pass'])\n"
    report = checked(folder, code, seconds=1.0)
    assert report.status == "timeout"
    assert "of computing" in report.text()


def test_a_timeout_names_both_of_its_usual_causes(folder):
    text = " ".join(checked(folder, SIGNATURE + "while True: pass\n", seconds=1.0).text().split())
    assert "a loop that does not end, and a kernel under @njit inside of your function" in text


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
def test_huge_allocations_end(folder):
    report = checked(folder, SIGNATURE + "return np.ones((1 << 20, 1 << 20)) @ x\n")
    assert report.status == "memory"
    assert "far larger than it has to be" in " ".join(report.text().split())


def test_programs_that_end_themselves(folder):
    assert "ended in the middle" in checked(folder, "import os\n" + SIGNATURE + "os._exit(7)\n").text()
    assert checked(folder, SIGNATURE + "raise SystemExit\n").status == "error"


def test_files_that_are_no_python(folder):
    text = checked(folder, "def rope_interleaved(x:\n    return x\n").text()
    assert "SyntaxError" in text
    assert "05_rope.py:4: def rope_interleaved(x:" in text


def test_a_missing_function(folder):
    assert "has no function rope_interleaved" in checked(folder, "x = 1\n").text()


def test_what_it_prints_is_shown(folder):
    report = checked(folder, SIGNATURE + "print('shape', x.shape)\n    return x\n")
    assert "shape (1," in dict(report.facts)["printed"]


# --- the commands -----------------------------------------------------------------------------


def test_from_start_to_the_first_solved_exercise(tmp_path):
    text = run("start", str(tmp_path / "new")).output
    first = find_workspace(tmp_path / "new").next_exercise()
    assert first.id in text
    assert "minillama learn watch" in text
    assert "not started yet" in run("check", code=1).output
    assert "hint 1 of 3" in run("hint").output
    assert "hint 2 of 3" in run("hint").output
    assert run("solution", first.id, code=1).exception is not None
    solve(tmp_path / "new", first.chapter)
    assert re.search(r"passed +\(", run("check", first.id).output)
    shown = run("solution", first.id).output
    assert re.match(r"# Yours, .*new/00_first_words.py:\d+\n", shown)
    assert shown.count(f"def {first.id}(") == 2
    assert first.why.split()[0] in shown.partition("# The book's.")[2]
    compile(shown, "shown", "exec")  # the reasons are comments
    assert f"[x] {first.id}" in run().output


def test_a_pass_says_what_else_gives_the_same(tmp_path):
    pytest.importorskip("torch")
    run("start", str(tmp_path / "new"))
    for chapter in ("01", "02"):
        solve(tmp_path / "new", chapter)
    assert "PyTorch gives the same on all" in run("check", "stable_softmax").output
    assert "Another program gives the same on all" in run("check", "utf8_feed").output


def test_giving_up_is_remembered(folder):
    assert "def rope_half" in run("solution", "rope_half", "--give-up", "--dir", str(folder)).output
    assert find_workspace(folder).record("rope_half").solution_seen


def test_verify_writes_a_report_and_a_picture(folder, monkeypatch):
    few = {id: exercise for id, exercise in catalogue().items() if exercise.chapter == "05"}
    from minillama.learn.workspace import certificate

    monkeypatch.setattr(certificate, "catalogue", lambda: few)
    solve(folder)
    shown = run("verify", "--dir", str(folder), "--name", "Ada <A.>", "--no-capstones").output
    assert f"Ada <A.>: {len(few)} of {len(few)} exercises pass" in shown
    assert re.findall(r"^ \d\d .*$", shown, re.MULTILINE) == [" 05 rope                          6 of  6"]
    write(folder, "def rope_half(x, cos, sin, positions):\n    return x\n")
    shown = run("verify", "--dir", str(folder), "--no-capstones").output
    assert " 0 of  6   not yet: rope_angles, rope_interleaved, rope_half and 3 more" in shown
    assert "Ada <A.>: 0 of 6" in shown, "the name of the last time"
    assert ">Ada &lt;A.&gt;</text>" in (folder / "verified.svg").read_text()
    solve(folder)
    run("verify", "--dir", str(folder), "--no-capstones")
    found = json.loads((folder / "verified.json").read_text())
    assert all(entry["passed"] and len(entry["sha256"]) == 64 for entry in found["exercises"])
    assert found["machine"]["read_gb_per_s"] > 0
    assert (folder / "verified.svg").read_text().startswith("<svg")


def test_watch_checks_what_was_saved(folder):
    shown = []
    watcher = Watcher(find_workspace(folder), shown.append, ROPE)
    try:
        assert watcher.look() is None
        solve(folder)
        assert watcher.look().exercise == ROPE.id
        text = (folder / "05_rope.py").read_text()
        (folder / "05_rope.py").write_text(text.replace("first * c - second * s", "first * c + second * s"))
        report = watcher.look()
        assert (report.exercise, report.status) == ("rope_half", "wrong")
        assert len(shown) == 2
    finally:
        watcher.close()


@pytest.mark.parametrize(
    ("keys", "shown", "n_footers"),
    [(b"q", r"mine/00_first_words\.py:\d+ +chapter 00: first words", 1), (b"hn", "hint 1 of", 3), (b"", "waiting", 1)],
)
def test_watching_ends_with_its_pipe(folder, keys, shown, n_footers):
    """`echo q | minillama learn watch`: keys are read, and nobody is left who could press another.

    It begins with where the function stands, and after whatever is shown come the keys again.
    """
    command = [sys.executable, "-m", "minillama", "learn", "watch", "--dir", str(folder)]
    ended = subprocess.run(command, input=keys, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert re.search(shown, ended.stdout.decode())
    assert ended.stdout.decode().count("[h] hint  [w] why") == n_footers


def test_the_kernels_of_a_learner_are_kept_and_damage_does_no_harm(tmp_path, monkeypatch):
    monkeypatch.delenv("NUMBA_CACHE_DIR")
    path = tmp_path / "01_numpy_to_numba.py"
    path.write_text("from numba import njit\n\n\n@njit\ndef twice(x):\n    return 2 * x\n")
    for hits, damage in ((0, None), (1, None), (0, b""), (0, b"garbage"), (1, None)):
        for kept in (tmp_path / "home" / "kernels").glob("learner-*/*") if damage is not None else ():
            kept.write_bytes(damage)
        twice = load_file(path).twice
        assert twice(21) == 42
        assert sum(twice.stats.cache_hits.values()) == hits


def test_the_speed_card_has_a_line_for_every_version(folder, monkeypatch):
    from minillama.learn import speed

    monkeypatch.setattr(speed, "roofs", lambda *n_bytes: (20e9, 50e9))
    solve(folder, "04")
    text = run("speed", "rmsnorm_kernel", "--dir", str(folder)).output
    for name in ("NumPy", "package", "yours", "PyTorch", "naive loops"):
        assert name in text
    assert "bound by memory" in text
    assert "is not about speed" in str(run("speed", "rope_half", "--dir", str(folder), code=1).exception)


@pytest.mark.parametrize(
    ("cached", "said"),
    [(30e9, "another roof, of which the fastest has 67%"), (10e9, "no more than such measurements scatter")],
)
def test_what_is_faster_than_memory_is_explained(cached, said):
    card = SpeedCard("e", "N=1", [Timing("yours", 5e-5, 0.0), Timing("NumPy", 1.0, 0.0)], 10.0, 1e6, 10e9, 1e12, cached)
    assert "200.0%" in "\n".join(card.lines())
    assert said in "\n".join(card.lines())
    slower = SpeedCard("e", "N=1", [Timing("yours", 2e-4, 0.0)], 10.0, 1e6, 10e9, 1e12)
    assert "Above" not in "\n".join(slower.lines())


def test_review_brings_back_the_oldest_and_loses_nothing(folder):
    assert "nothing is passed yet" in str(run("review", "--dir", str(folder), code=1).exception)
    workspace = find_workspace(folder)
    solve(folder)
    for id, at in (("rope_half", "2026-01-02 10:00"), ("rope_backward", "2026-01-01 10:00")):
        workspace.record(id).passed, workspace.record(id).at = True, at
    workspace.save()
    before = (folder / "05_rope.py").read_text()
    shown = run("review", "--dir", str(folder)).output
    assert "You wrote it on 2026-01-01 10:00" in shown
    path = folder / "review" / "rope_backward.py"
    assert "NotImplementedError" in function_text(path, "rope_backward")
    assert "NotImplementedError" not in function_text(path, "rope_interleaved")
    assert "not started yet" in run("review", "--dir", str(folder), code=1).output
    path.write_text(path.read_text().replace("raise NotImplementedError", "return -dy"))
    shown = run("review", "--dir", str(folder), code=1).output
    assert re.search(r"review/rope_backward\.py:\d+, then minillama learn review", " ".join(shown.split()))
    assert "minillama learn check" not in shown, "that is the function that counts"
    run("review", "rope_half", "--dir", str(folder))  # another one beside it
    path.write_text(before)
    assert "Once more, after 2026-01-01 10:00" in run("review", "rope_backward", "--dir", str(folder)).output
    assert not path.exists()
    assert len(list(path.parent.glob("rope_backward.py.*.bak"))) == 1
    assert (folder / "05_rope.py").read_text() == before
    record = find_workspace(folder).record("rope_backward")
    assert (record.passed, record.at) == (True, "2026-01-01 10:00")
    assert record.reviewed > record.at
    assert "rope_angles is not passed yet" in str(run("review", "rope_angles", "--dir", str(folder), code=1).exception)


def test_why_shows_the_section_about_the_last_mistake(folder):
    section = "Two pairings, and a file does not say which"
    assert section not in run("why", ROPE.id, "--dir", str(folder)).output
    halves = "return get_exercise('rope_half').function(x, cos, sin, positions)\n"
    write(folder, "from minillama.learn.chapters.catalogue import get_exercise\n\n\n" + SIGNATURE + halves)
    shown = run("check", ROPE.id, "--dir", str(folder), code=1).output
    assert shown.rstrip().endswith("about your mistake")
    assert f"minillama learn why {ROPE.id}" in " ".join(shown.split())
    shown = run("why", ROPE.id, "--dir", str(folder)).output
    assert f"   {ROPE.mistakes[0].name}\n\n {section}\n   code and pictures: notebooks/05_rope.ipynb" in shown
    assert "](" not in shown


def test_on_a_terminal_that_is_too_low_the_cause_and_the_keys_stay(monkeypatch, capsys):
    from minillama.cli.learn import _show

    monkeypatch.setenv("LINES", "14")
    report = Report(ROPE.id, "05", "wrong", headline=["The cause."], facts=[(f"fact {i}", "text") for i in range(20)])
    _show(report, room=5)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 14 - 5
    assert lines[2] == "   The cause."
    assert lines[-1] == f"   … all of it: minillama learn check {ROPE.id}"
    _show(report)
    assert len(capsys.readouterr().out.splitlines()) == len(report.lines())
