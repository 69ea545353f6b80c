"""A learner's file, copied beside itself and replaced: nothing in it is lost, whatever happens in between."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path

from ...files.atomic import atomic_write


class WorkspaceError(ValueError):
    """A folder or file that is not as it has to be; the message says what to do."""


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
