"""The folder of a run: what is where, who may write, and checkpoints that are whole or not there.

    RUN/config.toml                    the settings, nothing left open; paths relative to RUN
    RUN/metrics.jsonl  metrics.csv     a row for every step
    RUN/samples.jsonl  samples.md      what the model wrote while it learned
    RUN/curves.png                     drawn at the end
    RUN/checkpoints/step-00001000/     a model that everything here opens, and what resuming needs
    RUN/.lock                          held while a process trains

A checkpoint is written under a name with a dot in front, forced to disk, and renamed: the name `step-…` is
only ever that of a whole one. One that is no longer needed gets a dotted name before it is deleted, for the
same reason. Whatever has a dot is left over from a process that died, and is cleared away by the next.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..files.errors import CheckpointError
from ..files.json_object import Fields, read_object
from ..files.lock import LockedError, open_locked

STATE_NAME = "training.json"
_PREFIX = "step-"
_CONFIG, _LOCK, _CHECKPOINTS = "config.toml", ".lock", "checkpoints"


class RunError(ValueError):
    """A run cannot begin or continue; the message says why and what to do."""


@dataclass(frozen=True)
class Saved:
    """A checkpoint of a run.

    Attributes
    ----------
    step : int
    path : Path
    validation_loss : float or None
        None for one that was saved in a hurry, at an interrupt.
    """

    step: int
    path: Path
    validation_loss: float | None


def check_folder(path: Path, *, has_begun: bool, resume: bool, is_own: Callable[[str], bool]) -> None:
    """Raise RunError where a new run would meet an older one, or files whose names are not its own."""
    if has_begun:
        if resume:
            return
        raise RunError(f"{path} already holds a run: continue it with --resume, or choose another folder with --out")
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file; a run needs a folder (--out)")
    others = sorted(p.name for p in path.iterdir() if not is_own(p.name)) if path.is_dir() else []
    if others:
        raise RunError(f"{path} holds other files ({', '.join(others[:3])}): choose an empty folder")


@contextmanager
def locked_folder(path: Path, lock: str, doing: str) -> Iterator[None]:
    """Make a folder and keep other processes out while the block runs; RunError where one is there already."""
    path.mkdir(parents=True, exist_ok=True)
    try:
        file = open_locked(path / lock, doing)
    except LockedError as error:
        raise RunError(str(error)) from None
    with file:
        yield


class RunFolder:
    """Paths, lock and checkpoints of a run.

    Parameters
    ----------
    path : path-like
        Made by `begin`; nothing is touched before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / _CONFIG
        self.checkpoints_path = self.path / _CHECKPOINTS

    def file(self, name: str) -> Path:
        return self.path / name

    @property
    def has_begun(self) -> bool:
        return self.config.exists() or bool(self._steps())

    def check(self, resume: bool) -> None:
        """Raise RunError where a new run would meet an older one, or files that do not belong to it."""
        check_folder(self.path, has_begun=self.has_begun, resume=resume, is_own=_own)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out while the block runs; the lock ends with the process, however it ends.

        Raises
        ------
        RunError
            When another process trains here.
        """
        with locked_folder(self.path, _LOCK, "is training"):
            self._clear()
            yield

    # --- checkpoints ---------------------------------------------------------------------

    def saved(self) -> list[Saved]:
        """The checkpoints by step; those whose training.json is damaged are left out (and alone)."""
        found = []
        for step, path in self._steps():
            with suppress(CheckpointError):
                fields = Fields(read_object(path / STATE_NAME), path / STATE_NAME)
                loss = fields.number("validation_loss") if fields.has("validation_loss") else None
                found.append(Saved(step, path, loss))
        return found

    def newest(self) -> Path | None:
        """The checkpoint to resume from."""
        steps = self._steps()
        return steps[-1][1] if steps else None

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Make a checkpoint of what `write(folder)` puts into an empty folder; all of it or nothing."""
        target = self.checkpoints_path / f"{_PREFIX}{step:08d}"
        temporary = self.checkpoints_path / f".{target.name}.part"
        shutil.rmtree(temporary, ignore_errors=True)
        try:
            temporary.mkdir(parents=True)
            write(temporary)
            _flush_folder(temporary)
            self._remove(target)  # of a run that went back to before this step
            os.rename(temporary, target)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _flush_folder(self.checkpoints_path)
        return target

    def prune(self, keep_every: int = 0) -> None:
        """Remove all checkpoints but the last, the best and those at multiples of `keep_every`."""
        saved = self.saved()
        rated = [one for one in saved if one.validation_loss is not None]
        kept = {saved[-1].step} if saved else set()
        if rated:
            kept.add(min(rated, key=lambda one: (one.validation_loss, one.step)).step)
        for one in saved:
            if one.step not in kept and not (keep_every and one.step % keep_every == 0):
                self._remove(one.path)

    def _steps(self) -> list[tuple[int, Path]]:
        found = []
        if self.checkpoints_path.is_dir():
            for path in self.checkpoints_path.iterdir():
                digits = path.name.removeprefix(_PREFIX)
                if path.name.startswith(_PREFIX) and digits.isdecimal() and path.is_dir():
                    found.append((int(digits), path))
        return sorted(found)

    def _remove(self, path: Path) -> None:
        """Delete a checkpoint; at no moment is half of it left under its name."""
        if path.exists():
            doomed = path.with_name(f".{path.name}.old")
            shutil.rmtree(doomed, ignore_errors=True)
            os.rename(path, doomed)
            shutil.rmtree(doomed, ignore_errors=True)

    def _clear(self) -> None:
        """Delete what a process that died has left half written or half deleted."""
        for folder in (self.path, self.checkpoints_path):
            if folder.is_dir():
                for path in folder.iterdir():
                    if path.name.startswith(".") and path.name.endswith((".part", ".old")):
                        if path.is_dir():
                            shutil.rmtree(path, ignore_errors=True)
                        else:
                            path.unlink(missing_ok=True)


def damaged(error: CheckpointError, checkpoint: Path) -> RunError:
    """The error for a newest checkpoint that cannot be read: how to continue from the one before."""
    return RunError(f"{error}. The checkpoint is damaged: delete {checkpoint}, and --resume takes the one before it")


def _own(name: str) -> bool:
    """Whether a file may be there before a run begins: of a process that died at its very start."""
    return name in (_LOCK, _CHECKPOINTS) or (name.startswith(".") and name.endswith(".part"))


def _flush_folder(folder: Path) -> None:
    """Force a folder's names to disk, where the system knows such a thing."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
