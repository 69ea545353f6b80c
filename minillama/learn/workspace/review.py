"""`minillama learn review`: an exercise that was passed long ago, to be written once more.

review/<id>.py in the learner's folder is their file of the chapter with the starter in the place of that one function,
so that helpers and earlier exercises are at hand. The function that passed stays where it is, and counts.
"""

from __future__ import annotations

from pathlib import Path

from ..chapters.catalogue import catalogue
from ..chapters.texts import starter
from ..exercises.exercise import Exercise
from .folder import Workspace, WorkspaceError, now
from .learners_file import copy_beside, source_of

_FOLDER = "review"


def begun(workspace: Workspace, id: str | None = None) -> tuple[Exercise, Path] | None:
    """An exercise that is being written once more, any or that of an id, and its file."""
    for path in sorted((workspace.folder / _FOLDER).glob(f"{id or '*'}.py")):
        if path.stem in catalogue():
            return catalogue()[path.stem], path
    return None


def oldest(workspace: Workspace) -> Exercise:
    """The passed exercise whose pass, or whose last review, is longest ago.

    Raises
    ------
    WorkspaceError
        When none is passed.
    """
    passed = [id for id in catalogue() if workspace.record(id).passed]
    if not passed:
        raise WorkspaceError("nothing is passed yet that could be reviewed: `minillama learn` says what is next")
    return catalogue()[min(passed, key=lambda id: last_time(workspace, id))]


def last_time(workspace: Workspace, id: str) -> str:
    """When an exercise was last written, as `now` says it."""
    record = workspace.record(id)
    return max(record.at, record.reviewed)


def begin(workspace: Workspace, exercise: Exercise) -> Path:
    """Write the file in which the exercise is written once more.

    Raises
    ------
    WorkspaceError
        When it is not passed, or the learner's file cannot be read as Python.
    """
    if not workspace.record(exercise.id).passed:
        raise WorkspaceError(f"{exercise.id} is not passed yet: `minillama learn check {exercise.id}`")
    source = workspace.path_of(exercise.id)
    text = source.read_text(encoding="utf-8")
    try:
        lines = source_of(text, exercise.id)
    except SyntaxError as error:
        raise WorkspaceError(f"{source.name} is not Python in line {error.lineno}: mend it first") from error
    first, last = lines or (len(text.splitlines()),) * 2
    rows = text.splitlines()
    path = workspace.folder / _FOLDER / f"{exercise.id}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*rows[:first], starter(exercise.id), *rows[last:], ""]), encoding="utf-8")
    return path


def end(workspace: Workspace, exercise: Exercise, path: Path) -> Path:
    """After a pass: remember it, and keep what was written under another name."""
    workspace.refresh()
    workspace.record(exercise.id).reviewed = now()
    workspace.save()
    kept = copy_beside(path)
    path.unlink()
    return kept
