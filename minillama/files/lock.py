"""A lock on a file, which the operating system frees with the process, however that ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO


class LockedError(ValueError):
    """Another process holds the lock; the message says which, and what to do."""


def open_locked(path: Path, doing: str) -> IO[bytes]:
    """Make and open a file that one process at a time may hold; closing it lets others in.

    Parameters
    ----------
    path : Path
        Its folder exists. The number of the process is written into it.
    doing : str
        For the message of those who are kept out: "is training".

    Raises
    ------
    LockedError
        When another process holds it.
    """
    file = path.open("a+b")
    if not _take(file):
        file.seek(0)
        holder = file.read(40).decode("ascii", "replace").strip() or "unknown"
        file.close()
        raise LockedError(f"another process (number {holder}) {doing} in {path.parent}; wait for it or stop it")
    with suppress(OSError):  # only for the message of others: a full disk must not matter
        file.truncate(0)
        file.write(str(os.getpid()).encode())
        file.flush()
    return file


def _take(file: IO[bytes]) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            file.seek(1 << 20)  # far past anything that others read there
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
