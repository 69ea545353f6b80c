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
_STAYS = (
    "What a function is given stays as it is, unless its text says that it is written to. What +=, an assignment to a "
    "part, append, sort or del does is seen outside as well, and a slice of an array is no copy: copy it first."
)


class Watched:
    """A function that notes which of its arguments it has changed.

    Attributes
    ----------
    changed : dict of str
        The names of these arguments, in order; without those that `exercise` says are written to.
    shared : dict of str
        Of those whose memory a result uses, too.
    """

    def __init__(self, exercise: Exercise, function: Function) -> None:
        functools.update_wrapper(self, function, updated=())
        self._function = function
        self._names = list(inspect.signature(exercise.function).parameters)
        self._written = exercise.writes_to
        self.changed: dict[str, None] = {}
        self.shared: dict[str, None] = {}

    def __call__(self, *args: Any, **options: Any) -> Any:
        before = [copied(value) for value in args]
        result = self._function(*args, **options)
        shared = shared_with(result, args)
        for i, (name, old, new) in enumerate(zip(self._names, before, args)):
            if name not in self._written:
                if _changed(old, new):
                    self.changed[name] = None
                if i in shared:
                    self.shared[name] = None
        return result

    @property
    def named(self) -> str:
        """The changed arguments: "argument x", "arguments gate and up"."""
        *most, last = self.changed
        return f"arguments {', '.join(most)} and {last}" if most else f"argument {last}"


def _changed(old: Any, new: Any) -> bool:
    """Whether something is not as it was when `old` was copied from it."""
    if isinstance(new, np.ndarray):
        same = isinstance(old, np.ndarray) and np.array_equal(old, new, equal_nan=new.dtype.kind in "fc")
        return not same
    if isinstance(new, list | tuple):
        return len(old) != len(new) or any(map(_changed, old, new))
    if isinstance(new, dict):
        return list(old) != list(new) or any(_changed(old[key], new[key]) for key in new)
    return not (old is new or (type(old) is type(new) and old == new))


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
    if watched.changed:
        belongs = "which belong to the caller" if len(watched.changed) > 1 else "which belongs to the caller"
        explain_calls(report, exercise, (f"Your function changes its {watched.named}, {belongs}.", _STAYS), shapes[-1])
        return
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
    if found is None:
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
