"""`minillama learn watch`: check again whenever a file is saved; keys for hint, list, next and quit.

Files are looked at several times a second instead of asking the system for notices, which do not
come from network disks or from Windows into WSL. A process that has done its imports is always ready.
"""

from __future__ import annotations

import hashlib
import os
import queue
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..chapters.catalogue import catalogue
from ..diagnosis.report import Report
from ..exercises.exercise import Exercise
from .checker import Checker
from .folder import Workspace, WorkspaceError
from .learners_file import function_text

_PAUSE = 0.1  # seconds between looks


class Watcher:
    """What is watched, and the exercise that the learner is at.

    Parameters
    ----------
    workspace : Workspace
    show : callable
        Called with a Report.
    exercise : Exercise, optional
        By default the next one that is not passed.
    """

    def __init__(self, workspace: Workspace, show: Callable[[Report], None], exercise: Exercise | None = None) -> None:
        self.workspace, self.show = workspace, show
        self.current = exercise or workspace.next_exercise() or next(iter(catalogue().values()))
        self._seen: dict[str, str] = {}
        self._checker = Checker()
        self._times = self._file_times()
        self._changed()

    def _file_times(self) -> dict[str, tuple[int, int]]:
        times = {}
        for path in self.workspace.folder.glob("[0-9][0-9]_*.py"):
            try:
                status = path.stat()
            except OSError:
                continue  # an editor is just replacing it
            times[path.name] = status.st_mtime_ns, status.st_size
        return times

    def _changed(self) -> list[str]:
        """Exercises whose own function is not the one that was there when it was last looked at."""
        changed = []
        for id in catalogue():
            try:
                text = function_text(self.workspace.path_of(id), id)
            except (OSError, SyntaxError, WorkspaceError):
                continue
            digest = hashlib.sha256(text.encode()).hexdigest()
            if self._seen.get(id, digest) != digest:
                changed.append(id)
            self._seen[id] = digest
        return changed

    def check(self) -> Report:
        """Check the current exercise, remember the result, and make the next process ready."""
        try:
            report = self._checker.check(self.current, self.workspace.path_of(self.current.id))
        finally:
            self._checker.close()  # the file is another one after the next save
            self._checker = Checker()
        if report.status != "not started":
            self.workspace.note_result(self.current, report.passed, report.mistake)
        self.show(report)
        return report

    def look(self) -> Report | None:
        """Check if something was saved: the function that changed, otherwise the current one."""
        times = self._file_times()
        if times == self._times:
            return None
        changed = self._changed()
        if changed and self.current.id not in changed:
            self.current = catalogue()[changed[0]]
        try:
            self.workspace.path_of(self.current.id)
        except WorkspaceError:  # some editors take a file away before they write it again
            return None
        self._times = times
        return self.check()

    def close(self) -> None:
        self._checker.close()


@contextmanager
def single_keys() -> Iterator[Callable[[float], str]]:
    """A function that waits for a key for some seconds and returns it, or nothing.

    Without a terminal the keys are what a pipe sends; when it ends, so does the watching, as with "q".
    """
    if sys.stdin is None or not sys.stdin.isatty():
        yield _PipedKeys().next
        return
    try:
        import select
        import termios
        import tty
    except ImportError:  # Windows
        yield _windows_key
        return
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle)
        yield lambda seconds: sys.stdin.read(1) if select.select([sys.stdin], [], [], seconds)[0] else ""
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


class _PipedKeys:
    """Keys from a pipe or a file, read beside the watching. Where stdin is nothing (/dev/null, closed) none come."""

    def __init__(self) -> None:
        self._keys = queue.SimpleQueue[str]()
        try:
            handle = sys.stdin.fileno()
            is_nothing = stat.S_ISCHR(os.fstat(handle).st_mode)
        except (AttributeError, OSError, ValueError):
            return
        if not is_nothing:
            threading.Thread(target=self._read, args=(handle,), daemon=True).start()

    def _read(self, handle: int) -> None:
        while piece := os.read(handle, 1024):
            for key in piece.decode("utf-8", "replace"):
                self._keys.put(key)
        self._keys.put("q")

    def next(self, seconds: float) -> str:
        try:
            return self._keys.get(timeout=seconds)
        except queue.Empty:
            return ""


def _windows_key(seconds: float) -> str:
    import importlib

    keyboard: Any = importlib.import_module("msvcrt")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if keyboard.kbhit():
            return str(keyboard.getwch())
        time.sleep(0.02)
    return ""


def watch(watcher: Watcher, keys: dict[str, Callable[[], bool]]) -> None:
    """Look and listen until a key's function returns False, or Ctrl-C."""
    watcher.check()
    with single_keys() as next_key:
        while True:
            key = next_key(_PAUSE)
            if key in keys and not keys[key]():
                return
            watcher.look()
