"""Run a learner's function on many shapes, and say what is wrong with it."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims, Exercise, Function, name_dims, show_dims
from .calls import KEPT, Watched, explain_calls, is_kept, look_at_calls
from .compare import FLOAT64, Comparison, Mismatch
from .exceptions import explain_exception
from .explain import explain_mismatch
from .naming import find_name
from .report import NOT_STARTED, PASSED, WRONG, Report
from .trials import Progress, Trials

_WARNED_OF = {
    "overflow": "Something overflows on the way (NumPy warns of it); the results are right all the same.",
    "invalid value": "On the way something is 0/0, or NaN becomes an integer (NumPy warns of it); the results are "
    "right all the same.",
}
_WIDENED = (
    "Your numbers are right, but come back as float64; they are to have the dtype of the argument.",
    "Arrays that NumPy makes are float64 unless you say otherwise, np.zeros(shape) for example, and make float64 of "
    "all that they meet: give them that dtype, or end with .astype.",
)


def check_function(
    exercise: Exercise,
    function: Function,
    *,
    dims: Dims | None = None,
    progress: Progress = lambda case: None,
    explain: bool = True,
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
    explain : bool
        False: a report on what is wrong says only that it is, at the first case that shows it.

    Returns
    -------
    report : Report
    """
    begin = time.perf_counter()
    shapes = list(exercise.shapes) if dims is None else [dims]
    report = Report(exercise.id, exercise.chapter, PASSED, case="" if dims is None else show_dims(dims))
    remarks: dict[str, Dims] = {}  # and the first case of each

    def remark(kind: str, flag: int) -> None:
        remarks.setdefault(_WARNED_OF[kind], shapes[0])

    with np.errstate(all="ignore", over="call", invalid="call", call=remark):
        watched = Watched(exercise, function)
        for one in _rounds(exercise):
            trials = Trials(one, watched if one.draw else function, progress if one is exercise else lambda case: None)
            for shape in shapes:
                report.n_shapes += one is exercise
                outcome = trials.outcome(shape)
                if isinstance(outcome, Comparison):
                    for text in outcome.remarks:
                        remarks.setdefault(text, shape)
                    continue
                if not explain:
                    report.status = WRONG
                    break
                smallest = shape if dims is not None else trials.shrunk(shape)
                is_wrong = isinstance(trials.outcome(smallest), Mismatch)
                if one.draw and is_wrong and is_kept(exercise, one, function, smallest):
                    explain_calls(report, exercise, KEPT, smallest)
                else:
                    _explain(report, trials, smallest)
                break
            if not report.passed:
                break
        if report.passed:
            look_at_calls(report, exercise, function, watched, shapes)
        if report.passed and exercise.promises_dtype and FLOAT64 in remarks:
            explain_calls(report, exercise, _WIDENED, remarks[FLOAT64])
    report.remarks = [*remarks, *report.remarks] if report.passed else []
    if report.passed and dims is not None:
        of_all = f"`minillama learn check {exercise.id}` tries all {len(exercise.shapes)} shapes."
        report.remarks.insert(0, f"Only {name_dims(dims)} was tried. {of_all}")
    report.seconds = time.perf_counter() - begin
    return report


def _rounds(exercise: Exercise) -> Iterator[Exercise]:
    """All cases, then others of the same sizes in the same process, then float64 where the dtype has to come back."""
    yield from (exercise, exercise.redrawn(), *([exercise.in_float64()] if exercise.keeps_dtype else []))


def _explain(report: Report, trials: Trials, dims: Dims) -> None:
    """What is wrong in a case that fails; known mistakes are held against all shapes of the exercise."""
    report.case = show_dims(dims)
    shapes = trials.exercise.shapes
    again = trials.judged(dims, trials.run_again(dims))
    first = trials.outcome(dims)
    if isinstance(again, Comparison) != isinstance(first, Comparison):
        _explain_unsteady(report, trials, dims)
    elif isinstance(first, BaseException):
        explain_exception(report, trials.exercise, first, dims)
        _name_what_raises(report, trials, shapes)
    else:
        explain_mismatch(report, trials, dims, shapes)


def _explain_unsteady(report: Report, trials: Trials, dims: Dims) -> None:
    """Wrong once, right the next time, with the same arguments."""
    report.status = WRONG
    threads = "threads that write to the same place, " if _has_threads(trials.function) else ""
    causes = f"{threads}random numbers without a given generator, or something kept from one call to the next."
    report.headline = [
        "Your function gives different results for the same arguments.",
        causes[0].upper() + causes[1:],
    ]
    report.facts.append(("seen at", name_dims(dims)))


def _has_threads(function: Any) -> bool:
    """Whether it may run in several threads: compiled for them, or with the words in the text around it."""
    function = inspect.unwrap(function)
    if getattr(function, "targetoptions", {}).get("parallel"):
        return True
    try:
        text = inspect.getsource(inspect.getmodule(function) or function)
    except (OSError, TypeError):
        return False
    return any(word in text for word in ("parallel=True", "prange", "import threading", "ThreadPool"))


def _name_what_raises(report: Report, trials: Trials, shapes: Sequence[Dims]) -> None:
    """Put the known mistake first, if there is one that raises in the same cases and is equal in the others."""
    if report.status == NOT_STARTED:
        return
    name = find_name(trials, shapes)
    if name is not None and name.case is None and name.second is None and not name.tied:
        report.mistake = name.mistake.name
        report.headline = [name.mistake.name, name.mistake.advice, *report.headline]
        report.facts.insert(0, ("agreement", f"yours equals that mistake on all {len(shapes)} shapes tried"))
