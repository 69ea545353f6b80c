"""A process that answers one line of JSON with another, within a time, and is ended for certain."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from typing import Any


class PeerError(ValueError):
    """An engine could not start, died, took too long or said what is wrong; in one sentence."""


class Worker:
    """A process that answers one line of JSON with another.

    Parameters
    ----------
    command : sequence of str
        The settings follow as the last argument.
    settings : dict
    timeout : float
        Seconds that starting, and each answer, may take.

    Raises
    ------
    PeerError
        When it does not start; `missing` in it names a module that is not installed.
    """

    def __init__(self, command: Sequence[str], settings: dict[str, Any], timeout: float) -> None:
        self._timeout, self._lines = timeout, queue.SimpleQueue[str]()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (`close` closes it)
        # A session of its own: Ctrl-C is for the process that measures, which ends this one.
        try:
            self._process = subprocess.Popen(
                [*command, json.dumps(settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise PeerError(f"{command[0]} cannot be started: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.about: dict[str, Any] = self._answer()["ready"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to `request`; PeerError when there is none."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process and whatever it started."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                if hasattr(os, "killpg"):
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(BrokenPipeError):
                stream.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            raise PeerError(f"gave no answer in {self._timeout:g} s") from None
        if not line:
            raise PeerError(f"ended unexpectedly ({self._ending()}){self._last_words()}")
        try:
            answer = json.loads(line)
        except ValueError:
            raise PeerError(f"answered {line[:80]!r} instead of JSON") from None
        if "missing" in answer:
            raise PeerError(f"not installed: {answer['missing']} is missing")
        if "error" in answer:
            raise PeerError(f"{answer['error']}{self._last_words()}")
        return dict(answer)

    def _ending(self) -> str:
        """Its exit code, or the name of the signal that ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        return signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"

    def _last_words(self) -> str:
        """The last line that the process wrote to stderr."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""
