"""What a wrong function does with other arguments: which it ignores, and for which its results would be right.

Both are found by running functions, so both are true of the function, whatever it looks like: the learner's with one
argument changed, and the reference with one changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims, Exercise
from .budget import Budget, TooSlow, limited
from .cases import cases_tried
from .changes import Arguments, changes_of, replaced
from .compare import Comparison, Mismatch, compare
from .trials import TooLong, Trials, copied

_SECONDS = 0.4  # of computing
_DRAWN, _MATTERS = 3, 4  # times that an argument is drawn again; other values of it that have to make a difference
_LENIENT = 1e-2  # tolerance of frequencies, which several arguments explain
_CASES = 3  # that fail and are not all the same: fewer are alike by chance


def ignored_argument(trials: Trials, shapes: Sequence[Dims]) -> str:
    """The name of an argument on which the function's results do not depend, although the right ones do."""
    try:
        with limited(2 * _SECONDS):
            return _ignored_argument(trials, shapes)
    except TooSlow:
        return ""


def _ignored_argument(trials: Trials, shapes: Sequence[Dims]) -> str:
    exercise, budget = trials.exercise, Budget(_SECONDS)
    if max(exercise.rtol, exercise.atol) > _LENIENT:
        return ""
    drawn = [exercise]
    for _ in range(_DRAWN):
        drawn.append(drawn[-1].redrawn())
    n_given = min(len(exercise.arguments(dims)) for dims in shapes)
    for i, name in enumerate(names_of_arguments(exercise)[:n_given]):
        matters = 0  # values for which the right result is another one
        for dims in shapes:
            args = exercise.arguments(dims)
            for value in (*(one.arguments(dims)[i] for one in drawn[1:]), *_nudged(args[i])):
                if budget.is_spent():
                    return ""
                right = run_on(exercise, exercise.reference, replaced(exercise.arguments(dims), i, value))
                if right is None:
                    continue
                got = run_on(exercise, trials.function, replaced(exercise.arguments(dims), i, copied(value)))
                if got is None or not _same(exercise, trials.got(dims), got):
                    matters = -1
                    break
                matters += not compare(exercise, trials.expected(dims), right).equal
            if matters < 0:
                break
        if matters >= _MATTERS:
            return name
    return ""


def right_for(trials: Trials, shapes: Sequence[Dims]) -> str:
    """A change of the arguments after which the function's results, in every case, would be the right ones."""
    try:
        with limited(2 * _SECONDS):
            return _right_for(trials, shapes)
    except TooSlow:
        return ""


def _right_for(trials: Trials, shapes: Sequence[Dims]) -> str:
    exercise, budget = trials.exercise, Budget(_SECONDS)
    if max(exercise.rtol, exercise.atol) > _LENIENT:
        return ""
    if any(isinstance(trials.got(dims), BaseException) for dims in shapes):
        return ""
    order = sorted(cases_tried(trials, shapes)[0], key=lambda d: isinstance(trials.outcome(d), Comparison))
    failing = [dims for dims in order if isinstance(trials.outcome(dims), Mismatch)]
    if len({repr(trials.got(dims)) for dims in failing}) < _CASES:
        return ""
    middle = len(failing) // 2  # neither one that tells little nor one that takes long
    order = [order[middle], *(dims for dims in shapes if dims in failing), *order[:middle], *order[middle + 1 :]]
    for text, change in changes_of(names_of_arguments(exercise), exercise.arguments(order[0]), order[0]):
        if budget.is_spent():
            return ""
        if all(_would_be_right(trials, dims, change) for dims in order):
            return text
    return ""


def _would_be_right(trials: Trials, dims: Dims, change: Callable[[Arguments, Dims], Arguments]) -> bool:
    exercise = trials.exercise
    try:
        args = change(exercise.arguments(dims), dims)
    except Exception:  # there is no such change of these arguments
        return False
    right = run_on(exercise, exercise.reference, args)
    return right is not None and compare(exercise, right, trials.got(dims)).equal


def names_of_arguments(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.function).parameters)


def run_on(exercise: Exercise, function: Callable[..., Any], args: Arguments) -> Any:
    """A result, or None where there is none."""
    try:
        return copied(function(*args) if exercise.observe is None else exercise.observe(function, args))
    except (KeyboardInterrupt, TooLong, TooSlow):
        raise
    except BaseException:
        return None


def _same(exercise: Exercise, a: Any, b: Any) -> bool:
    return not isinstance(a, BaseException) and compare(exercise, a, b).equal


def _nudged(value: Any) -> list[Any]:
    """Other values of numbers: drawing again may give the same, and a threshold shows only when it is crossed."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [0, 1, value + 1, max(value - 1, 0)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
        return [np.zeros_like(value), np.maximum(value, 1) - 1]
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return [value * value.dtype.type(x) for x in (1e-6, 1e6)]
    return [value * x for x in (0.0, 1e-3, 0.5, 2.0, 1e3)] if isinstance(value, float) else []
