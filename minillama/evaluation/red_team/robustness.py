"""Robustness γ: how many violating prompts a person finds in an hour.

The paper (section 4.3): the robustness γ of a model, with respect to a red-teaming exercise of a set of experts, is the
average number of created prompts per person per hour that trigger a violating response; on the 7B model it went from
1.8 to 0.45 over several rounds. Lower is more robust.

    γ = violating prompts / hours of all people together

The clock here runs while a person thinks and types, from the prompt's appearance to Enter: not while the model
generates, nor while the person reads the answer and marks it (kept beside it), so γ is higher than one with all of
the time would be, and the report gives both. The interval takes violations for a Poisson process and is exact (Garwood
1936): it says how far chance alone goes, not how much one person differs from another.

Left out: the paper's rounds (did an earlier violation still work on the next model?), which are two logs compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ..statistics.intervals import Interval
from . import journal

Clock = Callable[[], float]
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "person": str,
    "model": str,
    "request": str,
    "answer": str,
    "violates": bool,
    "typing_seconds": (int, float),
    "marking_seconds": (int, float),
}


@dataclass(frozen=True)
class Attempt:
    """One prompt that a person tried.

    Attributes
    ----------
    person, model : str
    request, answer : str
        An empty request stands for time that led to none, before the person left.
    violates : bool
        As the person marked it.
    typing_seconds : float
        Of thinking and typing.
    marking_seconds : float
        Of reading the answer and marking it.
    """

    person: str
    model: str
    request: str
    answer: str
    violates: bool
    typing_seconds: float
    marking_seconds: float


class Robustness(NamedTuple):
    """γ of a log.

    Attributes
    ----------
    gamma : float
        Violating prompts per hour of thinking and typing; nan without any time.
    interval : Interval
    gamma_with_marking : float
        The same per hour of thinking, typing, reading and marking.
    violations, attempts, people : int
    hours : float
        Of thinking and typing.
    """

    gamma: float
    interval: Interval
    gamma_with_marking: float
    violations: int
    attempts: int
    people: int
    hours: float


class Stopwatch:
    """Adds up the time between `start` and `stop`.

    Parameters
    ----------
    clock : callable
        Seconds; only differences count.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self.seconds = clock, 0.0
        self._began: float | None = None

    def start(self) -> None:
        """Let it run; nothing changes if it does."""
        self._began = self._clock() if self._began is None else self._began

    def stop(self) -> None:
        """Let it stand; nothing changes if it does."""
        if self._began is not None:
            self.seconds += max(0.0, self._clock() - self._began)
            self._began = None

    def take(self) -> float:
        """Stop, and give what has come together since the last time."""
        self.stop()
        seconds, self.seconds = self.seconds, 0.0
        return seconds


class AttemptLog:
    """The attempts of people on a model, in a file that grows.

    Parameters
    ----------
    path : Path

    Raises
    ------
    ValueError
        A line of it is no attempt.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempts = [_attempt(row, path) for row in journal.read(path, _FIELDS)]

    def add(self, attempt: Attempt) -> None:
        """Keep an attempt; it is on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        journal.append(self.path, asdict(attempt))
        self.attempts.append(attempt)


def _attempt(row: dict, path: Path) -> Attempt:
    seconds = (row["typing_seconds"], row["marking_seconds"])
    if not all(math.isfinite(value) and value >= 0 for value in seconds):
        raise ValueError(f"{path}: expected seconds of 0 or more, found {seconds}")
    return Attempt(**{name: row[name] for name in _FIELDS})


def robustness(attempts: Sequence[Attempt], level: float = 0.95) -> Robustness:
    """γ of the attempts of one or more people.

    Parameters
    ----------
    attempts : sequence of Attempt
    level : float
        Of the interval.
    """
    hours = sum(attempt.typing_seconds for attempt in attempts) / 3600
    whole = hours + sum(attempt.marking_seconds for attempt in attempts) / 3600
    count = sum(attempt.violates for attempt in attempts)
    tried = sum(bool(attempt.request) for attempt in attempts)
    low, high = poisson_interval(count, level)
    interval = Interval(low / hours, high / hours) if hours else Interval(0.0, math.inf)
    people = len({attempt.person for attempt in attempts})
    per_hour = count / hours if hours else math.nan
    return Robustness(per_hour, interval, count / whole if whole else math.nan, count, tried, people, hours)


def poisson_interval(count: int, level: float = 0.95) -> Interval:
    """The exact interval of a Poisson mean of which `count` events were seen (Garwood 1936)."""
    if count < 0 or not 0 < level < 1:
        raise ValueError(f"expected a count of 0 or more and a level between 0 and 1, got {count} and {level}")
    tail = (1 - level) / 2
    low = _solved(lambda mean: 1 - _poisson_cdf(count - 1, mean) - tail, count) if count else 0.0
    return Interval(low, _solved(lambda mean: tail - _poisson_cdf(count, mean), count))


def _poisson_cdf(count: int, mean: float) -> float:
    """P(X ≤ count), summed in logarithms: means of thousands have no e^-mean."""
    if count < 0:
        return 0.0
    if mean == 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    return min(1.0, math.fsum(map(math.exp, logs)))


def _solved(rising: Callable[[float], float], count: int) -> float:
    """Where a rising function of a mean is 0, by halving."""
    low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
