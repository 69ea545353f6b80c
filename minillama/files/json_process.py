"""A process that answers lines of JSON with lines of JSON, within a time, and is ended for certain.

Used where something may crash, hang or take all memory without harm to this process: other engines that are measured,
and the code of learners.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class ProcessEnded(Exception):
    """The process ended before it answered; `code` is its exit code, minus the signal's number if it was one."""

    def __init__(self, code: int | None) -> None:
        name = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        super().__init__(name)
        self.code = code


def _computed(stat: Path, group: int) -> float:
    """Seconds of the processor from a file /proc/…/stat, with those of children that it waited for; 0 of other groups.

    proc(5): after the name in brackets, which may hold anything, come state, parent, group …, and as the 12th to 15th
    the times in user code and in the system, its own and its children's.
    """
    try:
        fields = stat.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:  # it has just ended
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") if int(fields[2]) == group else 0.0


class JsonProcess:
    """Start a command and talk with it over its stdin and stdout; what it writes to stderr is kept.

    Parameters
    ----------
    command : sequence of str

    Raises
    ------
    OSError
        When it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._lines = queue.SimpleQueue[str]()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        try:
            # A session of its own: Ctrl-C is for this process, which ends that one and whatever it started.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                start_new_session=True,
            )
        except OSError:
            self._errors.close()
            raise
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        atexit.register(self.close)  # a loop without end would outlive this process

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed while it was read
            for line in self._process.stdout:
                self._lines.put(line)
        self._lines.put("")

    def send(self, message: dict[str, Any]) -> None:
        """Write one line. If the process has ended, `receive` will say so."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def receive(self, seconds: float) -> dict[str, Any]:
        """The next line.

        Raises
        ------
        TimeoutError
            When none comes in time.
        ProcessEnded
        ValueError
            When the line is not a JSON object; its text is the message.
        """
        try:
            line = self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            raise TimeoutError(f"no answer in {seconds:g} s") from None
        if not line:
            raise ProcessEnded(self._exit_code())
        try:
            return dict(json.loads(line))
        except (ValueError, TypeError):
            raise ValueError(line) from None

    def _exit_code(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def cpu_seconds(self) -> float | None:
        """What the process has computed so far, on all its threads, with the processes of its group.

        None where the system does not say: Linux alone does, in /proc.
        """
        found = [_computed(path, self._process.pid) for path in Path("/proc").glob("[0-9]*/stat")]
        return sum(found) if any(found) else None

    def written(self, since: int = 0) -> bytes:
        """What it has written to stderr, from that byte on."""
        self._errors.seek(since)
        return self._errors.read()

    def close(self) -> None:
        """End the process, whatever it does, and whatever it started."""
        atexit.unregister(self.close)
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
