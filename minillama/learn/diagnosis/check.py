"""Run a learner's function on many shapes, and say what is wrong with it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims, Exercise, Function, Mistake, name_dims, show_dims
from . import geometry, heat_map
from .calls import KEPT, Watched, explain_calls, is_kept, look_at_calls
from .compare import Comparison, Mismatch, compare
from .exceptions import explain_exception
from .report import NOT_STARTED, PASSED, WRONG, Report

Progress = Callable[[str], None]


class TooLong(BaseException):
    """Time is up. Not an Exception, so that a learner's `except Exception` does not swallow it."""


_SHRINKING_STEPS = 24
_OVERFLOW = "Something overflows on the way (NumPy warns of it); the results are right all the same."


def check_function(
    exercise: Exercise, function: Function, *, dims: Dims | None = None, progress: Progress = lambda case: None
) -> Report:
    """Check a function.

    Parameters
    ----------
    exercise : Exercise
    function : callable
    dims : dict, optional
        Only this case.
    progress : callable
        Called with each case before it runs.

    Returns
    -------
    report : Report
    """
    begin = time.perf_counter()
    shapes = list(exercise.shapes) if dims is None else [dims]
    report = Report(exercise.id, exercise.chapter, PASSED)
    remarks: dict[str, None] = {}
    with np.errstate(all="ignore", over="call", call=lambda kind, flag: remarks.setdefault(_OVERFLOW)):
        watched = Watched(exercise, function)
        for one, shape in _rounds(exercise, shapes):
            if one is exercise:
                progress(show_dims(shape))
                report.n_shapes += 1
            failed = _fails(one, watched if one.draw else function, shape)
            if isinstance(failed, Comparison):
                remarks |= dict.fromkeys(failed.remarks)
                continue
            smallest = shape if dims is not None else _shrunk(one, function, shape, failed, progress)
            report.case = show_dims(smallest)
            again = _fails(one, function, smallest)
            if isinstance(again, Comparison):
                _explain_unsteady(report, smallest)
            elif isinstance(again, BaseException):
                explain_exception(report, one, again, smallest)
                _name_mistake(report, one, function, shapes)
            elif one.draw and is_kept(exercise, one, function, smallest):
                explain_calls(report, exercise, KEPT, smallest)
            else:
                _explain_mismatch(report, one, function, again, smallest, shapes)
            break
        if report.passed:
            look_at_calls(report, exercise, function, watched, shapes)
    report.remarks = [*remarks, *report.remarks] if report.passed else []
    report.seconds = time.perf_counter() - begin
    return report


def _rounds(exercise: Exercise, shapes: Sequence[Dims]) -> Iterator[tuple[Exercise, Dims]]:
    """All cases, then others of the same sizes in the same process, then float64 where the dtype has to come back."""
    for one in (exercise, exercise.redrawn(), *([exercise.in_float64()] if exercise.keeps_dtype else [])):
        for dims in shapes:
            yield one, dims


def _fails(exercise: Exercise, function: Function, dims: Dims) -> Comparison | Mismatch | BaseException:
    """A mismatch or an exception; or the comparison, if all is well."""
    expected = exercise.run(exercise.reference, dims)
    try:
        got = exercise.run(function, dims)
    except (KeyboardInterrupt, TooLong):
        raise
    except BaseException as error:  # a learner's code may raise anything, SystemExit too
        return error
    comparison = compare(exercise, expected, got)
    return comparison if comparison.mismatch is None else comparison.mismatch


def _kind(failed: Comparison | Mismatch | BaseException) -> str:
    if isinstance(failed, Comparison):
        return ""
    return type(failed).__name__ if isinstance(failed, BaseException) else failed.kind


def _shrunk(exercise: Exercise, function: Function, dims: Dims, failed: Any, progress: Progress) -> Dims:
    """The smallest dims found that fail in the same way: every size halved or lowered while it still does."""
    best, steps = dict(dims), 0
    if isinstance(failed, NotImplementedError | MemoryError):
        return best
    tried: set[str] = set()
    again = True
    while again and steps < _SHRINKING_STEPS:
        again = False
        for name, size in sorted(best.items(), key=lambda item: -item[1]):
            for smaller in dict.fromkeys((1, size // 2, size - 1, size - 2)):
                candidate = {**best, name: smaller}
                if not 0 < smaller < size or show_dims(candidate) in tried or steps >= _SHRINKING_STEPS:
                    continue
                tried.add(show_dims(candidate))
                steps += 1
                progress(show_dims(candidate))
                try:
                    exercise.arguments(candidate)
                    same = _kind(_fails(exercise, function, candidate)) == _kind(failed)
                except Exception:
                    continue  # these sizes make no sense for the exercise
                if same:
                    best, again = candidate, True
                    break
            if again:
                break
    return best


# --- explanations ---------------------------------------------------------------------------


def _explain_unsteady(report: Report, dims: Dims) -> None:
    """Wrong once, right the next time, with the same arguments."""
    report.status = WRONG
    report.headline = [
        "Your function gives different results for the same arguments.",
        "Threads that write to the same place, random numbers without a given generator, or something kept "
        "from one call to the next.",
    ]
    report.facts.append(("seen at", name_dims(dims)))


def _name_mistake(report: Report, exercise: Exercise, function: Function, shapes: Sequence[Dims]) -> None:
    """Put the known mistake first, if the function has one."""
    if report.status == NOT_STARTED:
        return
    known = find_mistake(exercise, function, shapes)
    if known is not None:
        report.mistake = known.name
        report.headline = [known.name, known.advice, *report.headline]
        report.facts.insert(0, ("agreement", f"yours equals that mistake on all {len(shapes)} shapes tried"))


def _explain_mismatch(
    report: Report, exercise: Exercise, function: Function, mismatch: Mismatch, dims: Dims, shapes: Sequence[Dims]
) -> None:
    report.status = WRONG
    _name_mistake(report, exercise, function, shapes)
    if mismatch.output:
        report.facts.append(("output", mismatch.output))
    if mismatch.kind == "numbers":
        _explain_numbers(report, exercise, function, mismatch, dims, shapes)
    elif mismatch.kind == "sequence":
        _explain_sequence(report, exercise, function, mismatch, dims, shapes)
    else:
        shape = _about_shape(mismatch, exercise)
        report.headline = report.headline or [f"The result {mismatch.message}.", *shape]
    report.facts.append(("smallest case", name_dims(dims)))
    if exercise.observe is None:
        report.facts.append(("again", f"minillama learn check {exercise.id} --case {report.case}"))
    report.next_step = f"Stuck? minillama learn hint {exercise.id}"


def _explain_numbers(
    report: Report, exercise: Exercise, function: Function, smallest: Mismatch, dims: Dims, shapes: Sequence[Dims]
) -> None:
    """The first difference from the smallest case; what is wrong where, from the one that shows most."""
    failing = _failing(exercise, function, smallest, shapes)
    telling_dims, mismatch = _telling(smallest, dims, failing)
    wrong = mismatch.wrong
    assert wrong is not None
    args = exercise.arguments(telling_dims)
    named = dict(zip(inspect.signature(exercise.function).parameters, args))
    first = exercise.outputs[0] if exercise.outputs else "result 0"
    axes = exercise.axes if mismatch.output in ("", first) else ()
    statements = geometry.describe(mismatch.expected, mismatch.got, wrong, axes, telling_dims, named)
    others = [smallest, *(failed for _, failed in failing)]
    statements = [text for text in statements if not any(geometry.contradicts(m.expected, m.got, text) for m in others)]
    if not report.mistake:
        report.headline = statements[:-1] or [_plain_words(mismatch, exercise)]
    elif len(statements) > 1:
        report.facts.append(("in numbers", statements[0]))
    assert smallest.wrong is not None
    index = heat_map.first_wrong(smallest.wrong)
    name = f"{smallest.output or 'out'}[{', '.join(map(str, index))}]" if index else (smallest.output or "result")
    numbers = f"expected {_number(smallest.expected[index])}   yours {_number(smallest.got[index])}"
    report.facts.append(("first difference", f"{name}   {numbers}"))
    place = "" if telling_dims == dims else f"   (at {name_dims(telling_dims)})"
    report.facts.append(("wrong", statements[-1].removeprefix("wrong: ") + place))
    if wrong.size >= 4 and wrong.mean() < 0.95:
        report.heat, report.heat_label = heat_map.heat_map(wrong, axes, height=4 if report.mistake else 6)


def _plain_words(mismatch: Mismatch, exercise: Exercise) -> str:
    assert mismatch.wrong is not None
    if mismatch.wrong.size == 1:
        return f"The number is wrong: off by {(np.asarray(mismatch.got) - mismatch.expected).item():.6g}."
    if mismatch.wrong.mean() > 0.8:
        return "Nearly all numbers are wrong, and no simple rule leads from the expected ones to yours."
    names = heat_map.names_of(exercise.axes, mismatch.expected.ndim)
    slices = heat_map.wrong_slices(mismatch.wrong, names)
    return (
        f"Wrong: {slices}; the rest is right."
        if slices
        else "Some of the numbers are wrong, scattered over the result."
    )


def _failing(
    exercise: Exercise, function: Function, mismatch: Mismatch, shapes: Sequence[Dims]
) -> list[tuple[Dims, Mismatch]]:
    """The shapes in which the function fails in the same way."""
    found = [(shape, _fails(exercise, function, shape)) for shape in shapes]
    same = (mismatch.kind, mismatch.output)
    return [(s, failed) for s, failed in found if isinstance(failed, Mismatch) and (failed.kind, failed.output) == same]


def _telling(mismatch: Mismatch, dims: Dims, failing: Sequence[tuple[Dims, Mismatch]]) -> tuple[Dims, Mismatch]:
    """The largest of the failing cases that a person can still take in: it has several of everything."""
    best: tuple[Dims, Mismatch] = (dims, mismatch)
    for shape, failed in failing:
        if best[1].expected.size < failed.expected.size <= 1 << 16:
            best = shape, failed
    return best


def _number(value: Any) -> str:
    return f"{value:.7g}" if isinstance(value, np.floating) else str(value)


def _explain_sequence(
    report: Report, exercise: Exercise, function: Function, mismatch: Mismatch, dims: Dims, shapes: Sequence[Dims]
) -> None:
    failing = _failing(exercise, function, mismatch, shapes)
    others = [mismatch, *(failed for _, failed in failing)]
    longest_dims, mismatch = _longest(mismatch, dims, failing)
    expected, got = mismatch.expected, mismatch.got
    if isinstance(expected, list | str | bytes) and isinstance(got, type(expected)):
        n = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
        what = "character" if isinstance(expected, str) else "byte" if isinstance(expected, bytes) else "element"
        if not report.headline:
            report.headline = [_about_sequence(expected, got, n, what, others)]
        report.facts.append(("right up to", f"{what} {n} of {len(expected)}"))
    elif isinstance(expected, dict) and isinstance(got, dict):
        keys = [key for key in {**expected, **got} if expected.get(key) != got.get(key)]
        report.headline = report.headline or [f"{len(keys)} of {len(expected)} entries differ, the first: {keys[0]!r}."]
        expected, got = expected.get(keys[0], "nothing"), got.get(keys[0], "nothing")
    else:
        report.headline = report.headline or ["The result is another one."]
    report.facts += [("expected", _short(expected)), ("yours", _short(got))]
    if longest_dims != dims:
        report.facts.append(("both at", name_dims(longest_dims)))


def _longest(mismatch: Mismatch, dims: Dims, failing: Sequence[tuple[Dims, Mismatch]]) -> tuple[Dims, Mismatch]:
    """The failing case that shows most, up to what still can be read."""
    for shape, failed in failing:
        sizes = [len(m.expected) if hasattr(m.expected, "__len__") else 0 for m in (mismatch, failed)]
        if sizes[0] < sizes[1] <= 40:
            dims, mismatch = shape, failed
    return dims, mismatch


def _about_sequence(expected: Any, got: Any, n: int, what: str, others: Sequence[Mismatch]) -> str:
    if len(got) == 0:
        return "Your result is empty."
    if n == len(got) < len(expected):
        return f"Your result stops too early: {len(expected) - len(got)} {what}(s) are missing at the end."
    if n == len(expected) < len(got):
        return f"Your result is right, but does not end: {len(got) - len(expected)} {what}(s) too many at the end."
    if isinstance(expected, list):
        if len(expected) > 2 and n == 0 and (expected[1:] == got or expected[:-1] == got[1:]):
            return "Your result is right after the first element: one is missing, or too many, at the beginning."
        if expected == got[::-1]:
            return "Your result is the right one in reverse order."
        numbers = _as_numbers(expected, got, others)
        if numbers:
            return numbers
        try:
            if sorted(expected) == sorted(got):
                return "Your result has the right elements in another order."
        except TypeError:
            pass
    return (
        f"Your result is right up to {what} {n} and differs from there on."
        if n
        else f"Your result differs from the first {what} on."
    )


def _as_numbers(expected: list[Any], got: list[Any], others: Sequence[Mismatch]) -> str:
    """What geometry says of two lists of as many numbers, if they are that."""
    if len(expected) != len(got) or len(expected) < 3:
        return ""
    if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in [*expected, *got]):
        return ""
    e, g = np.array(expected), np.array(got)
    statements = geometry.describe(e, g, np.asarray(e != g), ("element",), {}, {})
    alike = [(np.array(m.expected), np.array(m.got)) for m in others if len(m.expected) == len(m.got)]
    true = [text for text in statements[:-1] if not any(geometry.contradicts(*pair, text) for pair in alike)]
    return true[0] if true else ""


def _about_shape(mismatch: Mismatch, exercise: Exercise) -> list[str]:
    expected, got = mismatch.expected, mismatch.got
    if mismatch.kind != "shape":
        return []
    if sorted(expected.shape) == sorted(got.shape) and expected.ndim == got.ndim:
        return ["The sizes are right, in another order: an axis was swapped, or summed where it should be kept."]
    if expected.size == got.size:
        return ["The number of elements is right: a reshape, or an axis of size 1, is missing or too many."]
    for axis, name in enumerate(heat_map.names_of(exercise.axes, expected.ndim)):
        if np.delete(expected.shape, axis).tolist() == list(got.shape):
            return [f"The axis {name} is missing: it was summed, averaged or indexed away."]
        if (
            expected.ndim == got.ndim
            and np.delete(expected.shape, axis).tolist() == np.delete(got.shape, axis).tolist()
        ):
            return [f"The axis {name} has {got.shape[axis]} entries, not {expected.shape[axis]}."]
    return []


def _short(value: Any, limit: int = 150) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 2]} …"


def find_mistake(exercise: Exercise, function: Function, shapes: Sequence[Dims]) -> Mistake | None:
    """The known mistake that gives the same results as the function on every shape."""
    results: list[Any] = []
    for dims in shapes:
        try:
            results.append(exercise.run(function, dims))
        except (KeyboardInterrupt, TooLong):
            raise
        except BaseException as error:  # SystemExit, too
            results.append(error)
    if all(isinstance(result, BaseException) for result in results):
        return None
    for mistake in exercise.mistakes:
        if all(_same(exercise, mistake.function, dims, result) for dims, result in zip(shapes, results)):
            return mistake
    return None


def _same(exercise: Exercise, function: Function, dims: Dims, result: Any) -> bool:
    try:
        expected = exercise.run(function, dims)
    except Exception as error:
        return type(error) is type(result)
    return not isinstance(result, BaseException) and compare(exercise, expected, result).equal
