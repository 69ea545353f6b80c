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
    """The section about the mistake that the last check found, or about the exercise."""
    from rich.console import Console

    from ..learn.formulas import readable
    from ..learn.sections import NOTEBOOKS, section_about
    from .common.markdown import FoldedMarkdown

    workspace.refresh()
    mistake = workspace.record(exercise.id).mistake
    section = section_about(exercise, mistake)
    write(f"\n {exercise.heading}\n" + (f"   {mistake}\n" if mistake else ""))
    where = "" if NOTEBOOKS.is_dir() else " in a clone of the repository"
    write(f"\n {section.title}\n   code and pictures: notebooks/{section.file}.ipynb{where}\n\n")
    text = re.sub(r"!?\[([^]]+)\]\([^)]+\)", r"\1", section.text)  # links lead nowhere here
    Console(width=min(100, Console().width)).print(FoldedMarkdown(readable(text)))


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
    report.facts = [fact for fact in report.facts if fact[0] != "again"]  # that would check the function that counts
    report.next_step = (
        f"In {place_of(path, exercise.id)}, then minillama learn review. Deleting the file ends the review."
    )
    return report
