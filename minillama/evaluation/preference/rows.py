"""Rows of people's files: JSON objects, one a line or in one list, also packed with gzip; with the line they stand in.

What is not such a file is one sentence that names the file and the line. Fields are asked for by type, so that a row
with a number where a text belongs is found when it is read, not when somebody is judging.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ...files.disguise import FIRST_BYTES, what_it_is
from ...files.text import decode_text

_GZIP = b"\x1f\x8b"  # how such files begin
MAX_BYTES = 1 << 28  # of a file, unpacked: a small gzip file can hold more than the memory


@dataclass(frozen=True)
class Row:
    """A JSON object of a file.

    Attributes
    ----------
    values : mapping
    place : str
        "prompts.jsonl, line 3", for messages.
    """

    values: Mapping[str, Any]
    place: str

    def fail(self, problem: str) -> NoReturn:
        """Raise a ValueError about this row."""
        raise ValueError(f"{self.place}: {problem}")

    def text(self, *keys: str) -> str:
        """The text under the one of `keys` that is there.

        Raises
        ------
        ValueError
            When none or several are, or it is no text.
        """
        found = [key for key in keys if key in self.values]
        if len(found) != 1:
            self.fail(f"expected one of the keys {', '.join(map(repr, keys))}, found {self.keys()}")
        value = self.values[found[0]]
        if not isinstance(value, str):
            self.fail(f"{found[0]!r} should be a text, found {json.dumps(value, ensure_ascii=False)[:60]}")
        return value

    def keys(self) -> str:
        """The keys that are there, for messages."""
        return ", ".join(repr(str(key)[:40]) for key in list(self.values)[:8]) or "none"


def read_rows(path: str | Path) -> list[Row]:
    """All rows of a .jsonl or .json file, also .gz; empty lines are passed over.

    Raises
    ------
    ValueError
        With file and line, when something is no JSON object; when there is no row at all. OSError when the file
        cannot be read.
    """
    path = Path(path)
    text = _text_of(path)
    rows = _listed(text, path) if text.lstrip().startswith("[") else rows_of_lines(text, path)
    if not rows:
        raise ValueError(f"{path} has no rows: expected JSON objects, one a line")
    return rows


def _text_of(path: Path) -> str:
    if path.suffix == ".gz":
        _refuse_unpacked(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path} is a damaged gzip file: {error}") from None
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{path} holds more than {MAX_BYTES >> 20} MB: take a part of it")
    try:
        return decode_text(raw)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as text: {error}") from None


def _refuse_unpacked(path: Path) -> None:
    """Some programs unpack what they download and keep its name."""
    with path.open("rb") as file:
        begins = file.read(FIRST_BYTES)
    if not begins or begins.startswith(_GZIP):
        return
    if found := what_it_is(begins):
        raise ValueError(f"{path}: expected a gzip file, found {found}")
    raise ValueError(f"{path} is not packed with gzip, although its name says so: name it {path.stem}, without .gz")


def rows_of_lines(text: str, path: Path) -> list[Row]:
    """The rows of a text that has one a line; there may be none."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            place = f"{path}, line {number}"
            rows.append(_row(_parsed(line, place), place))
    return rows


def _listed(text: str, path: Path) -> list[Row]:
    found = _parsed(text, str(path))
    return [_row(value, f"{path}, row {number}") for number, value in enumerate(found, 1)]


def _parsed(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{place}: expected JSON: {error.msg} at character {error.pos}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets within brackets
        raise ValueError(f"{place}: expected JSON, found some that is nested too deeply or too long") from None


def _row(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        raise ValueError(f'{place}: expected a JSON object such as {{"prompt": "…"}}, found {json.dumps(value)[:60]}')
    return Row(value, place)
