"""Documents in files: .txt with a separator line between them, .jsonl and .jsonl.gz with a text in each line.

Files are read as a stream: memory holds one document, and none larger than `max_bytes`. What cannot
be read is a `Problem` with its line, and the next document follows.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
SEPARATOR = "<|endoftext|>"
_PIECE = 1 << 20
_MARK = b"\xef\xbb\xbf"  # that some editors write at the beginning of a file


class Document(NamedTuple):
    """One text, with the other fields of its JSON line."""

    text: str
    fields: dict[str, Any]


class Problem(NamedTuple):
    """A place in a file that is not a document."""

    kind: str
    """"bad UTF-8", "bad JSON", "no text", "too large" or "damaged file"."""
    message: str


class Read(NamedTuple):
    """What was read, and where to continue."""

    item: Document | Problem
    n_bytes: int
    """In the (uncompressed) file."""
    offset: int
    """Where the next document begins in the uncompressed file."""
    line: int
    """The line of that, from 1."""
    done: int
    """Bytes of the file as it is on disk that are read."""


@dataclass(frozen=True)
class TextLayout:
    """How documents lie in files."""

    separator: str | None = SEPARATOR
    """The line between two documents of a .txt file; None makes each file one document."""
    field: str = "text"
    """The key of the text in a line of JSON."""
    max_bytes: int = 32 << 20
    """A larger document is a `Problem`; so is a whole file whose separator is another."""


def text_files(inputs: Sequence[Path]) -> list[Path]:
    """The files of texts among files and folders (in the order of their names, hidden ones left out).

    Raises
    ------
    ValueError
        Where an input does not exist, has another ending, or a folder holds no texts.
    """
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(file for file in _files_below(path) if _is_text(file))
            if not inside:
                raise ValueError(f"{path} holds no file that ends in {', '.join(SUFFIXES)}")
            found += inside
        elif not path.exists():
            raise ValueError(f"{path} does not exist: expected a file or folder of texts")
        elif not _is_text(path):
            raise ValueError(f"{path} is not a file of texts: expected a name that ends in {', '.join(SUFFIXES)}")
        else:
            found.append(path)
    return found


def _files_below(folder: Path) -> Iterator[Path]:
    """Files at any depth, hidden ones left out. Links to folders are followed, each folder once: one may point up."""

    def fail(error: OSError) -> None:
        raise error

    seen = {_identity(folder)}
    for where, folders, names in os.walk(folder, onerror=fail, followlinks=True):
        yield from (path for name in names if not name.startswith(".") and (path := Path(where, name)).is_file())
        visible = [name for name in folders if not name.startswith(".")]
        folders.clear()
        for name in sorted(visible, key=lambda name: (Path(where, name).is_symlink(), name)):
            identity = _identity(Path(where, name))
            if identity not in seen:
                seen.add(identity)
                folders.append(name)


def _identity(folder: Path) -> tuple[int, int]:
    """The same for a folder and for every link to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(SUFFIXES)


def read_documents(path: Path, layout: TextLayout | None = None, *, offset: int = 0, line: int = 1) -> Iterator[Read]:
    """The documents of a file and its problems, in order.

    Parameters
    ----------
    offset, line : int
        Where to begin: those of an earlier `Read`.
    """
    layout = layout or TextLayout()
    with path.open("rb") as raw:
        handle: IO[bytes] = raw
        if path.name.lower().endswith(".gz"):
            handle = gzip.open(raw)  # type: ignore[assignment]  # noqa: SIM115 - `raw` is closed
        reader = _json_lines if ".jsonl" in Path(path.name.lower()).suffixes else _parted
        try:
            handle.seek(offset)
            for item, n_bytes, after in reader(handle, layout, line, offset == 0):
                offset, line = offset + n_bytes, after
                yield Read(item, n_bytes, offset, line, raw.tell())
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            problem = Problem("damaged file", f"{path} after line {line}: {error}; the rest of the file is not read")
            yield Read(problem, 0, offset, line, raw.tell())


def read_texts(paths: Iterable[Path], layout: TextLayout | None = None) -> Iterator[str]:
    """Only the texts of files; raises ValueError at the first problem."""
    for path in paths:
        for read in read_documents(path, layout):
            if isinstance(read.item, Problem):
                raise ValueError(f"{path}: {read.item.message}")
            yield read.item.text


Found = tuple[Document | Problem, int, int]


def _parted(handle: IO[bytes], layout: TextLayout, line: int, at_start: bool) -> Iterator[Found]:
    """Documents between separator lines, each with its bytes (separator included) and the next line."""
    separator = None if layout.separator is None else layout.separator.encode()
    pieces: list[bytes] = []
    size, first_line, new_line = 0, line, True
    while True:
        piece = handle.readline(_PIECE)
        if at_start:
            piece, mark, at_start = piece.removeprefix(_MARK), len(_MARK) * piece.startswith(_MARK), False
            size += mark
        is_separator = new_line and separator is not None and piece.strip() == separator
        size += len(piece)
        if piece and not is_separator and size <= layout.max_bytes:
            pieces.append(piece)
        new_line = piece.endswith(b"\n")
        line += new_line
        if is_separator or not piece:
            if size > layout.max_bytes:
                found: Document | Problem | None = _too_large(size, first_line, layout)
            else:
                found = _decoded(b"".join(pieces), first_line)
            if found is not None:
                yield found, size, line
                size = 0
            pieces, first_line = [], line
            if not piece:
                return


def _decoded(data: bytes, line: int) -> Document | Problem | None:
    """The text between two separators; None where there is nothing."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        place = line + data.count(b"\n", 0, error.start)
        return Problem("bad UTF-8", f"line {place}: byte 0x{data[error.start]:02x} is not UTF-8")
    text = text.replace("\r\n", "\n").strip("\n")
    return Document(text, {}) if text and not text.isspace() else None


def _too_large(size: int, line: int, layout: TextLayout) -> Problem:
    advice = f"; is {layout.separator!r} the line between documents?" if layout.separator else ""
    limit = layout.max_bytes / 1e6
    return Problem("too large", f"line {line}: a document of {size / 1e6:.1f} MB, more than {limit:.1f} MB{advice}")


def _json_lines(handle: IO[bytes], layout: TextLayout, line: int, at_start: bool) -> Iterator[Found]:
    """The texts of lines of JSON."""
    size, first_line = 0, line
    while data := handle.readline(layout.max_bytes + 1):
        size += len(data)
        n_bytes = len(data)
        while n_bytes > layout.max_bytes and not data.endswith(b"\n"):
            data = handle.readline(_PIECE)
            if not data:
                break
            size, n_bytes = size + len(data), n_bytes + len(data)
        line += 1
        if n_bytes > layout.max_bytes:
            limit = layout.max_bytes / 1e6
            found: Document | Problem = Problem(
                "too large", f"line {line - 1}: {n_bytes / 1e6:.1f} MB, more than {limit:.1f} MB"
            )
        elif not data.strip():
            continue
        else:
            found = _parsed(data.removeprefix(_MARK) if at_start and first_line == 1 else data, line - 1, layout)
        yield found, size, line
        size, first_line = 0, line


def _parsed(data: bytes, line: int, layout: TextLayout) -> Document | Problem:
    try:
        fields = json.loads(data.decode())
    except UnicodeDecodeError as error:
        return Problem("bad UTF-8", f"line {line}: byte 0x{data[error.start]:02x} is not UTF-8")
    except (ValueError, RecursionError) as error:
        return Problem("bad JSON", f"line {line}: {str(error)[:100]}")
    text = fields.pop(layout.field, None) if isinstance(fields, dict) else None
    if not isinstance(text, str):
        return Problem("no text", f'line {line}: expected an object with the text under "{layout.field}"')
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            return Problem("bad UTF-8", f"line {line}: half a surrogate pair, \\u{ord(text[error.start]):04x}")
    return Document(text, fields)


def encode_documents(documents: Iterable[Document], ending: str, layout: TextLayout, level: int = 6) -> bytes:
    """The bytes of documents in a file of this ending; files are put together by joining such bytes.

    Parameters
    ----------
    ending : str
        One of `SUFFIXES`. In .txt other fields are lost, and lines of a text that are the separator.
    level : int
        Of the compression.
    """
    if ".jsonl" in ending:
        lines = [json.dumps({**fields, layout.field: text}, ensure_ascii=False) + "\n" for text, fields in documents]
    else:
        separator = layout.separator or SEPARATOR
        lines = [f"{_without_line(text, separator)}\n{separator}\n" for text, _ in documents]
    data = "".join(lines).encode()
    return gzip.compress(data, level, mtime=0) if ending.endswith(".gz") and data else data


def _without_line(text: str, separator: str) -> str:
    if separator not in text:
        return text
    return "\n".join(line for line in text.split("\n") if line.strip() != separator)
