"""The record of a run: a row for every step, as JSON lines and as CSV.

A process that dies may leave rows after its last checkpoint, or half a row. `MetricsLog` cuts both files
back to the step that a run resumes from, so that no step is there twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from ..files.atomic import atomic_write
from ..files.errors import CheckpointError

JSONL, CSV = "metrics.jsonl", "metrics.csv"


class MetricsLog:
    """metrics.jsonl and metrics.csv of a run, open for further rows.

    Parameters
    ----------
    folder : Path
    step : int
        Rows of later steps are removed.
    columns : sequence of str
        Of metrics.csv; the first is "step".
    """

    def __init__(self, folder: Path, step: int, columns: Sequence[str]) -> None:
        self._columns = columns
        cut_json_lines(folder / JSONL, step)
        cut_lines(folder / CSV, lambda line: _csv_step(line) <= step)
        if not (folder / CSV).exists() or (folder / CSV).stat().st_size == 0:
            with FileIO(folder / CSV, "ab") as file:
                _write(file, ",".join(columns) + "\n")
        self._jsonl = FileIO(folder / JSONL, "ab")
        self._csv = FileIO(folder / CSV, "ab")

    def add(self, row: dict[str, Any]) -> None:
        """Write a row; readable by others at once."""
        _write(self._jsonl, json.dumps(row, allow_nan=False) + "\n")
        _write(self._csv, ",".join(_cell(row.get(name)) for name in self._columns) + "\n")

    def sync(self) -> None:
        """Force the rows to disk: done before a checkpoint becomes valid that relies on them."""
        for file in (self._jsonl, self._csv):
            os.fsync(file.fileno())

    def close(self) -> None:
        self._jsonl.close()
        self._csv.close()


def _write(file: FileIO, text: str) -> None:
    """Write at once: nothing waits in a buffer that an error or a kill could lose."""
    rest = memoryview(text.encode())
    while rest:
        rest = rest[file.write(rest) :]


def _cell(value: Any) -> str:
    return "" if value is None else repr(value)


def _csv_step(line: bytes) -> int:
    first = line.split(b",", 1)[0]
    return 0 if first == b"step" else int(first)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl.

    Raises
    ------
    CheckpointError
        When it is missing, or a row is not JSON.
    """
    path = folder / JSONL
    rows = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    rows.append(dict(json.loads(line)))
                except (ValueError, TypeError) as error:
                    raise CheckpointError(path, f"line {number}", f"expected a row as JSON: {error}") from error
    except OSError as error:
        raise CheckpointError(path, "file", f"cannot be read: {error.strerror}") from error
    return rows


def cut_json_lines(path: Path, step: int) -> None:
    """Keep the rows of a file of JSON lines up to a step."""
    cut_lines(path, lambda line: int(json.loads(line)["step"]) <= step)


def cut_lines(path: Path, keep: Callable[[bytes], bool]) -> None:
    """Keep the whole lines at the beginning of a file for as long as they are to be kept."""
    if not path.exists():
        return
    length = 0
    with path.open("rb") as file:
        for line in file:
            try:
                if not line.endswith(b"\n") or not keep(line):
                    break
            except (ValueError, KeyError, TypeError):  # no row: the end of what can be relied on
                break
            length += len(line)
        if length == os.fstat(file.fileno()).st_size:
            return
    os.truncate(path, length)


def replace_text(path: Path, text: str) -> None:
    """Replace a small file as a whole, or not at all."""
    with atomic_write(path) as file:
        file.write(text.encode())
