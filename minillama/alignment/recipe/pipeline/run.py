"""Step after step, past those that are over, to the last or to an interrupt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....files.errors import CheckpointError
from ....files.suggestions import did_you_mean
from ....training.run_folder import RunError
from .clock import StepClock
from .context import Context, Observer, Stopped
from .folder import Done, RecipeFolder, clear_leftovers, done_digest, write_done
from .over import check_inputs, make_again, read_over
from .step import Step, check_steps


@dataclass(frozen=True)
class Ended:
    """How `run_pipeline` ended.

    Attributes
    ----------
    step : str
        The last one that was over, or the one that was interrupted.
    interrupted : bool
    """

    step: str
    interrupted: bool


def run_pipeline(
    steps: Sequence[Step],
    folder: RecipeFolder,
    settings: Any,
    observer: Observer,
    *,
    threads: int,
    until: str | None = None,
    resume_command: str = "--resume",
    stop: Callable[[], bool] = lambda: False,
    made_with: Callable[[str], Mapping[str, Any]] = lambda name: {},
) -> Ended:
    """Do what is left of a run; the caller holds the folder's lock.

    Parameters
    ----------
    steps : sequence of Step
    settings : Any
        For the steps.
    until : str, optional
        The last step to do.
    resume_command : str
        What a person types to continue, for messages.
    stop : callable
        Asked now and then; when it says True the step at work keeps what it has, and the run ends.
    made_with : callable
        The settings that a step's marker keeps, by the step's name.

    Raises
    ------
    ValueError
        When there is no step called `until`.
    RunError
        When something cannot be written, or a step was made from what is no longer there; the latter is found before
        anything is done.
    """
    check_steps(steps)
    last = last_step(steps, until)
    paths = {step.name: folder.step(n, step.name) for n, step in enumerate(steps, 1)}
    run = _Run(steps, paths, settings, observer, threads, stop, resume_command, made_with)
    with _disk_errors(folder.path, resume_command):
        over = read_over(steps, paths, resume_command)
        check_inputs(steps, paths, over, last, resume_command)
        for number, step in enumerate(steps[: last + 1], 1):
            if step.name not in over and (stop() or not run.do(number, step)):
                return Ended(step.name, True)
    return Ended(steps[last].name, False)


@dataclass(frozen=True)
class _Run:
    """What the steps of a run have in common; their folders by their names."""

    steps: Sequence[Step]
    paths: dict[str, Path]
    settings: Any
    observer: Observer
    threads: int
    stop: Callable[[], bool]
    resume_command: str
    made_with: Callable[[str], Mapping[str, Any]]

    def do(self, number: int, step: Step) -> bool:
        """A step, or what is left of it; False where it was interrupted."""
        path, inputs = self.paths[step.name], {name: self.paths[name] for name in step.inputs}
        self.observer.begin(number, len(self.paths), step.name)
        path.mkdir(exist_ok=True)
        clear_leftovers(path)
        clock = StepClock(path)
        context = Context(
            path, self.settings, self.threads, inputs, self.observer, clock, self.stop, self.resume_command
        )
        try:
            figures = step.run(context)
        except Stopped:
            return False
        except (FileNotFoundError, CheckpointError) as error:
            if (maker := self._maker(error, step)) is None:
                raise
            raise RunError(self._lost(error, maker, step)) from error
        finally:
            clock.close()
        spent = clock.spent()
        digests = {name: done_digest(read) for name, read in inputs.items()}
        write_done(path, Done(figures, spent, digests, self.made_with(step.name)))
        self.observer.end(spent, figures)
        return True

    def _maker(self, error: FileNotFoundError | CheckpointError, step: Step) -> str | None:
        """The step whose folder has, or had, what cannot be read; None where it is not of those that `step` reads."""
        place = Path(str(error.filename if isinstance(error, FileNotFoundError) else error.path))
        return next((name for name in step.inputs if place.is_relative_to(self.paths[name])), None)

    def _lost(self, error: FileNotFoundError | CheckpointError, maker: str, step: Step) -> str:
        found = f"{error.filename} is not there any more" if isinstance(error, FileNotFoundError) else str(error)
        again = make_again(self.steps, self.paths, [maker], self.resume_command)
        return f"{found}. The step {maker} made it, and {step.name} needs it: put it there again as it was, or {again}"


def last_step(steps: Sequence[Step], until: str | None) -> int:
    """The place of the step that is called `until`, or of the last; ValueError where there is none."""
    names = [step.name for step in steps]
    if until is None:
        return len(names) - 1
    if until not in names:
        guess = did_you_mean(until, names)
        raise ValueError(f"--until {until}: there is no such step; {guess}possible: {', '.join(names)}")
    return names.index(until)


@contextmanager
def _disk_errors(path: Path, resume_command: str) -> Iterator[None]:
    """Say in one sentence what is whole and what to do when a file cannot be written, or is not there."""
    try:
        yield
    except BrokenPipeError:  # nobody reads what is said: not the disk's fault
        raise
    except FileNotFoundError as error:
        raise RunError(
            f"the run stopped, a file that it needs is missing: {error.filename}. What is over stays; put it there "
            "again, or delete the folder of the step that made it and those of the steps after it; then: "
            f"{resume_command}"
        ) from error
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise RunError(
            f"the run stopped, {path} cannot be written: {error.strerror or error}{where}. What is over stays; "
            f"when there is room, continue with: {resume_command}"
        ) from error
