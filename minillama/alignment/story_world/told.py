"""Short stories that are bundled, for requests that come after one: what the base model wrote, the hero's name open.

A line of words/told.txt: she or he, what the hero is said to be or "-", and the text with @ for the name.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def told_stories() -> tuple[tuple[str, str | None, str], ...]:
    """(gender, sort, text) of each."""
    text = (Path(__file__).parent / "words" / "told.txt").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]
    return tuple((gender, None if sort == "-" else sort, story) for gender, sort, story in rows)
