"""The learner's folder as a notebook sees it: its functions, loaded and checked, and those of cells written into it.

A function of a cell that passes counts where everything counts: it is written into the learner's file, checked there
once more, and recorded as `minillama learn check` records it. Nothing that passes is replaced, and a file in which a
function was begun is copied first.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence
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
from .folder import Workspace, WorkspaceError, function_text
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
    """The function in the learner's file, and its check; the result is recorded."""
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
    report = check(exercise.id, function)
    note(workspace, exercise, report)
    return function, report


def note(workspace: Workspace, exercise: Exercise, report: Report) -> None:
    """Record a check as `minillama learn check` does; a notebook that runs again is no new attempt at what passed."""
    if report.status != NOT_STARTED and not (report.passed and _counts(workspace, exercise.id)):
        workspace.note_result(exercise, report.passed)


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
    try:
        path = workspace.path_of(id)
        before, here = path.read_text(encoding="utf-8"), function_text(path, id)
        written = [other for other in catalogue() if other != id and _stands_beside(workspace, other, exercise)]
        found = extract(id, cells, written)
        if _counts(workspace, id):
            is_same = here.strip() == found.definitions[id].strip()
            return f"It counts, in {path.name}." if is_same else f"The one that counts is that in {path.name}."
        _leave_out_what_stands(path, found, id)
        if is_begun(workspace, id):
            workspace.keep_copy(id)
        workspace.put(id, found.text, found.imports)
    except (NotebookOnly, OSError, WorkspaceError) as error:
        return f"It is not recorded: {error}."
    except SyntaxError as error:
        return f"It is not recorded: {path.name} is not Python in line {error.lineno}."
    _, report = checked_function(workspace, exercise)
    if not report.passed:
        path.write_text(before, encoding="utf-8")
        return f"It is not recorded: in a file of its own it fails. {' '.join(report.headline)}"
    return f"It counts, in {path.name} of {workspace.folder.name}."


def _counts(workspace: Workspace, id: str) -> bool:
    """Whether the text in the file is the one that has passed."""
    record = workspace.record(id)
    text = function_text(workspace.path_of(id), id)
    return record.passed and record.sha256 == hashlib.sha256(text.encode()).hexdigest()


def _stands_beside(workspace: Workspace, id: str, exercise: Exercise) -> bool:
    """Whether the learner has written another exercise of the same file."""
    return catalogue().chapter_of(id) == exercise.chapter and is_begun(workspace, id)


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
