"""The rows of a JSON file that is one array, or an object with one, read as a stream.

TriviaQA's files are arrays of a hundred megabytes, which would take ten times as much memory when parsed as a whole.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...files.json_object import DECODER
from .errors import DocumentError
from .rows import MAX_BYTES, MAX_ROW, Row, as_object, opened, shown

_PIECE = 1 << 16
_SPACE = " \t\r\n"


def array_rows(path: Path, key: str | None = None) -> Iterator[Row]:
    """The objects of the file's array, each with the line where it begins.

    Parameters
    ----------
    path : Path
    key : str, optional
        The array's key where the file is an object, as TriviaQA's "Data".
    """
    with opened(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as decoded:
        text = _Stream(decoded, path)
        is_inside = text.peek() == "{" and key is not None
        if is_inside:
            _go_to(text, str(key))
        if text.peek() != "[":
            inside = f', or an object with one under "{key}"' if key is not None else ""
            raise text.error(f"expected a JSON array of documents{inside}")
        yield from _elements(text)
        if not is_inside and text.peek():  # a second array, whose documents would be left out
            raise text.error(f"expected the end of the file after the array, found {text.peek()!r}")


def _go_to(text: _Stream, key: str) -> None:
    """Read on to the value of `key` in the object that begins here."""
    text.take("{")
    while text.peek() != "}":
        found = text.value()
        text.take(":")
        if found == key:
            return
        text.value()
        if text.peek() != "}":
            text.take(",")
    raise text.error(f'expected the key "{key}"')


def _elements(text: _Stream) -> Iterator[Row]:
    text.take("[")
    while text.peek() != "]":
        line = text.here()
        yield line, as_object(text.value(), text.path, line)
        if text.peek() != "]":
            text.take(",")
    text.take("]")


class _Stream:
    """A JSON text of which only the piece around the present value is in memory."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self.path, self.line, self._file = path, 1, file
        self._text, self._at, self._total, self._ended = "", 0, 0, False

    def here(self) -> int:
        """The line of the next character that is no space."""
        self.peek()
        return self.line

    def error(self, problem: str) -> DocumentError:
        return DocumentError(problem, self.path, self.line)

    def peek(self) -> str:
        """The next character that is no space; "" at the end of the file."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in _SPACE:
                    return character
                self.line += character == "\n"
                self._at += 1
            if self._ended:
                return ""
            self._read_on(_PIECE)

    def take(self, character: str) -> None:
        if (found := self.peek()) != character:
            raise self.error(f"expected JSON with {character!r} here, found {repr(found) if found else 'the end'}")
        self._at += 1

    def value(self) -> Any:
        """The value that begins here."""
        if not self.peek():
            raise self.error("expected a JSON value, found the end of the file")
        size = _PIECE
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                raise self.error("expected JSON, found it nested too deeply") from None
            except json.JSONDecodeError as error:
                # Perhaps only because the rest of it has not been read.
                if self._ended or len(self._text) - self._at > MAX_ROW:
                    raise self._error_at(error) from None
            except ValueError as error:
                raise self.error(f"expected JSON: {error}") from None
            else:
                if end < len(self._text) or self._ended:
                    self.line += self._text.count("\n", self._at, end)
                    self._at = end
                    return value
            self._read_on(size)
            size *= 2

    def _error_at(self, error: json.JSONDecodeError) -> DocumentError:
        if not self._ended:
            return self.error(
                f"expected documents of at most {MAX_ROW} characters, found JSON that is longer or broken"
            )
        line = self.line + self._text.count("\n", self._at, error.pos)
        if error.pos >= len(self._text.rstrip(_SPACE)):
            return DocumentError("expected JSON, found the end of the file: it was cut off", self.path, line)
        found = shown(self._text[error.pos : error.pos + 20])
        return DocumentError(f"expected JSON: {error.msg}, found {found}", self.path, line)

    def _read_on(self, size: int) -> None:
        try:
            piece = self._file.read(size)
        except UnicodeDecodeError as error:
            line = self.line + self._text.count("\n", self._at)
            problem = f"byte 0x{error.object[error.start]:02x} near here is not UTF-8; save the file as UTF-8"
            raise DocumentError(problem, self.path, line) from None
        self._text, self._at = self._text[self._at :] + piece, 0
        self._total, self._ended = self._total + len(piece), not piece
        if self._total > MAX_BYTES:
            raise self.error(f"expected at most {MAX_BYTES} characters, found more")
