"""Check functions of a learner in another process, and say what happened when it does not answer."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from ...files.json_process import JsonProcess, ProcessEnded
from ..diagnosis.exceptions import reported
from ..diagnosis.report import ERROR, MEMORY, Report
from ..exercises.exercise import Dims, Exercise
from ..time_limit import is_over, too_long

SECONDS = 20.0  # of computing, for one check; the first one of a jitted function compiles
_START_SECONDS = 120.0
_LOOK = 0.2  # seconds between looks at the time that it has taken


class Checker:
    """A process that checks one function after another; files are loaded in it once.

    Start it early: then nobody waits for its imports. Where a function loops for ever, or takes the process with it,
    that is its report, and the next check starts a new process.
    """

    def __init__(self) -> None:
        self._process = _start()
        self._is_ready = False

    def check(self, exercise: Exercise, path: Path, dims: Dims | None = None, seconds: float | None = None) -> Report:
        """Check the function of an exercise in a file, within `seconds` of computing (by default SECONDS)."""
        seconds = SECONDS if seconds is None else seconds
        if not self._process.is_running:
            self._restart()
        begin = len(self._process.written())
        case = ""
        try:
            self._wait_until_ready()
            dims_or_none = None if dims is None else dict(dims)
            self._process.send({"exercise": exercise.id, "path": str(path), "dims": dims_or_none})
            clock, processor = time.monotonic(), self._process.cpu_seconds()
            while True:
                try:
                    message = self._process.receive(min(_LOOK, seconds))
                except TimeoutError:
                    elapsed, computed = time.monotonic() - clock, self._process.cpu_seconds()
                    if computed is not None and processor is not None:
                        computed -= processor
                    if is_over(seconds, elapsed, computed):
                        report = too_long(exercise, case, seconds, elapsed, computed)
                        break
                    continue
                if "report" in message:
                    return self._with_prints(Report.from_dict(message["report"]), begin)
                case = message.get("case", case)
        except ProcessEnded as end:
            report = self._died(exercise, case, end.code, begin)
        self._process.close()
        return report

    def _wait_until_ready(self) -> None:
        if not self._is_ready:
            self._process.receive(_START_SECONDS)
            self._is_ready = True

    def _restart(self) -> None:
        self._process.close()
        self._process, self._is_ready = _start(), False

    def _with_prints(self, report: Report, begin: int) -> Report:
        text = self._tail(begin)
        if text:
            report.facts.append(("printed", text))
        return report

    def _tail(self, begin: int) -> str:
        lines = self._process.written(begin)[-2000:].decode(errors="replace").splitlines()
        return "\n".join(line[:70] for line in lines[-5:])

    def _died(self, exercise: Exercise, case: str, code: int | None, begin: int) -> Report:
        text = self._tail(begin)
        if "MemoryError" in text or code == -9:
            return reported(exercise, MEMORY, ["It took more memory than there is for one check."], {"case": case})
        facts = {"case": case, "its last words": text or "none"}
        return reported(exercise, ERROR, [f"The program ended in the middle of the check (exit code {code})."], facts)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.close()


def _start() -> JsonProcess:
    return JsonProcess([sys.executable, "-m", "minillama.learn.workspace.worker"])


def check_in_process(exercise: Exercise, path: Path, dims: Dims | None = None, seconds: float | None = None) -> Report:
    """Check one function of a file in a process of its own."""
    checker = Checker()
    try:
        return checker.check(exercise, path, dims, seconds)
    finally:
        checker.close()
