"""How long a check takes in `watch`, in seconds of the processor: a busy machine fails no test."""

import sys

import pytest

from minillama.files.json_process import JsonProcess
from minillama.learn.chapters.catalogue import catalogue
from minillama.learn.workspace.folder import find_workspace, start
from minillama.learn.workspace.watch import Watcher

MOST = 2.0  # seconds, once kernels are compiled


@pytest.fixture
def mistaken(tmp_path):
    """A folder in which every function makes the first known mistake: to name it takes longest."""
    start(tmp_path / "mine")
    workspace = find_workspace(tmp_path / "mine")
    for path in workspace.folder.glob("*.py"):
        path.write_text("from minillama.learn.chapters.catalogue import get_exercise\n")
    for id in catalogue():
        with workspace.path_of(id).open("a") as file:
            file.write(f"\n\ndef {id}(*args):\n    return get_exercise({id!r}).mistakes[0].function(*args)\n")
    return workspace


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the time of another process is not known")
def test_a_report_in_watch_takes_two_seconds_at_most(mistaken, monkeypatch):
    """Of every exercise, from the save on: the process that checks has done its imports before."""
    watcher = Watcher(mistaken, lambda report: None)
    at_the_end = []
    close = JsonProcess.close
    monkeypatch.setattr(JsonProcess, "close", lambda self: at_the_end.append(self.cpu_seconds()) or close(self))

    def seconds(exercise):
        watcher.current = exercise
        watcher._checker._wait_until_ready()
        begin = watcher._checker._process.cpu_seconds()
        report = watcher.check()
        assert report.status in ("wrong", "error"), (exercise.id, report.text())
        return at_the_end[-1] - begin

    try:
        slow = [exercise for exercise in catalogue().values() if seconds(exercise) > MOST]
        again = {exercise.id: seconds(exercise) for exercise in slow}  # the first time kernels may have been compiled
    finally:
        watcher.close()
    assert {id: time for id, time in again.items() if time > MOST} == {}
