"""Steps that are over: whether they still belong together, asked before anything is done, as a step may take hours.

A step that was deleted, or is to be made again, takes with it those that were made from what it held; which folders
these are is said, and nothing is deleted: that is for the person to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ....files.errors import CheckpointError
from ....training.run_folder import RunError
from .folder import DONE, Done, RecipeFolder, done_digest, read_done
from .step import Step


def read_over(steps: Sequence[Step], paths: Mapping[str, Path], resume_command: str) -> dict[str, Done]:
    """The markers of the steps that are over, by the names of the steps.

    Raises
    ------
    RunError
        When one is damaged: which folders to delete.
    """
    found = {}
    for step in steps:
        try:
            done = read_done(paths[step.name])
        except CheckpointError as error:
            if isinstance(error.__cause__, OSError):  # nobody has seen what is in it
                raise RunError(str(error)) from error
            raise RunError(
                f"{paths[step.name] / DONE} is damaged, it does not say any more what the step {step.name} was made "
                f"from: {make_again(steps, paths, [step.name], resume_command)}"
            ) from error
        if done is not None:
            found[step.name] = done
    return found


def made_steps(folder: RecipeFolder) -> dict[str, Done]:
    """What is over in a folder by the names of the steps' folders, also of other settings; without damaged markers."""
    found = {}
    for path in sorted(folder.path.glob(f"*/{DONE}")):
        with suppress(CheckpointError):
            if (done := read_done(path.parent)) is not None:
                found[path.parent.name] = done
    return found


def check_inputs(
    steps: Sequence[Step], paths: Mapping[str, Path], over: Mapping[str, Done], last: int, resume_command: str
) -> None:
    """Raise RunError where a step up to number `last`, from 0, was made from what is not there any more."""
    stale = {step.name: why for step in steps if step.name in over and (why := _stale(step, paths, over))}
    if any(step.name in stale for step in steps[: last + 1]):
        raise RunError(f"{next(iter(stale.values()))}: {make_again(steps, paths, stale, resume_command)}")


def make_again(steps: Sequence[Step], paths: Mapping[str, Path], names: Iterable[str], resume_command: str) -> str:
    """What to do so that some steps, and those made from them, are made again."""
    concerned = set(names)
    for step in steps:
        if concerned & set(step.inputs):
            concerned.add(step.name)
    there = [paths[step.name] for step in steps if step.name in concerned and paths[step.name].exists()]
    which = ", ".join(path.name for path in there)
    what = f"the folder {which}" if len(there) == 1 else f"the folders {which}"
    return f"delete {what} in {there[0].parent}, then they are made again by: {resume_command}"


def _stale(step: Step, paths: Mapping[str, Path], over: Mapping[str, Done]) -> str:
    """Why a step that is over is not to be used; "" where it is."""
    for name in step.inputs:
        if name not in over:
            return f"{paths[step.name]} was made from a {paths[name].name} that is not there any more"
        if over[step.name].inputs.get(name) != done_digest(paths[name]):
            return f"{paths[step.name]} was made from another {paths[name].name} than the one that is there"
    return ""
