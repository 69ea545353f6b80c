"""What every way of getting weights shares: the one error, progress, and copies that are checked as they are made."""

from __future__ import annotations

import errno
import hashlib
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ...files.atomic import atomic_write

DownloadProgress = Callable[[int, int | None, str], None]
"""Called with the bytes done, the bytes in all (None: unknown) and a label."""

CHUNK = 1 << 20
POLL_SECONDS = 0.2
NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class DownloadError(RuntimeError):
    """Weights could not be fetched or are not the right ones; the message says why and what to do."""


def no_progress(done: int, total: int | None, label: str) -> None:
    """The callback of those who gave none."""


def megabytes(n_bytes: float) -> str:
    """A size as people write it: "98.4 MB", "13.5 GB"."""
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def shortened(line: str, width: int = 240) -> str:
    """A line of a program's or a library's complaint, at a length that people read."""
    return line if len(line) <= width else f"{line[: width // 2]} … {line[-width // 2 :]}"


def check_free_space(folder: Path, needed: int, variable: str = "MINILLAMA_HOME") -> None:
    """Raise DownloadError when `folder`, which `variable` sets, has less than `needed` bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DownloadError(
            f"not enough disk space: {megabytes(needed)} are needed in {folder}, {megabytes(free)} are free. "
            f"Set {variable} to a folder on a larger disk."
        )


def is_disk_full(error: BaseException) -> bool:
    """Whether the operating system refused a write for want of space or quota."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def disk_errors(folder: Path, variable: str = "MINILLAMA_HOME") -> Iterator[None]:
    """Turn what the operating system says about writing into `folder`, which `variable` sets, into a DownloadError."""
    try:
        yield
    except OSError as error:
        if is_disk_full(error):
            problem = f"the disk is full; nothing was kept in {folder}. Set {variable} to a folder on a larger disk"
        elif error.errno in NOT_WRITABLE:
            problem = f"cannot write to {folder}: {error.strerror}. Set {variable} to a folder that is yours"
        else:
            raise
        raise DownloadError(f"{problem}.") from error


def place_verified(
    stream: IO[bytes],
    destination: Path,
    n_bytes: int | None,
    sha256: str | None,
    progress: DownloadProgress,
    label: str,
) -> None:
    """Copy `stream` to `destination`, which appears only when size and checksum are right.

    Parameters
    ----------
    stream : binary file
    destination : Path
    n_bytes, sha256 : int, str or None
        What the file must have; None is not checked.
    progress, label
        Called once a chunk.

    Raises
    ------
    DownloadError
        With what was expected and found; `destination` is then as it was before.
    """
    digest, done = hashlib.sha256(), 0
    with atomic_write(destination) as file:
        while chunk := stream.read(CHUNK):
            done += len(chunk)
            if n_bytes is not None and done > n_bytes:
                break
            digest.update(chunk)
            file.write(chunk)
            progress(done, n_bytes, label)
        if n_bytes is not None and done != n_bytes:
            found = f"{done} bytes" if done < n_bytes else "more"
            raise DownloadError(f"{label}: expected {n_bytes} bytes, found {found}. Nothing was kept; try again.")
        check_sha256(label, sha256, digest.hexdigest())


def check_sha256(label: str, expected: str | None, found: str) -> None:
    """Raise DownloadError with both sums when they differ; an unknown sum agrees with all."""
    if expected is not None and found != expected:
        raise DownloadError(
            f"{label}: the checksum is wrong, so this is not the file it should be.\n"
            f"  expected sha256 {expected}\n  found    sha256 {found}\n"
            "Nothing was kept. Try again; should it stay wrong, something between you and the server changes files."
        )


def file_sha256(path: Path, progress: DownloadProgress = no_progress, label: str = "") -> str:
    """The sha256 of a file, read in chunks."""
    digest, done, total = hashlib.sha256(), 0, path.stat().st_size
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            progress(done, total, label)
    return digest.hexdigest()


def has_size(path: Path, n_bytes: int) -> bool:
    """Whether `path` is a file of exactly that size."""
    return path.is_file() and path.stat().st_size == n_bytes


def bytes_on_disk(path: Path) -> int:
    """What a file, or all files below a folder, hold now; files may come and go meanwhile."""
    total = 0
    for file in path.rglob("*") if path.is_dir() else [path]:
        try:
            status = file.stat()
        except OSError:  # gone since it was listed
            continue
        if stat.S_ISREG(status.st_mode):
            # A download in parallel parts has its full length early: the blocks tell what has really arrived.
            blocks = getattr(status, "st_blocks", None)
            total += status.st_size if blocks is None else min(status.st_size, blocks * 512)
    return total
