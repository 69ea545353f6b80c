"""Back to what was: the section of the book about a mistake, and an exercise that was passed long ago."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .common.output import write

if TYPE_CHECKING:
    from ..learn.diagnosis.report import Report
    from ..learn.exercises.exercise import Exercise
    from ..learn.workspace.folder import Workspace


def print_why(workspace: Workspace, exercise: Exercise) -> None:
    """The section about the mistake that the last check found, or about the exercise.

    Raises
    ------
    ValueError
        Where the chapters are not installed.
    """
    from rich.console import Console
    from rich.markdown import Markdown

    from ..learn.sections import section_about

    workspace.refresh()
    mistake = workspace.record(exercise.id).mistake
    section = section_about(exercise, mistake)
    write(f"\n {exercise.heading}\n" + (f"   {mistake}\n" if mistake else ""))
    write(f"\n {section.title}\n   notebooks/{section.file}.ipynb has its code and pictures.\n\n")
    text = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", section.text)  # links lead nowhere here
    Console(width=80).print(Markdown(text))


def review_again(workspace: Workspace, id: str | None) -> Report | None:
    """Bring an exercise back, or check the one that was brought back; a report if something was checked."""
    from ..learn.chapters.catalogue import get_exercise
    from ..learn.workspace import review
    from ..learn.workspace.checker import check_in_process
    from ..learn.workspace.learners_file import place_of

    running = review.begun(workspace, id)
    if running is None:
        exercise = get_exercise(id) if id else review.oldest(workspace)
        path = review.begin(workspace, exercise)
        write(f"\n {exercise.heading}\n   {exercise.task}\n\n")
        write(f"   You wrote it on {review.last_time(workspace, exercise.id)}; that function stays, and counts.\n")
        write(f"   Write it again in {place_of(path, exercise.id)}; `minillama learn review` checks it.\n")
        return None
    exercise, path = running
    before = review.last_time(workspace, exercise.id)
    report = check_in_process(exercise, path)
    if report.passed:
        kept = review.end(workspace, exercise, path)
        write(f"\n Once more, after {before}. What you wrote is kept as review/{kept.name}.\n\n")
    return report
