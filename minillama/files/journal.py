"""A file that grows by whole lines of JSON: what `append` returned from is there, whatever happens next.

A process that is killed leaves at most the last line torn; nobody was told that it is kept. Readers pass it over, and
the next one that adds lines cuts it off before it does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any


def whole_lines(path: Path) -> bytes:
    """The file without a torn last line; nothing where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


class Journal:
    """A journal that lines are added to; whoever opens it keeps other processes out.

    Parameters
    ----------
    path : Path
        Made if it is not there.
    on_disk : bool
        `append` waits until lines are on the disk, and a crash of the machine loses none; otherwise they are with
        the operating system, and survive the end of the process.
    """

    def __init__(self, path: Path, *, on_disk: bool = True) -> None:
        self._on_disk = on_disk
        self._file = path.open("a+b", buffering=0)
        self._file.truncate(_end_of_lines(self._file))

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def lines(self) -> Iterator[bytes]:
        """The lines that are there, one at a time, with their ends."""
        with open(self._file.fileno(), "rb", closefd=False) as reader:
            reader.seek(0)
            yield from reader

    def append(self, *rows: Mapping[str, Any]) -> None:
        """Add rows, a line each: all of them or, where the disk takes no more, none."""
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        raw, size = text.encode(errors="backslashreplace"), self._file.seek(0, os.SEEK_END)
        try:
            while raw:
                raw = raw[self._file.write(raw) or 0 :]
            if self._on_disk:
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(size)
            raise

    def close(self) -> None:
        self._file.close()


def _end_of_lines(file: IO[bytes], piece: int = 1 << 16) -> int:
    """Bytes up to the end of the last whole line, looked for from the end of the file."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - piece)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
