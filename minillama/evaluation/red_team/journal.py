"""Rows that a red team keeps one by one (files/journal.py), checked when they are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files.journal import Journal, whole_lines


def append(path: Path, row: Mapping[str, Any]) -> None:
    """Add a line, and wait until it is on the disk."""
    with Journal(path) as journal:
        journal.append(row)


def read(path: Path, fields: Mapping[str, type | tuple[type, ...]]) -> list[dict[str, Any]]:
    """The rows of a journal; none where there is no file. A last line that a kill tore is passed over.

    Parameters
    ----------
    path : Path
    fields : mapping of str to type
        What every row must have.

    Raises
    ------
    ValueError
        A line is no such row; names file and line.
    """
    try:
        lines = whole_lines(path).split(b"\n")[:-1]
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    return [_row(line, fields, path, number) for number, line in enumerate(lines, 1)]


def _row(line: bytes, fields: Mapping[str, Any], path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {number}: expected JSON, found {line[:40]!r} ({error})") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in fields.items()):
        raise ValueError(f"{path}, line {number}: expected an object with {', '.join(fields)}, found {line[:60]!r}")
    return row
