"""The result of a check, and how it is shown: one screen, the cause first."""

from __future__ import annotations

import html
import textwrap
from dataclasses import asdict, dataclass, field
from typing import Any

from .heat_map import BLOCKS

WIDTH, HEIGHT = 78, 21  # of a terminal of 80 x 24, with room for the prompt or the keys of `watch`

PASSED, WRONG, ERROR, NOT_STARTED, TIMEOUT, MEMORY = "passed", "wrong", "error", "not started", "timeout", "memory"


@dataclass
class Report:
    """What a check found. Everything in it is text or numbers, so that it can go to another process.

    Attributes
    ----------
    exercise, chapter : str
    status : "passed", "wrong", "error", "not started", "timeout" or "memory"
    seconds : float
    n_shapes : int
        Shapes that were tried.
    headline : list of str
        The cause: the known mistake and what to reconsider, or what the geometry says.
    facts : list of (label, text)
        The numbers that prove it.
    heat, heat_label : where it is wrong, as lines of blocks
    case : str
        The smallest failing case, as `--case` takes it.
    next_step : str
    remarks : list of str
        On a pass, what is right but unusual.
    mistake : str
        The name of the known mistake, if one fits.
    described : bool
        Whether the headline says anything of the function but that it is wrong.
    """

    exercise: str
    chapter: str
    status: str
    seconds: float = 0.0
    n_shapes: int = 0
    headline: list[str] = field(default_factory=list)
    facts: list[tuple[str, str]] = field(default_factory=list)
    heat: list[str] = field(default_factory=list)
    heat_label: str = ""
    case: str = ""
    next_step: str = ""
    remarks: list[str] = field(default_factory=list)
    mistake: str = ""
    described: bool = True

    @property
    def passed(self) -> bool:
        return self.status == PASSED

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Report:
        return cls(**{**values, "facts": [tuple(pair) for pair in values["facts"]]})

    def text(self) -> str:
        """The report as plain text of at most WIDTH columns."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        verdict = {PASSED: "passed", WRONG: "not yet", NOT_STARTED: "not started yet"}.get(self.status, self.status)
        left, right = f" {self.chapter} · {self.exercise}", f"{verdict}  ({self.seconds:.1f} s)"
        lines = [left + right.rjust(WIDTH - len(left)), ""]
        for paragraph in self.headline:
            lines += [*wrapped(paragraph, "   "), ""]
        lines += fact_lines(self.facts)
        if self.heat and len(lines) + len(self.heat) + len(wrapped(self.next_step, "")) + 2 <= HEIGHT:
            lines += [f"   {'where' if i == 0 else '':<17}▕{row}▏" for i, row in enumerate(self.heat)]
            lines.append(f"   {'':<17} {self.heat_label}")
        for remark in self.remarks:
            lines += wrapped(remark, "   ")
        if self.next_step:
            lines += ["", *wrapped(self.next_step, "   ")]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def _repr_html_(self) -> str:
        """The report in a notebook."""
        colour = {PASSED: "#2e9e5b", NOT_STARTED: "#8a8a8a"}.get(self.status, "#d1603d")
        rows = "".join(
            f"<tr><td style='text-align:left;padding:1px 14px 1px 0;opacity:.7'>{html.escape(a)}</td>"
            f"<td style='text-align:left;font-family:monospace;white-space:pre-wrap'>{html.escape(b)}</td></tr>"
            for a, b in self.facts
        )
        heat = _picture(self.heat, self.heat_label) if self.heat else ""
        verdict = {PASSED: "passed", WRONG: "not yet"}.get(self.status, self.status)
        body = "".join(f"<p style='margin:4px 0'>{html.escape(p)}</p>" for p in [*self.headline, *self.remarks])
        step = f"<p style='margin:6px 0'><em>{html.escape(self.next_step)}</em></p>" if self.next_step else ""
        return (
            f"<div style='border-left:4px solid {colour};padding:4px 12px'>"
            f"<b>{html.escape(self.exercise)}</b> &nbsp;<span style='color:{colour}'>{verdict}</span>"
            f"{body}<table style='border:none'>{rows}</table>{heat}{step}</div>"
        )


def _picture(heat: list[str], label: str) -> str:
    """The heat map as coloured cells: grey where all is right, darker red where more is wrong."""
    cell = "<span style='display:inline-block;width:9px;height:14px;background:{}'></span>"
    colours = dict(zip(BLOCKS, ("#9993", "#f3c4b4", "#e89a7f", "#d9694a", "#b03a20")))
    rows = "".join(f"<div style='line-height:0'>{''.join(cell.format(colours[c]) for c in row)}</div>" for row in heat)
    return (
        f"<div style='margin:6px 0'>{rows}<span style='opacity:.7'>where it is wrong: {html.escape(label)}</span></div>"
    )


def wrapped(text: str, indent: str) -> list[str]:
    """A paragraph as indented lines of at most WIDTH columns; a text with line breaks is code and keeps them."""
    if "\n" in text:  # code keeps its lines
        return [indent + line[: WIDTH - len(indent)] for line in text.split("\n")]
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def fact_lines(facts: list[tuple[str, str]]) -> list[str]:
    """Facts as lines: label, text, the rest of the text below itself."""
    lines = []
    for label, text in facts:
        parts = [piece for line in text.split("\n") for piece in textwrap.wrap(line, WIDTH - 21) or [""]]
        lines += [f"   {label if i == 0 else '':<17}{part}" for i, part in enumerate(parts)]
    return lines
