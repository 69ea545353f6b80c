"""stdin, stdout and stderr as a shell may hand them over: closed, full, in another encoding, or with nobody reading.

An answer is not lost because a character is missing in the terminal's encoding, and a sentence for the person is
never worth a traceback.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from ...files.text import decode_text


class OutputError(OSError):
    """stdout takes no more: it is closed, or its disk is full."""


def prepare_streams() -> None:
    """Make the three streams usable, whatever they are.

    Raises
    ------
    OutputError
        When stdout is closed: then nothing should be computed.
    """
    _occupy_closed()
    _forget_no_width()
    if sys.stderr is None:
        sys.stderr = _nowhere()
    _say_everything(sys.stderr, "minillama-escape")
    if sys.stdout is None:
        sys.stdout = _nowhere()
        raise OutputError("there is nowhere to write: stdout is closed; send it to a file, or to /dev/null")
    _say_everything(sys.stdout, "minillama-replace")


def _occupy_closed() -> None:
    """Put nothing in the place of closed streams: the next file that is opened would get their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _forget_no_width() -> None:
    """COLUMNS=0, from a terminal that knows no size, would leave `--help` empty."""
    for name in ("COLUMNS", "LINES"):
        if os.environ.get(name) == "0":
            del os.environ[name]


def _nowhere() -> Any:
    return open(os.devnull, "w", encoding="utf-8")


def _say_everything(stream: Any, errors: str) -> None:
    """Let a stream write something in place of each character that its encoding lacks."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors=errors)


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    return _as_given(error) or ("?", error.start + 1)  # type: ignore[attr-defined]


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    return _as_given(error) or codecs.backslashreplace_errors(error)


def _as_given(error: UnicodeError) -> tuple[bytes, int] | None:
    """The byte that Python has hidden in a name of a file that is not UTF-8, if that is what cannot be written."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    return (bytes([code - 0xDC00]), error.start + 1) if 0xDC80 <= code <= 0xDCFF else None


codecs.register_error("minillama-replace", _replaced)
codecs.register_error("minillama-escape", _escaped)


class _Answer:
    stream: Any = None  # where it goes while `sys.stdout` belongs to others


@contextmanager
def prints_to_stderr() -> Iterator[None]:
    """What a learner's code prints is no part of the answer: it goes to stderr, `send` to stdout as before."""
    _Answer.stream = sys.stdout
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _Answer.stream = None


def send(text: str) -> None:
    """Write to stdout at once; end without a word when nobody reads it any more.

    Raises
    ------
    OutputError
    """
    stream = _Answer.stream or sys.stdout
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        _drop(stream)
        sys.exit(0)
    except OSError as error:
        _drop(stream)
        raise OutputError(f"the output cannot be written: {error.strerror}") from error


def end_stderr() -> None:
    """What stderr still holds goes out, or nowhere: a full disk under the notices spoils no answer."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _drop(sys.stderr)


def _drop(stream: Any) -> None:
    """Python flushes a stream once more at its end, and would complain there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def read_stdin() -> str:
    """All of stdin as text: without a byte order mark, with the line ends of Unix, and none at the end.

    Raises
    ------
    ValueError
        When it is not text.
    """
    raw = getattr(sys.stdin, "buffer", sys.stdin).read()
    try:
        text = decode_text(raw) if isinstance(raw, bytes) else raw
    except ValueError as error:
        raise ValueError(f"stdin cannot be read as text: {error}") from None
    return text.replace("\r\n", "\n").rstrip("\n")


def is_terminal(stream: Any) -> bool:
    """Whether a person is at the other end; nobody is at a closed stream."""
    return stream is not None and stream.isatty()
