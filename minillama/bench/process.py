"""An engine in a process of its own, and in one sentence what went wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ..files.json_process import JsonProcess, ProcessEnded


class PeerError(ValueError):
    """An engine could not start, died, took too long or said what is wrong; in one sentence."""


class Worker:
    """An engine that answers requests.

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
        When it does not start; `missing` in its answer names a module that is not installed.
    """

    def __init__(self, command: Sequence[str], settings: dict[str, Any], timeout: float) -> None:
        self._timeout = timeout
        try:
            self._process = JsonProcess([*command, json.dumps(settings)])
        except OSError as error:
            raise PeerError(f"{command[0]} cannot be started: {error.strerror}") from error
        try:
            self.about: dict[str, Any] = self._answer()["ready"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to `request`; PeerError when there is none."""
        self._process.send(request)
        return self._answer()

    def close(self) -> None:
        """End the process and whatever it started."""
        self._process.close()

    def _answer(self) -> dict[str, Any]:
        try:
            answer = self._process.receive(self._timeout)
        except TimeoutError:
            raise PeerError(f"gave no answer in {self._timeout:g} s") from None
        except ProcessEnded as end:
            raise PeerError(f"ended unexpectedly ({end}){self._last_words()}") from None
        except ValueError as line:
            raise PeerError(f"answered {str(line)[:80]!r} instead of JSON") from None
        if "missing" in answer:
            raise PeerError(f"not installed: {answer['missing']} is missing")
        if "error" in answer:
            raise PeerError(f"{answer['error']}{self._last_words()}")
        return answer

    def _last_words(self) -> str:
        """The last line that the process wrote to stderr."""
        lines = self._process.written().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""
