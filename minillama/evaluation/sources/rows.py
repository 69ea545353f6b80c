"""Rows of a text file, one after the other, each with its line: JSON lines, CSV, a list of labels, plain lines.

Memory holds one row and what the caller keeps. A row of more than `MAX_ROW` bytes, a file that unpacks to more than
`MAX_BYTES` and a split of more than `MAX_ROWS` documents are refused: no benchmark comes near.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ...files.disguise import FIRST_BYTES, what_it_is
from ...files.json_object import DECODER
from .errors import DocumentError

MAX_ROW = 16 << 20
MAX_BYTES = 1 << 30
MAX_ROWS = 1_000_000
MAX_LINES = 10_000_000  # blank ones too: a gigabyte of them takes ten minutes

Row = tuple[int, dict[str, Any]]  # with its line, from 1


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """A file's bytes, unpacked where its name ends in .gz; what goes wrong while it is read is a DocumentError."""
    try:
        with path.open("rb") as raw:
            packed = path.name.lower().endswith(".gz")
            _refuse_disguise(path, raw.read(FIRST_BYTES), packed)
            raw.seek(0)
            yield gzip.GzipFile(fileobj=raw) if packed else raw  # type: ignore[misc]
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DocumentError(f"is damaged: {error}; copy or download it again", path) from None
    except OSError as error:
        raise DocumentError(f"cannot be read: {error.strerror or error}", path) from None


def _refuse_disguise(path: Path, first_bytes: bytes, packed: bool) -> None:
    """Refuse an empty file, and what a failed download leaves: a pointer, a web page, an archive."""
    if packed and first_bytes.startswith(b"\x1f\x8b"):
        return
    if found := what_it_is(first_bytes):
        raise DocumentError(f"expected documents, found {found}", path)


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers, without what ends them."""
    total = 0
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_ROW + 1):
            number, total = number + 1, total + len(raw)
            if len(raw) > MAX_ROW:
                raise DocumentError(f"expected lines of at most {MAX_ROW} bytes, found a longer one", path, number)
            if total > MAX_BYTES:
                raise DocumentError(f"expected at most {MAX_BYTES} bytes, found more", path, number)
            if number > MAX_LINES:
                raise DocumentError(f"expected at most {MAX_LINES} lines, found more", path, number)
            if line := _decoded(raw, path, number).strip(" \t\r\n"):
                yield number, line


def _decoded(raw: bytes, path: Path, number: int) -> str:
    """A line as text; the first may begin with the byte order mark that some editors write."""
    if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DocumentError("begins with the byte order mark of UTF-16; save the file as UTF-8", path, number)
    try:
        return raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise DocumentError(problem, path, number) from None


def json_lines(path: Path) -> Iterator[Row]:
    """One JSON object a line; blank lines are left out."""
    for number, line in lines_of(path):
        yield number, as_object(parsed(line, path, number), path, number)


def parsed(text: str, path: Path, line: int) -> Any:
    """A JSON text that is a whole line."""
    try:
        return DECODER.decode(text)
    except RecursionError:
        raise DocumentError("expected JSON, found it nested too deeply", path, line) from None
    except json.JSONDecodeError as error:
        at = f"at character {error.pos + 1}" if error.pos < len(text) else "at its end: it was cut off"
        problem = f"expected JSON: {error.msg} {at}"
        raise DocumentError(problem, path, line) from None
    except ValueError as error:
        raise DocumentError(f"expected JSON: {error}", path, line) from None


def as_object(value: Any, path: Path, line: int) -> dict[str, Any]:
    """A row, which must be an object."""
    if not isinstance(value, dict):
        raise DocumentError(f"expected a JSON object with the fields of a document, found {shown(value)}", path, line)
    return value


def csv_rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file whose first row names the columns; all values are text."""
    rows = csv_cells(path)
    header_line, header = next(rows, (1, []))
    if len(set(header)) != len(header) or not all(header):
        raise DocumentError("expected a first row with a name for every column, each once", path, header_line)
    for line, cells in rows:
        if len(cells) != len(header):
            problem = f"expected {len(header)} columns ({', '.join(header)[:200]}), found {len(cells)}"
            raise DocumentError(problem, path, line)
        yield line, dict(zip(header, cells))


def csv_cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file as lists, each with the line where it begins; empty ones are left out."""
    reader = csv.reader(_csv_lines(path), strict=True)
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = f"expected CSV: {error}; a quote that is never closed reads on to the end"
            raise DocumentError(problem, path, line) from None
        if cells is None:
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _csv_lines(path: Path) -> Iterator[str]:
    """The lines of a text with what ends them: those inside quotes belong to a cell."""
    total = 0
    with opened(path) as file:
        number = 0
        while raw := file.readline(MAX_ROW + 1):
            number, total = number + 1, total + len(raw)
            if len(raw) > MAX_ROW or total > MAX_BYTES:
                raise DocumentError(f"expected lines of at most {MAX_ROW} bytes, found more", path, number)
            if number > MAX_LINES:
                raise DocumentError(f"expected at most {MAX_LINES} lines, found more", path, number)
            yield _decoded(raw, path, number)


def label_lines(path: Path) -> list[str]:
    """A file with one label a line, as PIQA and WinoGrande keep theirs beside the questions."""
    return [line for _, line in lines_of(path)]


def text_lines(path: Path) -> Iterator[str]:
    """All lines of a text as `text.split("\\n")` gives them, whatever ends them in the file."""
    total, last, number = 0, "\n", 0
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig") as text:
        try:
            for number, line in enumerate(text, 1):
                total, last = total + len(line), line
                if total > MAX_BYTES or len(line) > MAX_ROW:
                    raise DocumentError(f"expected lines of at most {MAX_ROW} characters, found more", path, number)
                yield line.removesuffix("\n")
        except UnicodeDecodeError as error:
            problem = f"byte 0x{error.object[error.start]:02x} is not UTF-8; save the file as UTF-8"
            raise DocumentError(problem, path, number + 1) from None
    if last.endswith("\n"):
        yield ""


def shown(value: Any, length: int = 60) -> str:
    """A value for an error message: what kind it is, and itself where that is short."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return f"an object of {len(value)} fields"
    names = {str: "the text", bool: "the boolean", int: "the number", float: "the number"}
    if type(value) not in names:
        return f"a value of type {type(value).__name__}"
    text = json.dumps(value[: length + 1] if isinstance(value, str) else value)
    return f"{names[type(value)]} {text if len(text) <= length else text[:length] + '…'}"
