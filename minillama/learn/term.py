"""The course as a term of twelve weeks: which exercises belong to which, and how long that takes.

A chapter that takes two weeks is read in the first and cut before an exercise.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .chapters.catalogue import catalogue, chapter_packages
from .course import Chapter, hours

# The chapters of each week; "14:x" is the part of chapter 14 from the exercise x on.
_WEEKS = (
    ("00", "01"),
    ("02",),
    ("03",),
    ("04", "05"),
    ("06",),
    ("07", "08"),
    ("09",),
    ("10", "11"),
    ("12",),
    ("13",),
    ("14",),
    ("14:accumulate_micro_batches",),
)


@dataclass(frozen=True)
class Week:
    """A week of the term; times in minutes.

    Attributes
    ----------
    number : int
    chapters : list of Chapter
    core, others : list of str
        Ids of the exercises of the core path, and of the rest.
    reading, core_minutes, minutes : int
        To read and run the chapters, for the exercises of the core path, and for all.
    """

    number: int
    chapters: list[Chapter]
    core: list[str]
    others: list[str]
    reading: int
    core_minutes: int
    minutes: int


def term(chapters: list[Chapter]) -> Iterator[Week]:
    """The weeks, of the chapters of the course."""
    by_number = {chapter.number: chapter for chapter in chapters}
    cuts = dict(part.split(":") for week in _WEEKS for part in week if ":" in part)
    core = {id for package in chapter_packages() for id in package.CORE}
    for number, parts in enumerate(_WEEKS, 1):
        ids, reading = [], 0
        for part in parts:
            chapter, _, first = part.partition(":")
            of_chapter = [id for id in catalogue() if catalogue().chapter_of(id) == chapter]
            cut = of_chapter.index(cuts[chapter]) if chapter in cuts else len(of_chapter)
            ids += of_chapter[cut:] if first else of_chapter[:cut]
            reading += 0 if first else by_number[chapter].reading
        minutes = {id: catalogue()[id].minutes for id in ids}
        yield Week(
            number,
            [by_number[part[:2]] for part in parts],
            [id for id in ids if id in core],
            [id for id in ids if id not in core],
            reading,
            sum(minutes[id] for id in ids if id in core),
            sum(minutes.values()),
        )


def term_table(chapters: list[Chapter]) -> str:
    """The weeks as a table in Markdown, for a page in docs/."""
    rows = ["| week | chapters | read | core | all | exercises of the core path | and the rest |", "|---" * 7 + "|"]
    weeks = list(term(chapters))
    for week in weeks:
        names = ", ".join(f"[{c.number} {c.title}](../notebooks/{c.file}.ipynb)" for c in week.chapters)
        if week.reading == 0:
            names += ", second part"
        times = (week.reading, week.reading + week.core_minutes, week.reading + week.minutes)
        core, others = (", ".join(f"`{id}`" for id in ids) for ids in (week.core, week.others))
        rows.append(f"| {week.number} | {names} | {' | '.join(map(hours, times))} | {core} | {others} |")
    totals = [sum(column) for column in zip(*((w.reading, w.core_minutes, w.minutes) for w in weeks))]
    times = (totals[0], totals[0] + totals[1], totals[0] + totals[2])
    return "\n".join([*rows, f"| | all | {' | '.join(map(hours, times))} | | |"])
