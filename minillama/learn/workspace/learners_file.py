"""A learner's file: functions found in it; copied and replaced so that nothing in it is lost, whatever happens."""

from __future__ import annotations

import ast
import itertools
import shutil
import time
from pathlib import Path

from ...files.atomic import atomic_write


class WorkspaceError(ValueError):
    """A folder or file that is not as it has to be; the message says what to do."""


def source_of(text: str, name: str) -> tuple[int, int] | None:
    """First and last line (from 0, the last one excluded) of a function in a text, decorators included.

    Raises
    ------
    SyntaxError
        When the text is not Python.
    """
    found = None
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found = first - 1, node.end_lineno or first  # the last definition counts, as in Python
    return found


def function_text(path: Path, name: str) -> str:
    """The source of one function in a file; empty if it is not there."""
    text = path.read_text(encoding="utf-8")
    lines = source_of(text, name)
    return "" if lines is None else "\n".join(text.splitlines()[lines[0] : lines[1]]) + "\n"


def place_of(path: Path, name: str) -> str:
    """File and line of a function, from the current folder: "my-llama/05_rope.py:37"; no line if it is not found."""
    here = Path.cwd()
    shown = str(path.resolve().relative_to(here) if here in path.resolve().parents else path)
    try:
        lines = source_of(path.read_text(encoding="utf-8"), name)
    except (OSError, SyntaxError):
        return shown
    return f"{shown}:{lines[0] + 1}" if lines else shown


def replace_file(path: Path, before: bytes, after: bytes) -> None:
    """Put another content in the place of what was read, whole or not at all.

    Parameters
    ----------
    path : Path
    before : bytes
        What the file held when it was read.
    after : bytes

    Raises
    ------
    WorkspaceError
        When it holds something else by now, such as what an editor has saved; it is left alone.
    OSError
        When it cannot be written; it is as it was.
    """
    path = path.resolve()  # the file that a link leads to, not the link
    with path.open("r+b") as file:  # a file that must not be written is refused here
        now = file.read()
    if now != before:
        raise WorkspaceError(f"{path.name} was changed meanwhile and is left as it is: run it again")
    mode = path.stat().st_mode
    with atomic_write(path) as new:
        new.write(after)
    path.chmod(mode & 0o7777)


def copy_beside(path: Path) -> Path:
    """Copy a file to one with the time in its name; an older copy is never overwritten."""
    now = time.strftime("%Y%m%d-%H%M%S")
    for n in itertools.count():
        kept = path.with_name(f"{path.name}.{now}{f'-{n}' if n else ''}.bak")
        try:
            kept.touch(exist_ok=False)
        except FileExistsError:  # of the same second
            continue
        shutil.copy2(path, kept)
        return kept
    raise AssertionError("numbers do not end")
