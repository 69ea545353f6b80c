"""The loop of a training run, and how a run begins, stops and goes on.

    for each step:  batch -> loss and gradients -> clipped norm -> AdamW at the step's learning rate
    now and then:   validate, write samples, save a checkpoint

A step depends on the parameters, the moments, and numbers that follow from seed and step. All of it is in a
checkpoint, so a run that was killed goes on bit for bit as if nothing had happened, on the same number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..compute.threads import most_threads, set_threads
from ..files.errors import CheckpointError
from ..params import Params
from .metrics import MetricsLog, replace_text
from .preparing import Prepared, check_memory, check_same_data
from .run_folder import RunError, RunFolder, damaged
from .sampling_preview import SampleLog
from .settings import TrainSettings, check_unchanged
from .settings_toml import format_settings, read_settings
from .state import Progress, read_state
from .stepping import DivergedError, Engine, Row, Training

__all__ = ["DivergedError", "Engine", "Observer", "Outcome", "settings_before", "train"]


class Observer(Protocol):
    """Who is told how the run goes."""

    def begin(self, step: int, steps: int) -> None:
        """The loop begins behind `step`."""

    def row(self, row: Row) -> None:
        """A step is done; the row has the columns of metrics.py."""

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


# --- beginning and going on --------------------------------------------------------------


def settings_before(folder: RunFolder) -> TrainSettings | None:
    """The resolved settings that a run began with; None where none has."""
    return read_settings(folder.config) if folder.config.exists() else None


def train(
    prepared: Prepared,
    folder: RunFolder,
    observer: Observer,
    *,
    steps: int | None = None,
    threads: int | None = None,
    resume: bool = False,
    resume_command: str = "--resume",
    stop: Callable[[], bool] = lambda: False,
    engine: Engine | None = None,
) -> Outcome:
    """Train, from the beginning or from the newest checkpoint, to the last step.

    Parameters
    ----------
    prepared : Prepared
    folder : RunFolder
    observer : Observer
    steps : int, optional
        Another last step than the settings'; the learning rate keeps its schedule.
    threads : int, optional
        By default those that the run began with, or all cores.
    resume : bool
        Go on with the run in `folder`; without it a folder that holds one is refused.
    resume_command : str
        What a person types to go on, for messages.
    stop : callable
        Asked after each step; when it says True a checkpoint is written and the run ends.
    engine : Engine, optional
        What computes instead of gradients.py.

    Raises
    ------
    RunError
        When the folder is in use or of another run, something cannot be written, or the run diverges
        (DivergedError).
    """
    folder.check(resume)
    with folder.lock(), _disk_errors(folder, resume_command):
        before = settings_before(folder)
        if before is not None:
            check_unchanged(before, prepared.settings)
        newest = folder.newest()
        found = None if newest is None else _read(newest, prepared)
        threads = _threads(threads, found, observer)
        check_memory(prepared.config, threads)
        replace_text(folder.config, _HEAD + format_settings(prepared.settings, folder.path))
        last = steps or prepared.settings.run.steps
        _note_unused_rows(prepared, observer)
        with _engine(engine, prepared.settings, threads) as chosen:
            training = Training(prepared, chosen, threads)
            if found is not None:
                training.restore(*found)
            if newest is not None and training.progress.step >= last:
                observer.note(f"step {training.progress.step} of {last} is done; --steps N goes on")
                return Outcome(training.progress.step, False, newest)
            return _loop(training, folder, observer, last, stop, resume_command)


def _note_unused_rows(prepared: Prepared, observer: Observer) -> None:
    unused = prepared.config.vocab_size - prepared.tokenizer.vocab_size
    if unused:
        observer.note(f"[model] vocab_size {prepared.config.vocab_size}: {unused} more than the tokenizer's tokens")


_HEAD = "# The settings of this run, nothing left open. Paths start at this file's folder.\n\n"


def _read(path: Path, prepared: Prepared) -> tuple[Params, tuple[Params, Params], Progress]:
    try:
        found = read_state(path, prepared.settings, prepared.config)
    except CheckpointError as error:
        raise damaged(error, path) from error
    check_same_data(found[2].data, prepared.fingerprints)
    return found


def _threads(given: int | None, found: tuple[Any, Any, Progress] | None, observer: Observer) -> int:
    """The number asked for, else that of the run so far, else all cores."""
    before = None if found is None else found[2].threads
    threads = given or min(before or most_threads(), most_threads())
    set_threads(threads)
    if before is not None and threads != before:
        observer.note(f"{before} threads before, {threads} now: the last digits will differ from an uninterrupted run")
    return threads


@contextmanager
def _engine(given: Engine | None, settings: TrainSettings, threads: int) -> Iterator[Engine]:
    if given is not None:
        yield given
        return
    from .gradients import Workers

    n_micro, recompute = settings.data.micro_batches, settings.run.recompute
    with Workers(threads) as workers:
        yield Engine(
            lambda *batch: workers.loss_and_gradients(*batch, n_micro=n_micro, recompute=recompute), workers.evaluate
        )


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
            f"when there is room, go on with: {resume_command}"
        ) from error


def _loop(
    training: Training,
    folder: RunFolder,
    observer: Observer,
    last: int,
    stop: Callable[[], bool],
    resume_command: str,
) -> Outcome:
    """Steps up to `last`, and all that happens between them."""
    run, progress = training.settings.run, training.progress
    samples = SampleLog(folder.path, progress.step)
    metrics = MetricsLog(folder.path, progress.step)
    checkpoint = folder.newest()
    observer.begin(progress.step, last)
    due = lambda every: progress.step == last or (every > 0 and progress.step % every == 0)  # noqa: E731
    try:
        while progress.step < last:
            row = training.update()
            if due(run.checkpoint_every) or due(run.validate_every):
                row |= training.validate()
            metrics.add(row)
            observer.row(row)
            if run.sample_every and due(run.sample_every):
                samples.add(training.samples())
            stopping = stop()
            if due(run.checkpoint_every) or stopping:
                metrics.sync()
                checkpoint = training.save(folder, row.get("validation_loss"))
            if stopping and progress.step < last:
                assert checkpoint is not None
                return Outcome(progress.step, True, checkpoint)
    except DivergedError as error:
        since = f"The last checkpoint is {checkpoint.name}" if checkpoint else "No checkpoint was written before"
        raise DivergedError(f"{error}. {since}; it goes on with: {resume_command}") from error
    finally:
        metrics.close()
    assert checkpoint is not None
    return Outcome(progress.step, False, checkpoint)
