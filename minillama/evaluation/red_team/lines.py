"""Files of prompts, line by line; what is wrong with one is said with its file and line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .prompts import LABELS, Label

MOST_BYTES = 256 << 20  # of one file: benchmarks have a few MB


class SuiteError(ValueError):
    """A file of prompts cannot be used.

    Parameters
    ----------
    path : Path
    line : int
        From 1.
    problem : str
        What was expected and what was found.
    """

    def __init__(self, path: Path, line: int, problem: str) -> None:
        self.path, self.line = path, line
        super().__init__(f"{path}, line {line}: {problem}")


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a JSONL file with the numbers of their lines; blank lines are left out."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SuiteError(path, 1, f"expected at most {MOST_BYTES >> 20} MB, found {path.stat().st_size >> 20}")
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, _object(line, path, number)
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(path, 1, f"cannot be read as UTF-8 text: {error}") from error


def _object(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SuiteError(path, number, f"expected JSON, {error}") from error
    if not isinstance(row, dict):
        raise SuiteError(path, number, f"expected an object, found {type(row).__name__}")
    return row


def checked_label(label: Any, path: Path, number: int) -> Label:
    """One of the two labels."""
    for known in LABELS:
        if label == known:
            return known
    raise SuiteError(path, number, f'expected "label" to be "safe" or "unsafe", found {label!r:.60}')
