"""What a learner's function, the reference and the known mistakes give on each case, computed once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims, Exercise, Function, Mistake, show_dims
from .compare import Comparison, Mismatch, compare

Progress = Callable[[str], None]
Outcome = Comparison | Mismatch | BaseException


class TooLong(BaseException):
    """Time is up. Not an Exception, so that a learner's `except Exception` does not swallow it."""


_SHRINKING_STEPS = 24


class Trials:
    """Results by case. Arguments are made anew for every call, so that no function spoils those of another."""

    def __init__(self, exercise: Exercise, function: Function, progress: Progress = lambda case: None) -> None:
        self.exercise, self.function, self._progress = exercise, function, progress
        self._expected: dict[str, Any] = {}
        self._got: dict[str, Any] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._known: dict[tuple[str, int], Any] = {}
        self._equal: dict[tuple[str, int], bool] = {}

    def expected(self, dims: Dims) -> Any:
        case = show_dims(dims)
        if case not in self._expected:
            self._expected[case] = self.exercise.run(self.exercise.reference, dims)
        return self._expected[case]

    def got(self, dims: Dims) -> Any:
        """The learner's result, or what was raised."""
        case = show_dims(dims)
        if case not in self._got:
            self._progress(case)
            self._got[case] = self.run_again(dims)
        return self._got[case]

    def run_again(self, dims: Dims) -> Any:
        try:
            return copied(self.exercise.run(self.function, dims))
        except (KeyboardInterrupt, TooLong):
            raise
        except BaseException as error:  # a learner's code may raise anything, SystemExit too
            return error

    def outcome(self, dims: Dims) -> Outcome:
        """A mismatch or an exception; or the comparison, if all is well."""
        case = show_dims(dims)
        if case not in self._outcomes:
            self._outcomes[case] = self.judged(dims, self.got(dims))
        return self._outcomes[case]

    def judged(self, dims: Dims, got: Any) -> Outcome:
        """What a result of the learner's is, held against the reference."""
        if isinstance(got, BaseException):
            return got
        comparison = compare(self.exercise, self.expected(dims), got)
        return comparison if comparison.mismatch is None else comparison.mismatch

    def known(self, mistake: Mistake, dims: Dims) -> Any:
        """The result of a known mistake, or the exception that it raises."""
        key = show_dims(dims), id(mistake)
        if key not in self._known:
            try:
                self._known[key] = self.exercise.run(mistake.function, dims)
            except Exception as error:
                self._known[key] = error
        return self._known[key]

    def equals(self, mistake: Mistake, dims: Dims) -> bool:
        """Whether the learner's function does there what a known mistake does."""
        key = show_dims(dims), id(mistake)
        if key not in self._equal:
            known, got = self.known(mistake, dims), self.got(dims)
            if isinstance(known, BaseException) or isinstance(got, BaseException):
                self._equal[key] = type(known) is type(got)
            else:
                self._equal[key] = compare(self.exercise, known, got).equal
        return self._equal[key]

    def shows(self, mistake: Mistake, dims: Dims) -> bool:
        """Whether a known mistake is wrong there."""
        known = self.known(mistake, dims)
        return isinstance(known, BaseException) or not compare(self.exercise, self.expected(dims), known).equal

    def makes_sense(self, dims: Dims) -> bool:
        """Whether the exercise, and its reference, take these sizes."""
        try:
            self.exercise.arguments(dims)
            self.expected(dims)
        except Exception:
            return False
        return True

    def shrunk(self, dims: Dims, still: Callable[[Dims], bool] | None = None) -> Dims:
        """The smallest dims found that fail in the same way, or are `still` so: every size halved or lowered."""
        failed = self.outcome(dims)
        best, steps = dict(dims), 0
        if isinstance(failed, NotImplementedError | MemoryError):
            return best
        still = still or (lambda candidate: _way(self.outcome(candidate)) == _way(failed))
        lowest = lowest_sizes(self.exercise)
        tried: set[str] = set()
        again = True
        while again and steps < _SHRINKING_STEPS:
            again = False
            for name, size in sorted(best.items(), key=lambda item: -item[1]):
                for smaller in dict.fromkeys((lowest[name], 1, size // 2, size - 1, size - 2)):
                    candidate = {**best, name: smaller}
                    case = show_dims(candidate)
                    if not lowest[name] <= smaller < size or case in tried or steps >= _SHRINKING_STEPS:
                        continue
                    tried.add(case)
                    steps += 1
                    if self.makes_sense(candidate) and still(candidate):
                        best, again = candidate, True
                        break
                if again:
                    break
        return best


def lowest_sizes(exercise: Exercise) -> dict[str, int]:
    """The least of each size that makes sense: 0 where the exercise has a case of 0, else 1."""
    return {name: min(1, *(shape[name] for shape in exercise.shapes)) for name in exercise.shapes[0]}


def smaller_cases(exercise: Exercise, shapes: Sequence[Dims]) -> Iterator[Dims]:
    """The shapes, and each with one or two of its sizes lowered to the least ones; the smallest first."""
    lowest = lowest_sizes(exercise)
    found = {show_dims(shape): dict(shape) for shape in shapes}
    for shape in shapes:
        low = {n: {v for v in (lowest[n], lowest[n] + 1, lowest[n] + 2) if v < shape[n]} for n in shape}
        for name in shape:
            for size in low[name]:
                one = {**shape, name: size}
                found.setdefault(show_dims(one), one)
                for other in shape:
                    if other != name and lowest[other] < shape[other]:
                        two = {**one, other: lowest[other]}
                        found.setdefault(show_dims(two), two)
    yield from sorted(found.values(), key=volume)


def volume(dims: Dims) -> tuple[int, int]:
    """How large a case is: the product of its sizes, then their sum."""
    return math.prod(max(n, 1) for n in dims.values()), sum(dims.values())


def _way(outcome: Outcome) -> str:
    """In which way it fails, or nothing."""
    if isinstance(outcome, Comparison):
        return ""
    return type(outcome).__name__ if isinstance(outcome, BaseException) else outcome.kind


def copied(value: Any) -> Any:
    """Arrays, tuples, lists and dicts as they are now, which no later call can overwrite; anything else itself."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, tuple | list):
        parts = map(copied, value)
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return {key: copied(v) for key, v in value.items()} if isinstance(value, dict) else value
