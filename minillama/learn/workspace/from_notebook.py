"""The learner's folder as a notebook sees it: its functions, loaded and checked, and those of cells written into it.

A function of a cell that passes counts where everything counts: it is written into the learner's file, checked there
once more, and recorded as `minillama learn check` records it. Nothing that passes is replaced, and a file in which a
function was begun is copied first. What cannot be recorded does not stop a chapter: a sentence says why.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from ..chapters.catalogue import catalogue
from ..chapters.texts import defined_names, starter
from ..diagnosis.exceptions import explain_loading
from ..diagnosis.report import NOT_STARTED, Report
from ..exercises.exercise import Exercise
from ..notebook import check
from .cells import Extract, NotebookOnly, extract
from .folder import Workspace, WorkspaceError
from .learners_file import function_text, replace_file
from .worker import load_file

_modules: dict[tuple[Path, str], ModuleType] = {}  # by path and hash: a file is run once


def is_begun(workspace: Workspace, id: str) -> bool:
    """Whether the learner's file has more of an exercise than its starter."""
    try:
        text = function_text(workspace.path_of(id), id)
    except SyntaxError:
        return True
    except (OSError, WorkspaceError):
        return False
    return bool(text) and text.strip() != starter(id).strip()


def checked_function(workspace: Workspace, exercise: Exercise) -> tuple[Any, Report]:
    """The function in the learner's file, and its check; `note` records it."""
    path = workspace.path_of(exercise.id)
    try:
        key = path, hashlib.sha256(path.read_bytes()).hexdigest()
        if key not in _modules:
            _modules[key] = load_file(path)
        function = getattr(_modules[key], exercise.id)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a learner's file does when it is run
        return None, explain_loading(exercise, path, error)
    return function, check(exercise.id, function)


def note(workspace: Workspace, exercise: Exercise, report: Report) -> str:
    """Record a check as `minillama learn check` does; a notebook that runs again is no new attempt at what passed.

    Returns
    -------
    problem : str
        Why it could not be recorded, such as a full disk: a chapter goes on without. Empty when it could.
    """
    try:
        if report.status != NOT_STARTED and not (report.passed and _counts(workspace, exercise.id)):
            workspace.note_result(exercise, report.passed, report.mistake)
    except (OSError, WorkspaceError, SyntaxError) as error:
        return f"It is not recorded: {error}."
    return ""


def keep(workspace: Workspace, exercise: Exercise, cells: Sequence[str]) -> str:
    """Write a function of a notebook into the learner's file, so that it counts.

    Parameters
    ----------
    workspace : Workspace
    exercise : Exercise
        Its function, as the last of the cells define it, has passed in the notebook.
    cells : sequence of str
        The texts of the cells that have run.

    Returns
    -------
    sentence : str
        What became of it, and why it is not recorded if it is not.
    """
    id = exercise.id
    copy: Path | None = None

    def stands(other: str) -> bool:
        return _stands_beside(workspace, other, exercise)

    try:
        path = workspace.path_of(id)
        before = path.read_bytes()
        if is_begun(workspace, id):
            _, report = checked_function(workspace, exercise)
            if report.passed:  # it may be newer than that of the cell
                which = "It counts, in" if _is_in(path, id, cells, stands) else "The one that counts is that in"
                return note(workspace, exercise, report) or f"{which} {path.name}."
        found = extract(id, cells, stands)
        _leave_out_what_stands(path, found, id)
        if is_begun(workspace, id):
            copy = workspace.keep_copy(id)
        after = workspace.put(id, found.text, found.imports, before)
    except (NotebookOnly, OSError, WorkspaceError) as error:
        return f"It is not recorded: {error}.{_named(copy)}"
    except SyntaxError as error:
        return f"It is not recorded: {path.name} is not Python in line {error.lineno}."
    try:
        _, report = checked_function(workspace, exercise)
    except BaseException:  # an interrupt: what was not checked does not stay
        _take_back(path, after, before)
        raise
    if not report.passed:
        why = " ".join([*report.headline, _take_back(path, after, before)]).strip()
        return f"It is not recorded: in a file of its own it fails. {why}{_named(copy)}"
    problem = note(workspace, exercise, report)
    where = f"{path.name} of {workspace.folder.name}"
    return (f"It stands in {where}. {problem}" if problem else f"It counts, in {where}.") + _named(copy)


def _named(copy: Path | None) -> str:
    return f" The file as it was is {copy.name}." if copy else ""


def _take_back(path: Path, after: bytes, before: bytes) -> str:
    """Put the learner's file back as it was; if that is not to be done, a sentence that says so."""
    try:
        replace_file(path, after, before)
    except (OSError, WorkspaceError) as error:
        return f"It still stands there: {error}."
    return ""


def _is_in(path: Path, id: str, cells: Sequence[str], stands: Callable[[str], bool]) -> bool:
    """Whether the function in the file is that of the cells."""
    try:
        return function_text(path, id).strip() == extract(id, cells, stands).definitions[id].strip()
    except NotebookOnly:
        return False


def _counts(workspace: Workspace, id: str) -> bool:
    """Whether the text in the file is the one that has passed."""
    record = workspace.record(id)
    text = function_text(workspace.path_of(id), id)
    return record.passed and record.sha256 == hashlib.sha256(text.encode()).hexdigest()


def _stands_beside(workspace: Workspace, id: str, exercise: Exercise) -> bool:
    """Whether the learner has written another exercise of the same file, and it passes."""
    is_beside = catalogue().chapter_of(id) == exercise.chapter and is_begun(workspace, id)
    return is_beside and checked_function(workspace, catalogue()[id])[1].passed


def _leave_out_what_stands(path: Path, found: Extract, id: str) -> None:
    """Drop helpers that the file has.

    Raises
    ------
    NotebookOnly
        When the file has something else of that name: its other functions may call it.
    """
    text = path.read_text(encoding="utf-8")
    there = {name: ast.unparse(node) for node in ast.parse(text).body for name in defined_names(node)}
    for name in [name for name in found.definitions if name != id and name in there]:
        if ast.unparse(ast.parse(found.definitions[name]).body[0]) != there[name]:
            raise NotebookOnly(f"{path.name} has another {name}; give one of them another name")
        del found.definitions[name]
