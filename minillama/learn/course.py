"""The way through the book: what comes before what, how long it takes, and what the core path is.

A chapter's package says what it NEEDS and which of its EXERCISES are CORE. Reading times are counted from the chapter's
text, without what is folded: prose at 180 words a minute, 4 seconds for a line of code, 20 for a formula on a line of
its own, 30 for a picture. An exercise says its minutes itself.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from .chapters.catalogue import catalogue, chapter_packages
from .chapters.texts import file_name

_WORDS_A_MINUTE, _CODE_LINE, _FORMULA, _PICTURE = 180, 4 / 60, 20 / 60, 30 / 60
_FOLDED = ("hide-input", "solution")
_CELL = re.compile(r"^# %%.*$", re.MULTILINE)


@dataclass(frozen=True)
class Chapter:
    """A chapter on the map; times in minutes.

    Attributes
    ----------
    number, title, file : str
        "06", "Causal attention", "06_attention".
    needs : tuple of str
        Numbers of the chapters that come before it.
    reading, exercises, core : int
        Time to read and run it, of all its exercises, and of those on the core path.
    """

    number: str
    title: str
    file: str
    needs: tuple[str, ...]
    reading: int
    exercises: int
    core: int


def course(notebooks: Path) -> list[Chapter]:
    """All chapters, in their order; `notebooks` is the folder of their sources."""
    return [_chapter(package, notebooks) for package in chapter_packages()]


def _chapter(package: ModuleType, notebooks: Path) -> Chapter:
    file = file_name(package).removesuffix(".py")
    source = (notebooks / f"{file}.py").read_text(encoding="utf-8")
    title = re.search(r"^# # \d\d · (.+)$", source, re.MULTILINE)
    if title is None:
        raise ValueError(f"notebooks/{file}.py has no title: it begins with a cell '# {file[:2]} · title'")
    minutes = {id: catalogue()[id].minutes for id in package.EXERCISES}
    return Chapter(
        number=file[:2],
        title=title[1],
        file=file,
        needs=package.NEEDS,
        reading=reading_minutes(source),
        exercises=sum(minutes.values()),
        core=sum(minutes[id] for id in package.CORE),
    )


def reading_minutes(source: str) -> int:
    """Minutes to read a chapter, from its source in jupytext's percent format, in steps of five."""
    minutes = 0.0
    for head, body in cells(source):
        if "[markdown]" in head:
            text = re.sub(r"(?m)^# ?", "", body)
            text = re.sub(r"(?s)<!--.*?-->|<details>.*?</details>|^>.*?$|^\|.*?$", " ", text, flags=re.MULTILINE)
            minutes += _FORMULA * text.count("$$") / 2
            minutes += len(re.findall(r"\w+", re.sub(r"\$\$.*?\$\$", " ", text, flags=re.DOTALL))) / _WORDS_A_MINUTE
            continue
        minutes += _PICTURE * len(re.findall(r"\bshow\(|plt\.show\(", body))
        if not any(tag in head for tag in _FOLDED):
            minutes += _CODE_LINE * sum(bool(line.strip()) for line in body.splitlines())
    return 5 * max(1, round(minutes / 5))


def cells(source: str) -> Iterator[tuple[str, str]]:
    """First line and text of every cell of a source."""
    heads = list(_CELL.finditer(source))
    for head, following in zip(heads, [*heads[1:], None]):
        yield head[0], source[head.end() : following.start() if following else len(source)]


def header(chapter: Chapter, chapters: list[Chapter]) -> list[str]:
    """The lines below a chapter's title: what comes before it, and its time."""
    files = {other.number: other.file for other in chapters}
    before = ", ".join(f"[{number}]({files[number]}.ipynb)" for number in chapter.needs) or "nothing"
    times = f"{chapter.reading} minutes to read and run, {chapter.exercises} for all exercises"
    core = f"on the [core path](README.md) {chapter.reading + chapter.core} together"
    return [f"> **Before this:** {before}.", f"> **Time:** {times}; {core}."]


def overview(chapters: list[Chapter]) -> str:
    """The chapters as a table in Markdown, with hours."""
    rows = ["| | chapter | after | read | exercises | core path |", "|---|---|---|---|---|---|"]
    for c in chapters:
        after, times = ", ".join(c.needs), (c.reading, c.exercises, c.reading + c.core)
        rows.append(f"| {c.number} | [{c.title}]({c.file}.ipynb) | {after} | {' | '.join(map(hours, times))} |")
    totals = [sum(column) for column in zip(*((c.reading, c.exercises, c.reading + c.core) for c in chapters))]
    return "\n".join([*rows, f"| | all | | {' | '.join(map(hours, totals))} |"])


def hours(minutes: int) -> str:
    """Minutes for a table: "1.5 h"."""
    return f"{minutes / 60:.1f} h"


# --- the map as a picture -------------------------------------------------------------------

_WIDTH, _HEIGHT, _ACROSS, _DOWN, _MARGIN = 230, 46, 256, 76, 16
_INK, _PAPER, _LINE, _BOX = "#22252a", "#fcfcf9", "#718096", "#ffffff"


def draw_map(chapters: list[Chapter]) -> str:
    """The map as SVG: a box for each chapter, an arrow from what it needs, hours in the box."""
    places = _places(chapters)
    columns, rows = (1 + max(place[i] for place in places.values()) for i in (0, 1))
    width, height = 2 * _MARGIN + _ACROSS * (columns - 1) + _WIDTH, 2 * _MARGIN + _DOWN * (rows - 1) + _HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" role="img">',
        "<title>The map of the book: an arrow leads from a chapter to those that build on it</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{_LINE}"/></marker></defs>',
        f'<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>',
    ]
    parts += [_arrow(places[number], places[chapter.number]) for chapter in chapters for number in chapter.needs]
    for chapter in chapters:
        x, y = _corner(places[chapter.number])
        times = hours(chapter.reading + chapter.core), hours(chapter.reading + chapter.exercises)
        words = html.escape(f"{chapter.number} {chapter.title}")
        parts += [
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{_BOX}" stroke="{_INK}"/>',
            f'<text x="{x + 9}" y="{y + 19}" font-size="12" font-weight="bold" fill="{_INK}">{words}</text>',
            f'<text x="{x + 9}" y="{y + 36}" font-size="11" fill="{_INK}">{times[0]} on the core path, '
            f"{times[1]} in all</text>",
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(chapters: list[Chapter]) -> dict[str, tuple[int, int]]:
    """Column and row of every chapter: a row below all that it needs, the next free column of it."""
    places: dict[str, tuple[int, int]] = {}
    for chapter in chapters:
        row = 1 + max((places[number][1] for number in chapter.needs), default=-1)
        column = max((places[number][0] for number in chapter.needs[:1]), default=0)
        while (column, row) in places.values():
            column += 1
        places[chapter.number] = column, row
    return places


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return _MARGIN + _ACROSS * place[0], _MARGIN + _DOWN * place[1]


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    x1, x2, y1 = x1 + _WIDTH // 2, x2 + _WIDTH // 2, y1 + _HEIGHT
    bend = max(16, (y2 - y1) // 2)
    path = f"M{x1} {y1}C{x1} {y1 + bend} {x2} {y2 - bend} {x2} {y2 - 2}"
    return f'<path d="{path}" fill="none" stroke="{_LINE}" stroke-width="1.5" marker-end="url(#tip)"/>'
