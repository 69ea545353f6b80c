"""Many exercises of a folder, checked one after the other: what `verify`, `check --json` and `grade` are made of."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..diagnosis.exceptions import reported
from ..diagnosis.report import ERROR, Report
from ..exercises.exercise import Exercise
from .checker import Checker
from .folder import Workspace, WorkspaceError
from .learners_file import function_text
from .own_model import why_not


@dataclass(frozen=True)
class Checked:
    """What came of one exercise.

    Attributes
    ----------
    exercise : Exercise
    report : Report
    sha256 : str
        Of the function's text; of nothing where there is none.
    """

    exercise: Exercise
    report: Report
    sha256: str

    @property
    def passed(self) -> bool:
        return self.report.passed


def check_all(workspace: Workspace, exercises: Iterable[Exercise]) -> Iterator[tuple[str, list[Checked]]]:
    """Number and exercises of one chapter after the other. Nothing is written to the folder.

    Each chapter has a process of its own: what one file does to Python touches no other.
    """
    for chapter, those in groupby(exercises, key=lambda exercise: exercise.chapter):
        checker = Checker()
        try:
            yield chapter, [_check(workspace, exercise, checker) for exercise in those]
        finally:
            checker.close()


def _check(workspace: Workspace, exercise: Exercise, checker: Checker) -> Checked:
    text = ""
    try:
        path = workspace.path_of(exercise.id)
        with suppress(SyntaxError, UnicodeDecodeError):  # the report says where
            text = function_text(path, exercise.id)
        report = checker.check(exercise, path)
    except (WorkspaceError, OSError) as error:
        report = reported(exercise, ERROR, [str(error)])
    return Checked(exercise, report, hashlib.sha256(text.encode()).hexdigest())


def failing(found: Iterable[Checked]) -> dict[str, str]:
    """Ids of those that did not pass, and why."""
    return {one.exercise.id: why_not(one.report.status) for one in found if not one.passed}


def as_json(one: Checked) -> dict[str, Any]:
    """A report for a program: the cause in a sentence or two, the known mistake by name, and the numbers."""
    report = one.report
    facts: dict[str, str] = {}
    for label, text in report.facts:
        facts[label] = f"{facts[label]}\n{text}" if label in facts else text
    return {
        "id": one.exercise.id,
        "chapter": one.exercise.chapter,
        "status": report.status,
        "mistake": report.mistake,
        "headline": report.headline,
        "facts": facts,
        "case": report.case,
        "seconds": round(report.seconds, 3),
        "sha256": one.sha256,
    }
