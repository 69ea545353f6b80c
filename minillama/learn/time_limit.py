"""How long a check may take, and what is said of one that takes longer.

The time of the processor counts, not the clock's: on a busy machine a right function needs longer, and fails no check
for it. What waits without computing is stopped as well, after a time that no function needs.
"""

from __future__ import annotations

from .diagnosis.exceptions import reported
from .diagnosis.report import TIMEOUT, Report
from .exercises.exercise import Exercise

_PATIENCE = 6  # times as long by the clock, for what does not compute

_COMPUTES = """It was stopped after {seconds:.0f} seconds of computing; the cases are small, most take milliseconds.
Two things take that long: a loop that does not end, and a kernel under @njit inside of your function.
Such a kernel is compiled at every call: put it beside your function."""
_WAITS = """It was stopped after {elapsed:.0f} seconds, in which it computed for {computed:.1f}.
What does it wait for? Input from the keyboard, a sleep, a lock, or another process?"""


def is_over(seconds: float, elapsed: float, computed: float | None) -> bool:
    """Whether a check has had its time.

    Parameters
    ----------
    seconds : float
        Of computing that it may take; it always has that long by the clock.
    elapsed : float
        Seconds by the clock.
    computed : float or None
        Seconds of the processor, of all threads; None where the system does not say, so that the clock has to do.
    """
    had_its_share = computed is None or computed >= seconds
    return elapsed >= seconds and (had_its_share or elapsed >= _PATIENCE * seconds)


def too_long(exercise: Exercise, case: str, seconds: float, elapsed: float, computed: float | None) -> Report:
    """The report on a check for which `is_over` is true."""
    words = _COMPUTES if computed is None or computed >= seconds else _WAITS
    text = words.format(seconds=seconds, elapsed=elapsed, computed=computed)
    report = reported(exercise, TIMEOUT, text.split("\n"), {"case": case})
    report.seconds = elapsed
    return report
