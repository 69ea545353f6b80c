"""Seconds of computing that a search may take."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_EVERY = 0.02  # seconds by the clock: that of the process takes as long as a small case


class Budget:
    """Time that runs from when it is made."""

    def __init__(self, seconds: float) -> None:
        self._begin, self._seconds, self._asked = time.process_time(), seconds, time.perf_counter()

    def is_spent(self) -> bool:
        if time.perf_counter() - self._asked < _EVERY:
            return False
        self._asked = time.perf_counter()
        return time.process_time() - self._begin > self._seconds


class TooSlow(BaseException):
    """A call took longer than it may. Not an Exception, so that no `except Exception` swallows it."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Stop Python code after some seconds of computing: a function that is given other arguments may never end.

    Raises
    ------
    TooSlow
        After that time, or at once where the system cannot stop it (no POSIX, or not in the main thread).
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        raise TooSlow

    def stop(number: int, frame: Any) -> None:
        raise TooSlow

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
