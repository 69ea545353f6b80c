"""What a step is given: its folder, those that it reads, the settings, and ways of working that survive a kill.

context.once(name, write)      a file or folder: whole under its name, or not there
context.trained(stage)         a training run, from its newest checkpoint; then its model as a folder
context.progress(done, total)  how far it is; ends the step where a person asked for that
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ....training.checkpoint import OPTIMIZER_NAME
from ....training.run_folder import STATE_NAME, RunFolder
from ....training.stage import Row, Stage
from ....training.trainer import Observer as TrainerObserver
from ....training.trainer import train
from .clock import Spent, StepClock
from .folder import PART

TRAINING, MODEL = "training", "model"


class Stopped(Exception):
    """A person asked the run to stop: what was done is kept, and the same command continues."""


class Observer(Protocol):
    """Who is told how the run goes."""

    def begin(self, number: int, n_steps: int, name: str) -> None:
        """A step begins, or is taken up again."""

    def progress(self, done: int, total: int, text: str) -> None:
        """How far the step is."""

    def end(self, spent: Spent, figures: Mapping[str, Any]) -> None:
        """The step is over."""

    def note(self, text: str) -> None:
        """Something that happens now and then."""


@dataclass
class Context:
    """Of one step.

    Attributes
    ----------
    folder : Path
        Where it writes; there.
    settings : Any
        Those of the run.
    threads : int
    stop : callable
        Whether a person asked the run to end.
    """

    folder: Path
    settings: Any
    threads: int
    _inputs: Mapping[str, Path]
    _observer: Observer
    _clock: StepClock
    stop: Callable[[], bool] = lambda: False
    _resume_command: str = "--resume"
    _text: str = field(default="", repr=False)

    def of(self, step: str) -> Path:
        """The folder of an earlier step.

        Raises
        ------
        KeyError
            When the step at work did not say that it reads it.
        """
        return self._inputs[step]

    def made(self, step: str, name: str) -> Path:
        """A file or folder that an earlier step made.

        Raises
        ------
        FileNotFoundError
            When it is not there any more. KeyError as `of`.
        """
        path = self.of(step) / name
        if not path.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def reads(self, step: str) -> bool:
        """Whether the step at work said that it reads an earlier one."""
        return step in self._inputs

    def file(self, name: str) -> Path:
        return self.folder / name

    # --- telling -------------------------------------------------------------------------

    def progress(self, done: int, total: int, text: str | None = None) -> None:
        """Say how far the step is; `text` stays until there is another.

        Raises
        ------
        Stopped
            When a person asked for it: not to be called where something would be left half done.
        """
        self._clock.tick()
        if self.stop():
            raise Stopped
        self._text = self._text if text is None else text
        self._observer.progress(done, total, self._text)

    def counting(self, text: str) -> Callable[[int, int], None]:
        """A callback (done, in all) that says what is being done."""
        return lambda done, total: self.progress(done, total, text)

    def telling(self, text: str) -> Callable[[int, int], None]:
        """The same, and the step is not ended there: where what is at work saves itself when it is asked to stop."""

        def told(done: int, total: int) -> None:
            self._clock.tick()
            self._observer.progress(done, total, text)

        return told

    def note(self, text: str) -> None:
        self._observer.note(text)

    def trainer_observer(self) -> TrainerObserver:
        """What tells of a training run inside the step."""
        return _Told(self)

    # --- making --------------------------------------------------------------------------

    def once(self, name: str, write: Callable[[Path], Any]) -> Path:
        """Make a file or folder where it is not there: `write(path)` makes it under another name, then it is renamed.

        Returns
        -------
        Path
            Of what is now there.
        """
        target = self.folder / name
        if target.exists():
            return target
        # what is made keeps its ending, by which some writers choose a format
        temporary = target.with_name(f"{PART}{target.name}")
        _remove(temporary)
        try:
            write(temporary)
            _flush(temporary)
            os.replace(temporary, target)
        except BaseException:
            _remove(temporary)
            raise
        return target

    def trained(
        self, stage: Stage | Callable[[], Stage], name: str = MODEL, choose: Callable[[RunFolder], Path] | None = None
    ) -> Path:
        """Train, or go on training, and keep the model as a folder that opens everywhere.

        Parameters
        ----------
        stage : Stage, or a function that makes it
            The function is not called when the model is there.
        name : str
            Of the model's folder; the record of its training is in `training`, or `training-NAME`.
        choose : callable, optional
            Which checkpoint to keep; the newest by default.

        Returns
        -------
        Path
            The folder of the model.
        """
        target = self.folder / name
        run = RunFolder(self.folder / (TRAINING if name == MODEL else f"{TRAINING}-{name}"))
        if not target.exists():
            made = stage if isinstance(stage, Stage) else stage()
            outcome = train(
                made,
                run,
                self.trainer_observer(),
                threads=self.threads,
                resume=True,
                resume_command=self._resume_command,
                stop=self.stop,
            )
            if outcome.interrupted:
                raise Stopped
            chosen = outcome.checkpoint if choose is None else choose(run)
            self.once(name, lambda folder: _copy_model(chosen, folder))
        shutil.rmtree(run.checkpoints_path, ignore_errors=True)  # moments: three times the model
        return target


@dataclass
class _Told:
    """What the trainer says, as progress of a step."""

    context: Context
    steps: int = 0

    def begin(self, step: int, steps: int) -> None:
        self.steps = steps

    def row(self, row: Row) -> None:
        step = row["step"]
        loss = f" loss {row['loss']:.3f}" if "loss" in row else ""
        context = self.context
        context._clock.tick()  # the trainer asks for itself whether to stop, and saves before it does
        context._observer.progress(step, self.steps, f"training{loss}")

    def note(self, text: str) -> None:
        self.context.note(text)


def _copy_model(checkpoint: Path, folder: Path) -> None:
    """A checkpoint without what only resuming needs."""
    leave = shutil.ignore_patterns(OPTIMIZER_NAME, STATE_NAME)
    shutil.copytree(checkpoint, folder, ignore=leave)


def _flush(path: Path) -> None:
    """Force a file, or all files of a folder, to the disk: the name that it gets says that it is whole."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
