"""A lock on an open file, which the operating system frees with the process, however that ends."""

from __future__ import annotations

from typing import IO


def take_lock(file: IO[bytes]) -> bool:
    """Whether the lock of a file could be had at once.

    Parameters
    ----------
    file : binary file
        Open for writing; the lock lasts until it is closed.
    """
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
