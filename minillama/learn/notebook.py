"""`check` in a notebook: the same feedback, rendered."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .chapters.catalogue import get_exercise
from .diagnosis.check import check_function
from .diagnosis.report import Report
from .diagnosis.trials import TooLong
from .exercises.exercise import Function, parse_dims
from .time_limit import is_over, too_long

_SECONDS = 30  # of computing


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
    running, begin = [""], (time.monotonic(), time.process_time())

    def taken() -> tuple[float, float]:
        return time.monotonic() - begin[0], time.process_time() - begin[1]

    try:
        with _interrupted_when(lambda: is_over(_SECONDS, *taken()), _SECONDS):
            return check_function(exercise, function, dims=dims, progress=lambda case: running.__setitem__(0, case))
    except TooLong:
        return too_long(exercise, running[0], _SECONDS, *taken())


@contextmanager
def _interrupted_when(is_due: Callable[[], bool], seconds: float) -> Iterator[None]:
    """Interrupt Python code when it is over, asked after some seconds and then again every second.

    Where the system can (POSIX, main thread).
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        if is_due():
            raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
