"""Seconds that a step has taken, over all processes that worked on it: by the clock, and of the CPU.

A process that is killed has no last word, so that the seconds are written down about once a second while it works,
into a journal of its own; at most the last second is lost.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ....files.errors import CheckpointError
from ....files.journal import Journal, whole_lines

SECONDS = "seconds.jsonl"
_EVERY = 1.0


class Spent(NamedTuple):
    """Seconds by the clock, and of the CPU: those of all threads together."""

    wall: float
    cpu: float


class StepClock:
    """Counts from when it is made; what earlier processes took is added.

    Parameters
    ----------
    folder : Path
        Of the step; it exists.
    """

    def __init__(self, folder: Path) -> None:
        self._before = _recorded(folder / SECONDS)
        self._journal = Journal(folder / SECONDS, on_disk=False)
        self._process = sum(1 for _ in self._journal.lines())  # any number that no earlier process has
        self._began = (time.perf_counter(), time.process_time())
        self._next = self._began[0] + _EVERY

    def tick(self) -> None:
        """Write the seconds down, if that was not done a moment ago."""
        if time.perf_counter() >= self._next:
            self._next = time.perf_counter() + _EVERY
            wall, cpu = self._here()
            self._journal.append({"process": self._process, "wall": round(wall, 6), "cpu": round(cpu, 6)})

    def spent(self) -> Spent:
        """Of all processes up to now."""
        wall, cpu = self._here()
        return Spent(round(self._before.wall + wall, 6), round(self._before.cpu + cpu, 6))

    def close(self) -> None:
        """Write the last seconds down, where there is room."""
        self._next = 0.0
        with suppress(OSError):
            self.tick()
        self._journal.close()

    def _here(self) -> Spent:
        return Spent(time.perf_counter() - self._began[0], time.process_time() - self._began[1])


def _recorded(path: Path) -> Spent:
    """The last line of every process, added up."""
    by_process = {}
    for number, line in enumerate(whole_lines(path).splitlines(), 1):
        try:
            row = json.loads(line)
            by_process[row["process"]] = (float(row["wall"]), float(row["cpu"]))
        except (ValueError, TypeError, KeyError):
            raise CheckpointError(path, f"line {number}", "says no seconds; delete the file: they count anew") from None
    return Spent(sum(wall for wall, _ in by_process.values()), sum(cpu for _, cpu in by_process.values()))
