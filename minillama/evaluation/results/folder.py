"""The folder of a run: what is where, and who may write.

    DIR/settings.json            what was asked of which model; written first
    DIR/samples_TASK_TIME.jsonl  every item: prompt, answers, what they are worth
    DIR/report.html  report.md   to be read
    DIR/results_TIME.json        the numbers, in lm-evaluation-harness's schema; written last: with it, a run is done
    DIR/times.json               when and how long; but for the report and TIME in names no other file holds a time
    DIR/.lock                    held while a process runs

TIME is when the run began. Every file is replaced as a whole or not at all. Answers are kept while they come by
engine/store.py, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from ...files.json_object import read_object
from ...files.lock import LockedError, open_locked
from .evaluation import Evaluation
from .harness_files import harness_results
from .report import as_html, as_markdown
from .samples import sample_lines
from .settings import differences

SETTINGS, TIMES, LOCK = "settings.json", "times.json", ".lock"
_OURS = ("settings.json", "times.json", "report.html", "report.md", "results_*.json", "samples_*.jsonl")


class FolderError(ValueError):
    """A run cannot write here; the message says why and what to do."""


class ResultsFolder:
    """Where the results of a run go.

    Parameters
    ----------
    path : path-like
        Made by `begun`; nothing is touched before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @property
    def is_done(self) -> bool:
        return any(self.path.glob("results_*.json"))

    def check(self, settings: Mapping[str, Any], *, resume: bool = False, force: bool = False) -> None:
        """Raise FolderError where this run would meet another one, or files that are not a run's."""
        if self.path.exists() and not self.path.is_dir():
            raise FolderError(f"{self.path} is a file; results need a folder (--out)")
        earlier = self._earlier_settings()
        if earlier is None:
            self._refuse_others()
        elif force:
            return
        elif not resume:
            what = "holds the results of a run" if self.is_done else "holds a run that is not finished"
            raise FolderError(
                f"{self.path} {what}: continue it with --resume, replace it with --force, or choose another"
            )
        elif found := differences(settings, earlier):
            raise FolderError(
                f"{self.path} holds a run with other settings: {'; '.join(found[:5])}; take the same ones, "
                "replace it with --force, or choose another folder"
            )

    @contextmanager
    def begun(
        self, settings: Mapping[str, Any], *, resume: bool = False, force: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Keep other processes out while the block runs; the settings are on disk before anything is asked.

        Yields the times of the run that is continued, so that its files keep their names.

        Raises
        ------
        FolderError
            As `check` does, or when another process writes here.
        """
        self.check(settings, resume=resume, force=force)
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            file = open_locked(self.path / LOCK, "evaluates")
        except LockedError as error:
            raise FolderError(str(error)) from None
        with file:
            for path in self.path.glob(".*.part"):  # half written by a process that was killed
                path.unlink()
            if force and not resume:
                self._clear()
            self._write(SETTINGS, _json(settings))
            times = read_object(self.path / TIMES) if (self.path / TIMES).is_file() else {"started": now()}
            self._write(TIMES, _json(times))
            yield times

    def write(self, evaluation: Evaluation) -> None:
        """Write all files; the one that says that the run is done is the last."""
        self._clear(but=(SETTINGS, TIMES))
        stamp = str(evaluation.times.get("started", "")).replace(":", "-")
        for name, result in evaluation.results.items():
            with atomic_write(self.path / f"samples_{name}_{stamp}.jsonl") as file:
                for line in sample_lines(result.task, result.items):
                    file.write(line)
        self._write("report.md", as_markdown(evaluation).encode("utf-8", "replace"))
        self._write("report.html", as_html(evaluation).encode("utf-8", "replace"))
        self._write(TIMES, _json(evaluation.times))
        self._write(f"results_{stamp}.json", _json(harness_results(evaluation)))

    def _earlier_settings(self) -> dict[str, Any] | None:
        path = self.path / SETTINGS
        return read_object(path) if path.is_file() else None

    def _refuse_others(self) -> None:
        names = sorted(p.name for p in self.path.iterdir()) if self.path.is_dir() else []
        if others := [name for name in names if not (name.startswith(".") or name == "answers")]:
            raise FolderError(f"{self.path} holds other files ({', '.join(others[:3])}): choose an empty folder")

    def _clear(self, but: Sequence[str] = ()) -> None:
        for pattern in _OURS:
            for path in self.path.glob(pattern):
                if path.name not in but:
                    path.unlink()

    def _write(self, name: str, content: bytes) -> None:
        with atomic_write(self.path / name) as file:
            file.write(content)


def now() -> str:
    """The time, as files are named by it."""
    return datetime.datetime.now().isoformat(timespec="milliseconds")


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n").encode("utf-8", "surrogatepass")
