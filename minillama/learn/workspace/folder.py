"""The learner's folder: starters copied into it, functions found in it, progress kept in it."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from ...files.home import cache_dir
from ..chapters.catalogue import catalogue, chapter_packages
from ..chapters.texts import file_name, starter, starter_file
from ..exercises.exercise import Exercise
from .learners_file import WorkspaceError, copy_beside, function_text, replace_file, source_of

PROGRESS = "progress.json"
_VERSION = 1
# Exercises that once had another id: old to new. Progress is carried over.
RENAMED: dict[str, str] = {}
_BOOKS_OWN = Path(__file__).resolve().parents[3] / "exercises"  # in a clone


def now() -> str:
    """The time as it is kept in a record; texts of this form are in the order of time."""
    return time.strftime("%Y-%m-%d %H:%M")


@dataclass
class Record:
    """What is remembered of one exercise."""

    passed: bool = False
    at: str = ""
    attempts: int = 0
    hints: int = 0
    solution_seen: bool = False
    sha256: str = ""  # of the function that passed
    mistake: str = ""  # the name of the one that the last check found
    reviewed: str = ""  # when it was last written once more


@dataclass
class Workspace:
    """A learner's folder.

    Attributes
    ----------
    folder : Path
    records : dict of str to Record
    """

    folder: Path
    records: dict[str, Record] = field(default_factory=dict)
    _on_disk: dict[str, Record] = field(default_factory=dict, repr=False)  # as last read or written

    def __post_init__(self) -> None:
        self._remember_records()

    def _remember_records(self) -> None:
        self._on_disk = {id: replace(record) for id, record in self.records.items()}

    def record(self, id: str) -> Record:
        return self.records.setdefault(id, Record())

    def path_of(self, id: str) -> Path:
        """The learner's file that an exercise belongs to.

        Raises
        ------
        WorkspaceError
            When the folder has no file for its chapter.
        """
        path = self.folder / chapter_file(catalogue().chapter_of(id))
        if not path.is_file():
            raise WorkspaceError(f"{path} is missing: `minillama learn start {self.folder}` brings it back")
        return path

    def next_exercise(self, after: Exercise | None = None) -> Exercise | None:
        """The first one of the book that has not been passed; of `after`'s chapter, if there is one."""
        left = [id for id in catalogue() if not self.record(id).passed]
        near = [id for id in left if after is not None and catalogue().chapter_of(id) == after.chapter]
        return catalogue()[(near or left)[0]] if left else None

    def note_result(self, exercise: Exercise, passed: bool, mistake: str = "") -> None:
        """Remember an attempt, beside what a notebook or a terminal has recorded since this was read."""
        self.refresh()
        record = self.record(exercise.id)
        record.attempts += 1
        record.mistake = mistake
        if passed:
            text = function_text(self.path_of(exercise.id), exercise.id)
            record.passed, record.at = True, now()
            record.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.save()

    def save(self) -> None:
        """Write progress.json, whole or not at all; what others have written in it meanwhile stays (`refresh`)."""
        self.refresh()
        content = {"version": _VERSION, "exercises": {id: vars(r) for id, r in self.records.items() if r != Record()}}
        with atomic_write(self.folder / PROGRESS) as file:
            file.write(json.dumps(content, indent=1).encode())
        self._remember_records()

    def refresh(self) -> None:
        """Read again what a notebook, or a terminal that watches, has recorded meanwhile.

        A record that was changed here and is not saved yet stays. To be called before a record is changed: otherwise
        one that is out of date would be written over a pass.
        """
        if (self.folder / PROGRESS).exists():
            for id, record in _read_records(self.folder / PROGRESS).items():
                if self.record(id) == self._on_disk.get(id, Record()):
                    self.records[id], self._on_disk[id] = record, replace(record)

    def put(self, id: str, definition: str, imports: Iterable[str] = (), before: bytes | None = None) -> bytes:
        """Write a function, and what stands before it, in the place of an exercise's function.

        Parameters
        ----------
        id : str
        definition : str
        imports : iterable of str
            Lines for the top of the file; those that are there are not repeated.
        before : bytes, optional
            What the file held when the decision was made to write into it.

        Returns
        -------
        after : bytes
            What the file holds now.

        Raises
        ------
        WorkspaceError
            When the file holds something else than `before`.
        SyntaxError
            When the file is not Python, so that nothing in it can be found.
        """
        path = self.path_of(id)
        before = path.read_bytes() if before is None else before
        text = before.decode()
        first, last = source_of(text, id) or (len(text.splitlines()),) * 2
        lines = text.splitlines()
        gap = [] if first < len(lines) else ["", ""]
        body = ast.parse(text).body
        tops = [node.end_lineno or 0 for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
        head = tops[-1] if tops else body[0].end_lineno or 0 if ast.get_docstring(ast.parse(text)) else 0
        head = min(head, first)
        new = [line for line in imports if line not in lines]
        changed = [*lines[:head], *new, *lines[head:first], *gap, *definition.splitlines(), *lines[last:], ""]
        after = "\n".join(changed).encode()
        replace_file(path, before, after)
        return after

    def keep_copy(self, id: str) -> Path:
        """Copy the learner's file of an exercise beside it."""
        return copy_beside(self.path_of(id))

    def reset(self, exercise: Exercise) -> Path:
        """Put the starter's function back; returns the copy that was made of the file."""
        path, kept = self.path_of(exercise.id), self.keep_copy(exercise.id)
        before = kept.read_bytes()
        text = before.decode()
        try:
            lines = source_of(text, exercise.id)
        except SyntaxError:
            after = _starters()[path.name]  # nothing in it can be found: the whole file
        else:
            first, last = lines or (len(text.splitlines()),) * 2
            head, tail = text.splitlines()[:first], text.splitlines()[last:]
            gap = [] if lines else ["", ""]
            after = "\n".join([*head, *gap, starter(exercise.id), *tail, ""])
        replace_file(path, before, after.encode())
        self.refresh()
        record = self.record(exercise.id)
        record.passed, record.sha256 = False, ""
        self.save()
        return kept


def start(folder: Path) -> tuple[Workspace, list[str]]:
    """Make a folder, or bring an older one up to date; nothing that is there is overwritten.

    Returns
    -------
    workspace : Workspace
    news : list of str
        Files that were copied and functions that were added to files.

    Raises
    ------
    WorkspaceError
        When the folder cannot be made, or is the book's own.
    """
    if folder.resolve() == _BOOKS_OWN:
        raise WorkspaceError("that is the book's own folder: choose another one, such as my-llama")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkspaceError(f"{folder} cannot be made: {error.strerror or error}") from error
    news = [text for name, starters in _starters().items() for text in _bring(folder / name, starters)]
    workspace = Workspace(folder, _read_records(folder / PROGRESS) if (folder / PROGRESS).exists() else {})
    workspace.save()
    _remember(folder)
    return workspace, news


def chapter_file(chapter: str) -> str:
    """The name of the learner's file of a chapter: "05" to "05_rope.py"."""
    return next(name for name in map(file_name, chapter_packages()) if name.startswith(f"{chapter}_"))


def _starters() -> dict[str, str]:
    """What the files of the chapters begin as."""
    return {file_name(chapter): starter_file(chapter) for chapter in chapter_packages()}


def _bring(path: Path, starters: str) -> Iterator[str]:
    """Write a file of starters, or add the functions that it does not have yet."""
    if not path.exists():
        path.write_text(starters, encoding="utf-8")
        yield path.name
        return
    before = path.read_bytes()
    text = before.decode()
    for id in catalogue():
        if path.name.startswith(catalogue().chapter_of(id)):
            try:
                is_missing = source_of(text, id) is None
            except SyntaxError:
                return  # being worked on; the next start will see
            if is_missing:
                text = f"{text.rstrip()}\n\n\n{starter(id)}\n"
                replace_file(path, before, text.encode())
                before = text.encode()
                yield f"{id} in {path.name}"


def _read_records(path: Path) -> dict[str, Record]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = Record.__dataclass_fields__
        return {
            RENAMED.get(id, id): Record(**{k: v for k, v in values.items() if k in known})
            for id, values in content["exercises"].items()
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        advice = "put a copy back, or delete it to start counting again (your functions are not in it)"
        raise WorkspaceError(f"{path} cannot be read ({error}): {advice}") from error


def find_workspace(folder: Path | None = None) -> Workspace:
    """The folder given, or the one around the current directory, or the one used last.

    Raises
    ------
    WorkspaceError
        When there is no such folder.
    """
    for candidate in [folder] if folder else [Path.cwd(), *Path.cwd().parents, *_remembered()]:
        if candidate is not None and (candidate / PROGRESS).is_file():
            return Workspace(candidate, _read_records(candidate / PROGRESS))
    where = f"{folder} is not a folder of exercises" if folder else "there is no folder of exercises yet"
    raise WorkspaceError(f"{where}: `minillama learn start {folder or 'my-llama'}` makes one")


def _remember(folder: Path) -> None:
    try:
        cache_dir().mkdir(parents=True, exist_ok=True)
        (cache_dir() / "learn.json").write_text(json.dumps({"folder": str(folder.resolve())}), encoding="utf-8")
    except OSError:
        pass  # it is found from inside the folder all the same


def _remembered() -> list[Path]:
    try:
        content: Any = json.loads((cache_dir() / "learn.json").read_text(encoding="utf-8"))
        return [Path(content["folder"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []
