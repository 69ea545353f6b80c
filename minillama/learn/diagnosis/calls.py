"""What one call with every case cannot show: arguments that change or are handed back, results that are written to
again, arrays that lie in memory in another way.

A function is watched while it runs on other arguments of the sizes that it has had already.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims, Exercise, Function, name_dims, show_dims
from .compare import compare
from .layouts import first_difference, shared_with
from .report import WRONG, Report
from .trials import copied

_REUSED_IN = 3  # cases that are called twice for it
KEPT = (
    "Your function answers new arguments with what was right for earlier ones of the same sizes.",
    "Something is kept from one call to the next: a global, a default argument that is a list or an array, a cache.",
)
_REUSED = (
    "Your function writes each result into the array that it has returned before.",
    "Whoever still holds the last result finds the new numbers in it: make a new array in every call.",
)
_COPY_FIRST = "What append, pop, sort, del or an assignment does to it is seen outside as well: work on a copy."


class Watched:
    """A function that notes which of its arguments it has changed.

    Attributes
    ----------
    arrays : dict of str to int
        Names and numbers, from 1, of arguments in which an array was written to.
    containers : dict of str to int
        Of those that were lists or dicts and are others now. Arguments that `exercise` says are written to are in
        neither.
    shared : dict of str to int
        Of those whose memory a result uses too.
    """

    def __init__(self, exercise: Exercise, function: Function) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._names = list(inspect.signature(exercise.function).parameters)
        self._written = exercise.writes_to
        self.arrays: dict[str, int] = {}
        self.containers: dict[str, int] = {}
        self.shared: dict[str, int] = {}

    def __call__(self, *args: Any, **options: Any) -> Any:
        before = [copied(value) for value in args]
        result = self._function(*args, **options)
        shared = shared_with(result, args)
        self.shared |= {name: i + 1 for i, name in enumerate(self._names) if i in shared and name not in self._written}
        for number, (name, old, new) in enumerate(zip(self._names, before, args), 1):
            if name not in self._written:
                changed = _changed(old, new)
                if changed:
                    (self.arrays if changed == "array" else self.containers)[name] = number
        return result


def _changed(old: Any, new: Any) -> str:
    """ "array" or "container": what is not as it was when `old` was copied from it."""
    if isinstance(new, np.ndarray):
        same = isinstance(old, np.ndarray) and np.array_equal(old, new, equal_nan=new.dtype.kind in "fc")
        return "" if same else "array"
    if isinstance(new, list | tuple):
        if len(old) != len(new):
            return "container"
        return next((found for a, b in zip(old, new) if (found := _changed(a, b))), "")
    if isinstance(new, dict):
        if list(old) != list(new):
            return "container"
        return next((found for key in new if (found := _changed(old[key], new[key]))), "")
    return "" if old is new or (type(old) is type(new) and old == new) else "container"


def _writes_into_its_result(exercise: Exercise, function: Function, shapes: Sequence[Dims]) -> Dims | None:
    """The case whose result changes when the function is called again with other arguments of its sizes."""
    for dims in shapes[:_REUSED_IN]:
        result = function(*exercise.arguments(dims))
        before = copied(result)
        function(*exercise.redrawn().arguments(dims))
        if _is_copied(result) and _changed(before, result):
            return dims
    return None


def _is_copied(result: Any) -> bool:
    return isinstance(result, np.ndarray | list | tuple | dict)


def is_kept(exercise: Exercise, redrawn: Exercise, function: Function, dims: Dims) -> bool:
    """Whether the function answers new arguments with what was right for earlier ones of the same sizes."""
    exercise.run(function, dims)
    earlier, wanted = (one.run(exercise.reference, dims) for one in (exercise, redrawn))
    got = redrawn.run(function, dims)
    return compare(exercise, earlier, got).equal and not compare(exercise, wanted, got).equal


def look_at_calls(
    report: Report, exercise: Exercise, function: Function, watched: Watched, shapes: Sequence[Dims]
) -> None:
    """Results that are right, but not without a trace."""
    if watched.containers:
        name = next(iter(watched.containers))
        changed = (f"Your function changes its argument {name}, which belongs to the caller.", _COPY_FIRST)
        explain_calls(report, exercise, changed, shapes[-1])
        return
    if watched.arrays:
        number = next(iter(watched.arrays.values()))
        report.remarks.append(f"It writes into its argument {number}: a caller that still needs it would be surprised.")
    else:
        _remark_what_is_shared(report, exercise, watched, shapes)
    reused = _writes_into_its_result(exercise, function, shapes) if exercise.observe is None else None
    if reused is not None:
        explain_calls(report, exercise, _REUSED, reused)
        return
    _look_at_layouts(report, exercise, function, watched, shapes)


def _remark_what_is_shared(report: Report, exercise: Exercise, watched: Watched, shapes: Sequence[Dims]) -> None:
    """A result that is an argument, or a view of it, where the solution makes an array of its own."""
    if watched.shared:
        solution = Watched(exercise, exercise.function)
        for dims in shapes:
            exercise.run(solution, dims)
        for name in watched.shared.keys() - solution.shared.keys():
            shared = f"Its result uses the memory of its argument {name}: whoever writes into one changes the other."
            report.remarks.append(shared)


def _look_at_layouts(
    report: Report, exercise: Exercise, function: Function, watched: Watched, shapes: Sequence[Dims]
) -> None:
    found = first_difference(exercise, function, shapes)
    if found is None or (not found.advice and watched.arrays):  # who writes into it raises where it is read-only
        return
    if not found.advice:
        report.remarks.append(f"Given {found.given}, it raises {found.raised}.")
        return
    raised = f": then it raises {found.raised}" if found.raised else ""
    headline = f"Your function is right until it is given {found.given}{raised}.", found.advice
    explain_calls(report, exercise, headline, found.dims)


def explain_calls(report: Report, exercise: Exercise, headline: Sequence[str], dims: Dims) -> None:
    """Right results, and yet not right."""
    report.status = WRONG
    report.case = show_dims(dims)
    report.headline = list(headline)
    report.facts.append(("seen at", name_dims(dims)))
    report.next_step = f"Stuck? minillama learn hint {exercise.id}"
