"""What to say when a learner's code raises: the line that is theirs, not the framework's stack."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from ..exercises.exercise import Dims, Exercise, name_dims
from .broadcasting import remedy
from .compare import kind_of
from .report import ERROR, MEMORY, NOT_STARTED, Report


def explain_exception(report: Report, exercise: Exercise, error: BaseException, dims: Dims) -> None:
    if isinstance(error, NotImplementedError):
        report.status = NOT_STARTED
        report.headline = [exercise.task]
        report.facts = [("time", f"about {exercise.minutes} minutes, difficulty {exercise.difficulty} of 3")]
        report.next_step = f"Replace `raise NotImplementedError` and save. Stuck? minillama learn hint {exercise.id}"
        return
    report.status = MEMORY if isinstance(error, MemoryError) else ERROR
    first = _first_line(error)
    report.headline = [f"{type(error).__name__}: {first}" if first else type(error).__name__]
    if isinstance(error, MemoryError):
        report.headline.append("The case is small: an array is made far larger than it has to be.")
    if isinstance(error, SystemExit):
        report.headline.append("The function ends the program; it should return its result.")
    report.headline += filter(None, [remedy(str(error))])
    line = learners_line(error.__traceback__)
    if line is not None:
        report.facts.append(("line", line))
    shapes = [
        f"argument {i + 1}: {kind_of(arg)}"
        for i, arg in enumerate(exercise.arguments(dims))
        if isinstance(arg, np.ndarray)
    ]
    report.facts += [("called with", shapes[0]), *[("", shape) for shape in shapes[1:]]] if shapes else []
    report.facts.append(("smallest case", name_dims(dims)))
    report.facts.append(("again", f"minillama learn check {exercise.id} --case {report.case}"))
    report.next_step = f"Stuck? minillama learn hint {exercise.id}"


def _first_line(error: BaseException) -> str:
    """Numba explains over pages: what it says of the cause is enough."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if type(error).__module__.startswith("numba"):
        telling = [
            line
            for line in lines
            if line.startswith(
                (
                    "- Resolution",
                    "No implementation",
                    "Unknown attribute",
                    "Invalid use",
                    "Cannot unify",
                    "NameError",
                    "Untyped global",
                    "Use of",
                )
            )
        ]
        lines = telling or lines
    return lines[0][:240] if lines else ""


def learners_line(trace: TracebackType | None) -> str | None:
    """The innermost line that is the learner's, not the framework's or a library's: "05_rope.py:37: y = x @ w"."""
    here = __file__.rsplit("minillama", 1)[0]
    found = None
    for frame, number in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if (
            "site-packages" in name
            or name.startswith(here + "minillama")
            or name.startswith("<frozen")
            or "/lib/python" in name
        ):
            continue
        found = _placed(name, number, linecache.getline(name, number))
    return found


def _placed(file: str, number: int | None, code: str) -> str:
    """File, line and what stands there; a cell of a notebook is a file of its own, whose name says nothing."""
    is_cell = file.startswith("<") or "ipykernel" in file
    return f"{'line ' if is_cell else Path(file).name + ':'}{number}: {code.strip()}"


def reported(
    exercise: Exercise, status: str, headline: Sequence[str], facts: Mapping[str, str] | None = None
) -> Report:
    """A report on something that kept the function from being run at all."""
    return Report(exercise.id, exercise.chapter, status, headline=list(headline), facts=list((facts or {}).items()))


def explain_loading(exercise: Exercise, path: Path, error: BaseException) -> Report:
    """A report on a file that could not even be read as Python."""
    facts: dict[str, str] = {"file": path.name}
    if isinstance(error, SyntaxError):
        facts["line"] = _placed(error.filename or path.name, error.lineno, error.text or "")
    elif line := learners_line(error.__traceback__):
        facts["line"] = line
    words = error.msg if isinstance(error, SyntaxError) else _first_line(error)
    report = reported(exercise, ERROR, [f"{type(error).__name__}: {words}"], facts)
    report.next_step = "The file has to run from top to bottom before anything in it can be checked."
    return report
