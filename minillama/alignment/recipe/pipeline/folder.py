"""The folder of a recipe: its settings, its lock, and a folder for every step with a marker that is written last."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ....files.errors import CheckpointError
from ....files.json_object import Fields, read_object
from ....training.metrics import replace_text
from ....training.run_folder import check_folder, locked_folder
from .clock import Spent

SETTINGS, LOCK, DONE = "recipe.toml", ".lock", "done.json"
PART = ".part-"


@dataclass(frozen=True)
class Done:
    """What a step left behind when it was over.

    Attributes
    ----------
    figures : mapping
        What it returned.
    spent : Spent
    inputs : mapping of str to str
        The digest of the marker of every step that it read.
    settings : mapping
        Those that it was made with, by table; empty where nobody kept them, as in older runs.
    """

    figures: Mapping[str, Any]
    spent: Spent
    inputs: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


class RecipeFolder:
    """Paths, lock and markers of a run.

    Parameters
    ----------
    path : path-like
        Made by `lock`; nothing is touched before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.settings = self.path / SETTINGS

    @property
    def has_begun(self) -> bool:
        return self.settings.exists()

    def check(self, resume: bool) -> None:
        """Raise RunError where a new run would meet an older one, or files that do not belong to it."""
        check_folder(self.path, has_begun=self.has_begun, resume=resume, is_own=_own)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other processes out while the block runs; the lock ends with the process, however it ends.

        Raises
        ------
        RunError
            When another process works here.
        """
        with locked_folder(self.path, LOCK, "is at work"):
            clear_leftovers(self.path)
            yield

    def begin(self, settings: str) -> None:
        """Fix the settings, where a run has not begun."""
        if not self.has_begun:
            replace_text(self.settings, settings)

    def step(self, number: int, name: str) -> Path:
        """The folder of a step, counted from 1; it need not exist."""
        return self.path / f"{number:02}-{name}"

    def file(self, name: str) -> Path:
        return self.path / name


def read_done(folder: Path) -> Done | None:
    """The marker in a step's folder; None where the step is not over.

    Raises
    ------
    CheckpointError
        When it is damaged.
    """
    path = folder / DONE
    if not path.exists():
        return None
    fields = Fields(read_object(path), path)
    inputs, spent = fields.object("inputs"), fields.object("seconds")
    return Done(
        fields.object("figures").values,
        Spent(spent.number("wall"), spent.number("cpu")),
        {name: inputs.text(name) for name in inputs.values},
        fields.object("settings", {}).values,
    )


def write_done(folder: Path, done: Done) -> None:
    """Write the marker, when everything else is there."""
    row = {
        "figures": dict(done.figures),
        "seconds": done.spent._asdict(),
        "inputs": dict(done.inputs),
        "settings": dict(done.settings),
        "ended": datetime.now(UTC).isoformat(),
    }
    replace_text(folder / DONE, json.dumps(row, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def done_digest(folder: Path) -> str:
    """Of a step's marker: another whenever the step was done again."""
    try:
        return hashlib.sha256((folder / DONE).read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(folder / DONE, "file", f"cannot be read: {error.strerror}") from error


def clear_leftovers(folder: Path) -> None:
    """Delete what a process that died has left half written."""
    for path in folder.iterdir():
        if _is_leftover(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _own(name: str) -> bool:
    """Whether a file may be there before a run begins: of a process that died at its very start."""
    return name == LOCK or _is_leftover(name)


def _is_leftover(name: str) -> bool:
    return name.startswith(PART) or (name.startswith(".") and name.endswith((".part", ".old")))
