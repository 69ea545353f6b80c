"""`check` in a notebook: the same feedback, rendered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .chapters.catalogue import get_exercise
from .diagnosis.check import TooLong, check_function
from .diagnosis.exceptions import reported
from .diagnosis.report import TIMEOUT, Report
from .exercises.exercise import Function, parse_dims

_SECONDS = 30


def check(exercise_id: str, function: Function, *, case: str | None = None) -> Report:
    """Check a function against an exercise of the book.

    Parameters
    ----------
    exercise_id : str
        Such as "rope_interleaved"; `minillama learn` lists them.
    function : callable
    case : str, optional
        Only this case, as a report names it: "1x2x1x4".

    Returns
    -------
    report : Report
        Shown when it is the last value of a cell; `report.passed` is True or False.

    Raises
    ------
    ValueError
        When there is no exercise of that name.
    """
    exercise = get_exercise(exercise_id)
    dims = parse_dims(exercise, case) if case else None
    running = [""]
    try:
        with _time_limit(_SECONDS):
            return check_function(exercise, function, dims=dims, progress=lambda case: running.__setitem__(0, case))
    except TooLong:
        text = f"It did not finish within {_SECONDS} seconds: a loop that does not end?"
        return reported(exercise, TIMEOUT, [text], {"case": running[0]})


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Interrupt Python code after a while, where the system can (POSIX, main thread)."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
