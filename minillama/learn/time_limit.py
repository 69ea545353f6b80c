"""How long a check may take, and what is said of one that takes longer.

The time of the processor counts, not the clock's: on a busy machine a right function needs longer, and fails no check
for it. What waits is stopped as well. It hardly computes, while a process on a busy machine gets some share: measured
with eight others on two cores, a twelfth.
"""

from __future__ import annotations

from .diagnosis.exceptions import reported
from .diagnosis.report import TIMEOUT, Report
from .exercises.exercise import Exercise

_WAITING = 0.02  # share of the time: what computes less is taken to wait
_PATIENCE = {"waiting": 6, "computing": 30}  # times as long by the clock

_COMPUTES = """It was stopped after {seconds:.0f} seconds of computing; the cases are small, most take milliseconds.
Two things take that long: a loop that does not end, and a kernel under @njit inside of your function.
Such a kernel is compiled at every call: put it beside your function."""
_WAITS = """It was stopped after {elapsed:.0f} seconds, in which it computed for {computed:.1f}.
Does it wait for something: input, a sleep, a lock, another process? Or is the machine very busy?"""


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
    if elapsed < seconds:
        return False
    if computed is None or computed >= seconds:
        return True
    return elapsed >= seconds * _PATIENCE["waiting" if computed < _WAITING * elapsed else "computing"]


def too_long(exercise: Exercise, case: str, seconds: float, elapsed: float, computed: float | None) -> Report:
    """The report on a check for which `is_over` is true."""
    words = _COMPUTES if computed is None or computed >= seconds else _WAITS
    text = words.format(seconds=seconds, elapsed=elapsed, computed=computed)
    report = reported(exercise, TIMEOUT, text.split("\n"), {"case": case})
    report.seconds = elapsed
    return report
