"""The folder of an unfinished run: files that only grow, and a state that says how far they count.

A commit writes the files to the disk, then replaces `state.json` by a rename. Whatever happens in
between, a later run cuts every file to the length in the state and continues from there.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any

from ...files.atomic import atomic_write
from ...files.lock import open_locked

_STATE, _LOCK = "state.json", "lock"


class PipelineFolder:
    """Files and state of a run under `path`.

    Attributes
    ----------
    state : dict
        JSON values; kept by `commit`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state: dict[str, Any] = {}
        self._lengths: dict[str, int] = {}
        self._open: dict[str, IO[bytes]] = {}
        self._locked: IO[bytes] | None = None

    @property
    def exists(self) -> bool:
        """A run was begun here."""
        return self.path.is_dir()

    def begin(self, state: dict[str, Any]) -> None:
        """Start from scratch with this state; the folder is made, and emptied of what is in it."""
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock()
        for path in self.path.iterdir():
            if path.name != _LOCK:
                path.unlink()
        self.state, self._lengths = state, {}
        self.commit()

    def resume(self) -> None:
        """Read the state and cut every file to what it says.

        Raises
        ------
        ValueError
            Where the state cannot be read or a file is shorter than the state says.
        """
        self._lock()
        file = self.path / _STATE
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            self.state, self._lengths = content["state"], content["lengths"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{file} cannot be read ({error}): start over with --force") from error
        if self.state.get("stage") == "moving":
            return  # all was written; some may have been moved
        for name, length in self._lengths.items():
            path = self.path / name
            actual = path.stat().st_size if path.exists() else 0
            if actual < length:
                raise ValueError(f"{path} has {actual} bytes, {length} were written: start over with --force")
            if path.exists():
                os.truncate(path, length)
        for path in self.path.iterdir():
            if path.name not in self._lengths and path.name not in (_STATE, _LOCK):
                path.unlink()

    def _lock(self) -> None:
        """Keep other runs out, as long as this process lives."""
        self._locked = open_locked(self.path / _LOCK, "is writing")

    def append(self, name: str, data: bytes) -> None:
        """Add bytes to a file; they count from the next commit on."""
        if name not in self._open:
            self._open[name] = (self.path / name).open("ab")
        try:
            self._open[name].write(data)
        except OSError as error:
            raise _resumable(error) from error
        self._lengths[name] = self.length(name) + len(data)

    def length(self, name: str) -> int:
        """Bytes of a file, 0 where it does not exist."""
        return self._lengths.get(name, 0)

    def commit(self) -> None:
        """Let everything so far survive whatever comes."""
        try:
            for handle in self._open.values():
                handle.flush()
                os.fsync(handle.fileno())
            with atomic_write(self.path / _STATE) as file:
                file.write(json.dumps({"state": self.state, "lengths": self._lengths}).encode())
        except OSError as error:
            raise _resumable(error) from error

    def close_files(self) -> None:
        """Close the files; what was not committed does not count."""
        for handle in self._open.values():
            try:
                handle.close()
            except OSError:  # a full disk again: the rest of the buffer is not committed
                continue
        self._open.clear()

    def close(self) -> None:
        """Close the files and let other runs in."""
        self.close_files()
        if self._locked is not None:
            self._locked.close()
            self._locked = None

    def release(self, name: str, target: Path) -> None:
        """Move a finished file to its place."""
        if (self.path / name).exists():
            (self.path / name).replace(target)

    def remove(self) -> None:
        """The run is finished."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)


def _resumable(error: OSError) -> OSError:
    reason = error.strerror or str(error)
    return OSError(f"{reason}; what was committed is kept: make room and continue with --resume")
