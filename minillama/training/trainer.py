"""The loop of a training run, and how a run begins, stops and goes on, whatever is learned.

    for each step:  batch -> sums and gradients -> clipped norm -> AdamW at the step's learning rate
    now and then:   evaluate, write samples, save a checkpoint

What is learned is the stage's business (stage.py). A step depends on the model, the moments, and numbers that
follow from seed and step. All of it is in a checkpoint, so a run that was killed continues bit for bit as if nothing
had happened, on the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from ..compute.threads import most_threads, set_threads
from ..files.errors import CheckpointError
from ..trees import Tree, named_leaves
from .checkpoint import RunProgress, read_checkpoint, write_checkpoint
from .functions import PACKAGE, Functions
from .gradients import means
from .memory import check_memory
from .metrics import MetricsLog, replace_text
from .run_folder import RunError, RunFolder, damaged
from .samples import SampleLog
from .schedule import Schedule
from .stage import Row, Stage
from .workers import Workers


class Observer(Protocol):
    """Who is told how the run goes."""

    def begin(self, step: int, steps: int) -> None:
        """The loop begins after `step`."""

    def row(self, row: Row) -> None:
        """A step is done; the row has the stage's columns."""

    def note(self, text: str) -> None:
        """Something that happens now and then."""


@dataclass(frozen=True)
class Outcome:
    """How `train` ended.

    Attributes
    ----------
    step : int
    interrupted : bool
        `stop` said so before the last step.
    checkpoint : Path
        The newest one.
    """

    step: int
    interrupted: bool
    checkpoint: Path


class DivergedError(RunError):
    """Loss or gradient is no longer a finite number; nothing was changed or saved after that."""


# --- one step after the other ------------------------------------------------------------


class Trainer:
    """Model, optimizer and position of a run in memory.

    `functions` are what it computes with.

    Attributes
    ----------
    model : tree
        Changed in place.
    progress : RunProgress
    """

    def __init__(
        self,
        stage: Stage,
        workers: Workers,
        found: tuple[Tree, tuple[Tree, Tree], RunProgress] | None,
        functions: Functions = PACKAGE,
    ) -> None:
        self.stage, self.settings, self._workers, self._functions = stage, stage.settings, workers, functions
        schedule, given = self.settings.schedule, self.settings.optimizer
        self._schedule = Schedule(schedule.peak, schedule.warmup_steps, schedule.total_steps, schedule.final_fraction)
        self.model = stage.start() if found is None else found[0]
        betas = (given.beta1, given.beta2)
        self.optimizer = functions.optimizer(self.model, betas=betas, eps=given.eps, weight_decay=given.weight_decay)
        self.progress = RunProgress(threads=workers.n_threads, data=dict(stage.fingerprints))
        if found is not None:
            _, (self.optimizer.m, self.optimizer.v), progress = found
            self.optimizer.n_steps = progress.n_steps
            self.progress = replace(progress, threads=workers.n_threads)

    def update(self) -> Row:
        """One step.

        Raises
        ------
        DivergedError
            Before anything is changed.
        """
        begin, step = time.perf_counter(), self.progress.step + 1
        stage, functions = self.stage, self._functions
        batch = stage.batch(step, self.model)
        objective, n_micro = functions.objective(stage.objective, stage.micro_batches)
        sums, gradients = self._workers.gradients(objective, self.model, batch, n_micro=n_micro, ops=functions.ops)
        count = max(1.0, sums["count"])
        norm = functions.norm(gradients, count)
        _check_finite(step, means(sums)["loss"], norm, gradients, self.settings.run.gradient_norm_limit)
        rate = functions.rate(self._schedule, step)
        # `scale` has the one division of the gradients by the count; it costs no pass of its own over them
        gradients, scale = functions.clip(gradients, count, norm, self.settings.optimizer.clip_norm)
        self.optimizer.update(gradients, rate, scale, rate_factor=stage.rate_factor)
        seconds = time.perf_counter() - begin
        progress = self.progress
        progress.step, progress.n_steps = step, self.optimizer.n_steps
        progress.seconds += seconds
        row = {"step": step, "learning_rate": rate, "gradient_norm": norm, "seconds": round(progress.seconds, 3)}
        row |= stage.figures(step, sums, seconds)
        return {name: row[name] for name in stage.columns if name in row}

    def evaluate(self) -> Row:
        """The stage's figures of validation; the best so far is kept in `progress`."""
        row, progress = self.stage.evaluate(self.model, self._workers), self.progress
        if (loss := row.get("validation_loss")) is None:
            return row
        if not math.isfinite(loss):
            raise DivergedError(f"the validation loss at step {progress.step} is {loss}. {_ADVICE}")
        if progress.best_loss is None or loss < progress.best_loss:
            progress.best_step, progress.best_loss = progress.step, loss
        return row

    def save(self, folder: RunFolder, validation_loss: float | None) -> Path:
        """Write a checkpoint, then remove those that are no longer needed."""
        for name, array in named_leaves(self.model):
            if not np.isfinite(array).all():
                raise DivergedError(f"after step {self.progress.step} {name} is not finite any more. {_ADVICE}")
        self.progress.validation_loss = validation_loss
        moments = (self.optimizer.m, self.optimizer.v)

        def write(target: Path) -> None:
            write_checkpoint(target, self.stage, self.model, moments, self.progress)

        path = folder.save(self.progress.step, write)
        folder.prune(self.settings.run.keep_every)
        return path


_ADVICE = "Nothing was saved after that. Lower [schedule] peak or lengthen the warm-up, in a new folder"


def _check_finite(step: int, loss: float, norm: float, gradients: Tree, limit: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        if limit and norm > limit:
            raise DivergedError(
                f"the gradient norm at step {step} is {norm:.4g}, above [run] gradient_norm_limit {limit:g}. {_ADVICE}"
            )
        return
    broken = [name for name, array in named_leaves(gradients) if not np.isfinite(array).all()]
    where = "every gradient is finite"
    if broken:
        where = f"{broken[0]} is the first tensor with a gradient that is not finite ({len(broken)} have one)"
    raise DivergedError(f"at step {step} the loss is {loss:.4g} and the gradient norm {norm:.4g}: {where}. {_ADVICE}")


# --- beginning and continuing ------------------------------------------------------------


def train(
    stage: Stage,
    folder: RunFolder,
    observer: Observer,
    *,
    steps: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    resume_command: str = "--resume",
    stop: Callable[[], bool] = lambda: False,
    functions: Functions = PACKAGE,
) -> Outcome:
    """Train, from the beginning or from the newest checkpoint, to the last step.

    Parameters
    ----------
    stage : Stage
    folder : RunFolder
    observer : Observer
    steps : int, optional
        The last step, in place of the settings'; the learning rate keeps its schedule.
    threads : int, optional
        By default those that the run began with, or all cores.
    resume : bool
        Continue the run in `folder`; without it a folder that holds one is refused.
    resume_command : str
        What a person types to continue, for messages.
    stop : callable
        Asked after each step; when it says True a checkpoint is written and the run ends.
    functions : Functions
        What a step is computed with; validation and samples stay the package's. With others than the package's no
        batch is cut for threads (`Workers(whole=True)`).

    Raises
    ------
    RunError
        When the folder is in use or of another run, something cannot be written, or the run diverges
        (DivergedError).
    """
    folder.check(resume)
    with folder.lock(), _disk_errors(folder, resume_command):
        if folder.config.exists():
            stage.check_settings(folder.config)
        newest = folder.newest()
        found = None if newest is None else _read(newest, stage)
        threads = _threads(threads, None if found is None else found[2].threads, observer)
        check_memory(stage.pattern(), threads)
        replace_text(folder.config, _HEAD + stage.settings_text(folder.path))
        for note in stage.notes:
            observer.note(note)
        last = steps or stage.settings.run.steps
        if newest is not None and found is not None and found[2].step >= last:
            observer.note(f"step {found[2].step} of {last} is done; --steps N continues")
            return Outcome(found[2].step, False, newest)
        with Workers(threads, whole=not functions.are_the_packages) as workers:
            trainer = Trainer(stage, workers, found, functions)
            return _loop(trainer, folder, observer, last, stop, resume_command)


_HEAD = "# The settings of this run, nothing left open. Paths start at this file's folder.\n\n"


def _read(path: Path, stage: Stage) -> tuple[Tree, tuple[Tree, Tree], RunProgress]:
    try:
        found = read_checkpoint(path, stage)
    except CheckpointError as error:
        raise damaged(error, path) from error
    before, now = found[2].data, stage.fingerprints
    if changed := [name for name in now if before.get(name) != now[name]]:
        raise RunError(
            f"the data of {', '.join(changed)} is not what this run began with: put it back to resume the run, "
            "or train in another folder (--out)"
        )
    return found


def _threads(given: int | None, before: int | None, observer: Observer) -> int:
    """The number asked for, else that of the run so far, else all cores."""
    threads = given or min(before or most_threads(), most_threads())
    set_threads(threads)
    if before is not None and threads != before:
        observer.note(f"{before} threads before, {threads} now: the last digits will differ from an uninterrupted run")
    return threads


@contextmanager
def _disk_errors(folder: RunFolder, resume_command: str) -> Iterator[None]:
    """Say in one sentence what is whole and what to do when a file cannot be written."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what is said: not the disk's fault
        raise
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        newest = folder.newest()
        whole = "There is no checkpoint yet" if newest is None else f"The checkpoint {newest.name} is whole"
        raise RunError(
            f"the run stopped, {folder.path} cannot be written: {error.strerror or error}{where}. {whole}; "
            f"when there is room, continue with: {resume_command}"
        ) from error


def _loop(
    trainer: Trainer,
    folder: RunFolder,
    observer: Observer,
    last: int,
    stop: Callable[[], bool],
    resume_command: str,
) -> Outcome:
    """Steps up to `last`, and all that happens between them."""
    run, progress, stage = trainer.settings.run, trainer.progress, trainer.stage
    samples = SampleLog(folder.path, progress.step)
    metrics = MetricsLog(folder.path, progress.step, stage.columns)
    checkpoint = folder.newest()
    observer.begin(progress.step, last)
    due = lambda every: progress.step == last or (every > 0 and progress.step % every == 0)  # noqa: E731
    try:
        while progress.step < last:
            row = trainer.update()
            if due(run.checkpoint_every) or due(run.validate_every):
                row |= trainer.evaluate()
            metrics.add(row)
            observer.row(row)
            if run.sample_every and due(run.sample_every):
                samples.add(stage.samples(trainer.model, progress.step))
            stopping = stop()
            if due(run.checkpoint_every) or stopping:
                metrics.sync()
                checkpoint = trainer.save(folder, row.get("validation_loss"))
            if stopping and progress.step < last:
                assert checkpoint is not None
                return Outcome(progress.step, True, checkpoint)
    except DivergedError as error:
        since = f"The last checkpoint is {checkpoint.name}" if checkpoint else "No checkpoint was written before"
        raise DivergedError(f"{error}. {since}; to continue from there: {resume_command}") from error
    finally:
        metrics.close()
    assert checkpoint is not None
    return Outcome(progress.step, False, checkpoint)
