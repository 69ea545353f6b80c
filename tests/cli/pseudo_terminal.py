"""A program in a pseudo-terminal: what a person types, and what the screen is told."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import termios
import time


class Terminal:
    """Start Python with `arguments` in a terminal that answers no questions about itself.

    Parameters
    ----------
    arguments : str
        Of the interpreter.
    environment : str
        Beside that of this process.
    """

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.seen = b""
        self._pid, self._handle = pty.fork()
        if self._pid == 0:
            os.environ.update({"TERM": "xterm", **environment})
            os.execv(sys.executable, [sys.executable, *arguments])

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)
        os.close(self._handle)

    def type(self, keys: bytes) -> None:
        os.write(self._handle, keys)

    def until_keys_are_read(self, seconds: float = 3) -> None:
        """Wait until the program takes keys one by one; before that the terminal itself acts on Ctrl-D and the like.

        A program that reads whole lines never does: then the time runs out.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end and termios.tcgetattr(self._handle)[3] & termios.ICANON:
            time.sleep(0.02)

    def wait_for(self, text: bytes, seconds: float = 60) -> bytes:
        """What is shown up to and with `text`; it will not be found again."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < end and self._read(end), f"no {text!r} in {self.seen!r}"  # noqa: PT018
        shown, _, self.seen = self.seen.partition(text)
        return shown + text

    def end(self, seconds: float = 60) -> int:
        """The exit code, once the program has ended by itself."""
        end = time.monotonic() + seconds
        while self._read(end):
            assert time.monotonic() < end, f"still running: {self.seen!r}"
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self, end: float) -> bool:
        if select.select([self._handle], [], [], max(0.0, end - time.monotonic()))[0]:
            with contextlib.suppress(OSError):  # Linux's way to say that nobody is there any more
                piece = os.read(self._handle, 1 << 16)
                self.seen += piece
                return bool(piece)
            return False
        return True
