"""Docstrings are written to be read in a terminal; here their formulas and examples become blocks of their own."""

from __future__ import annotations

import re
from typing import Any


def setup(app: Any) -> dict[str, bool]:
    """Change docstrings before napoleon reads their sections."""
    app.connect("autodoc-process-docstring", _process, priority=400)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _process(app: Any, what: str, name: str, object_: Any, options: Any, lines: list[str]) -> None:
    lines[:] = with_literal_blocks(lines)


def _skip(app: Any, what: str, name: str, object_: Any, skip: bool, options: Any) -> bool | None:
    """A field of a named tuple that only says so stands in its class's docstring."""
    return True if str(getattr(object_, "__doc__", "")).startswith("Alias for field number") else None


def with_literal_blocks(lines: list[str]) -> list[str]:
    """Mark what is indented after an empty line as it stands, up to the first section with a line under its title."""
    found: list[str] = []
    inside = False
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and re.fullmatch(r"-{3,}", lines[i + 1]):
            return [*found, *lines[i:]]
        is_indented = line.startswith(" ")
        if is_indented and not inside and (i == 0 or not lines[i - 1].strip()):
            found += ["::", ""]
            inside = True
        elif line.strip() and not is_indented:
            inside = False
        found.append(line if inside else line.replace("|", r"\|").replace("*", r"\*"))
    return found
