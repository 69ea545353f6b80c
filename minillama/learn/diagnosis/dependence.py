"""On which numbers of an argument each result depends: what must not be seen and is, what must be seen and is not.

One slice of an argument is replaced, and it is seen which slices of the result change: those of the right result, and
those of the function's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Dims
from .budget import Budget
from .changes import Arguments
from .compare import Mismatch, differs
from .heat_map import names_of
from .probing import run_on
from .trials import Trials

_SECONDS = 0.4
_LONGEST = 9  # slices of an axis
_LARGEST = 1 << 13  # numbers of a result
_CASES = 3
_SCALES = (1e-6, 1e6)  # of an argument: a decision or a maximum changes only where the numbers do so much

Flags = NDArray[np.bool_]


def depends_otherwise(trials: Trials, failing: Sequence[Dims], axes: Sequence[str]) -> str:
    """A sentence on what each slice of the result depends on, true in several cases; else nothing."""
    budget = Budget(_SECONDS)
    if trials.exercise.observe is not None:
        return ""  # what is compared is no result of these arguments alone
    said: list[list[str]] = []
    for dims in failing:
        if budget.is_spent() or len(said) == _CASES:
            break
        found = list(_sentences(trials, dims, axes)) if _can_tell(trials, dims) else []
        if found:
            said.append(found)
    for text in dict.fromkeys(text for found in said for text in found):
        n = sum(text in found for found in said)
        if n > 1 and (n == len(said) or " not depend" not in text):
            return text
    return ""


def _can_tell(trials: Trials, dims: Dims) -> bool:
    outcome = trials.outcome(dims)
    return isinstance(outcome, Mismatch) and outcome.wrong is not None and 2 < outcome.wrong.size <= _LARGEST


def _sentences(trials: Trials, dims: Dims, axes: Sequence[str]) -> Iterator[str]:
    exercise, outcome = trials.exercise, trials.outcome(dims)
    assert isinstance(outcome, Mismatch)
    part = exercise.outputs.index(outcome.output) if outcome.output in exercise.outputs else 0
    names = names_of(axes, outcome.expected.ndim)
    same = _same_axes(trials)
    for i, (argument, value) in enumerate(exercise.named_arguments(dims).items()):
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            continue
        for source in range(value.ndim):
            for target, name in enumerate(names):
                n = outcome.expected.shape[target]
                if 2 <= n <= _LONGEST and (i, source, part, target) in same:
                    yield from _along(trials, dims, (i, source), (part, target), (argument, name, outcome.output))


def _same_axes(trials: Trials) -> set[tuple[int, int, int, int]]:
    """(argument, its axis, part of the result, its axis) of equal length in all shapes: one axis, not a coincidence."""
    found: set[tuple[int, int, int, int]] | None = None
    for dims in trials.exercise.shapes:
        expected = trials.expected(dims)
        parts = expected if isinstance(expected, tuple) else (expected,)
        here = {
            (i, source, part, target)
            for i, value in enumerate(trials.exercise.arguments(dims))
            for source, n in enumerate(np.shape(value) if isinstance(value, np.ndarray) else ())
            for part, result in enumerate(parts)
            for target, m in enumerate(np.shape(result) if isinstance(result, np.ndarray) else ())
            if n == m
        }
        found = here if found is None else found & here
    return found or set()


def _along(
    trials: Trials, dims: Dims, where: tuple[int, int], result: tuple[int, int], names: tuple[str, str, str]
) -> Iterator[str]:
    exercise = trials.exercise
    right = _changes(trials, exercise.reference, dims, where, result)
    if right is None or right.all() or not right.any():
        return
    yours = _changes(trials, trials.function, dims, where, result)
    if yours is None:
        return
    moved = yours.copy()
    for factor in _SCALES if (right & ~yours).any() else ():
        scaled = _changes(trials, trials.function, dims, where, result, factor)
        moved |= False if scaled is None else scaled
    argument, axis, part = names
    n = len(right)
    source, target = np.indices((n, n))  # a slice of the argument, a slice of the result
    extra, missing = yours & ~right & (source != target), right & ~moved
    if extra.any():
        whiches = ("later", "other") if not extra[source < target].any() else ("other",)
        for which in whiches:  # what is later is another as well: a case may show less than the next
            yield f"Along {axis}, your result depends on {argument} at {which} places, and must not."
    if missing.any() and not moved.any():
        yield f"Your {part or 'result'} does not depend on {argument} at all, and should."
    elif missing.any() and not extra.any():
        own = not missing[source != target].any()
        before = not missing[source >= target].any()
        which = "its own place" if own else "earlier places" if before else "places where it should"
        end = "." if "should" in which else ", and should."
        yield f"Along {axis}, your result does not depend on {argument} at {which}{end}"


def _changes(
    trials: Trials,
    function: Any,
    dims: Dims,
    where: tuple[int, int],
    result: tuple[int, int],
    factor: float | None = None,
) -> Flags | None:
    """Whether slice j of the result changes when slice i of the argument is drawn anew, or multiplied: [i, j]."""
    exercise = trials.exercise
    other = exercise.redrawn().arguments(dims)
    before = _part(run_on(exercise, function, exercise.arguments(dims)), result[0])
    if before is None or other[where[0]].shape != exercise.arguments(dims)[where[0]].shape:
        return None
    rows = []
    for i in range(before.shape[result[1]]):
        args: Arguments = exercise.arguments(dims)
        at = (slice(None),) * where[1] + (i,)
        if not args[where[0]].flags.writeable:
            return None
        args[where[0]][at] = other[where[0]][at] if factor is None else args[where[0]][at] * factor
        after = _part(run_on(exercise, function, args), result[0])
        if after is None or after.shape != before.shape:
            return None
        changed = np.moveaxis(differs(exercise, before, after), result[1], 0)
        rows.append(changed.reshape(len(changed), -1).any(axis=1))
    return np.array(rows)


def _part(result: Any, part: int) -> Any:
    one = result[part] if isinstance(result, tuple) and part < len(result) else result
    return one if isinstance(one, np.ndarray) else None
