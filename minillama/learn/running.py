"""Start workers, ask them, and say what happened when they do not answer."""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from .exceptions import reported
from .exercise import Dims, Exercise
from .report import ERROR, MEMORY, TIMEOUT, Report

SECONDS = 20.0  # for one check; the first one of a jitted function compiles
_START_SECONDS = 120.0


class Worker:
    """A process that is ready to check one function. Start it early: its imports then are no wait."""

    def __init__(self) -> None:
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115  closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "minillama.learn.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._printed,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def check(self, exercise: Exercise, path: Path, dims: Dims | None = None, seconds: float = SECONDS) -> Report:
        """Check the function in a file; the process ends with it."""
        request = {"exercise": exercise.id, "path": str(path), "dims": None if dims is None else dict(dims)}
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it has died: no line will come
        case, deadline = "", time.monotonic() + _START_SECONDS
        try:
            while True:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
                if line is None:
                    return self._died(exercise, case)
                message: dict[str, Any] = json.loads(line)
                if "report" in message:
                    return self._with_prints(Report.from_dict(message["report"]))
                if "ready" in message:
                    deadline = time.monotonic() + seconds
                case = message.get("case", case)
        except queue.Empty:
            return reported(exercise, TIMEOUT, _TOO_LONG.format(seconds=seconds).split("\n"), {"case": case})
        finally:
            self.close()

    def _with_prints(self, report: Report) -> Report:
        text = self._tail()
        if text:
            report.facts.append(("printed", text))
        return report

    def _tail(self) -> str:
        self._printed.seek(0, 2)
        self._printed.seek(max(0, self._printed.tell() - 2000))
        lines = self._printed.read().decode(errors="replace").splitlines()
        return "\n".join(line[:70] for line in lines[-5:])

    def _died(self, exercise: Exercise, case: str) -> Report:
        code = self._process.wait()
        text = self._tail()
        if "MemoryError" in text or code == -9:
            return reported(exercise, MEMORY, ["It took more memory than there is for one check."], {"case": case})
        facts = {"case": case, "its last words": text or "none"}
        return reported(exercise, ERROR, [f"The program ended in the middle of the check (exit code {code})."], facts)

    def close(self) -> None:
        """End the process, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._printed):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


_TOO_LONG = """It did not finish within {seconds:.0f} seconds, and was stopped: a loop that does not end?
The cases are small: most functions take milliseconds."""


def check_in_process(exercise: Exercise, path: Path, dims: Dims | None = None, seconds: float = SECONDS) -> Report:
    """Check a function of a file in a process of its own."""
    return Worker().check(exercise, path, dims, seconds)
