"""A file that grows by a JSON object a line; what `append` returned from is on the disk, whatever happens next."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a line, and wait until it is on the disk."""
    with path.open("ab") as file:
        file.write(json.dumps(row, ensure_ascii=True).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, fields: Mapping[str, type | tuple[type, ...]]) -> list[dict[str, Any]]:
    """The rows of a journal; none where there is no file.

    A last line that a kill tore is cut off the file, so that the next one begins on a line of its own.

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
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from error
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [_row(line, fields, path, number) for number, line in enumerate(whole.split(b"\n")[:-1], 1)]


def _row(line: bytes, fields: Mapping[str, Any], path: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {number}: expected JSON, found {line[:40]!r} ({error})") from error
    if not isinstance(row, dict) or not all(isinstance(row.get(name), kind) for name, kind in fields.items()):
        raise ValueError(f"{path}, line {number}: expected an object with {', '.join(fields)}, found {line[:60]!r}")
    return row
