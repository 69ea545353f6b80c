"""Checks that the readers of tokenizer files share."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar

from ...files.disguise import FIRST_BYTES, refuse_disguise
from ...files.errors import CheckpointError
from ...files.text import decode_text

T = TypeVar("T")
# Enough for every vocabulary of LLaMA's kind: LLaMA 3's tokenizer.json has 9 to 17 MB, by how it is spaced.
MAX_BYTES = 32 << 20
# What parsed JSON takes in memory goes by its values, of which each but the first has a comma or a bracket before
# it. LLaMA 3 has a million of them; two million empty lists take 150 MB.
MAX_VALUES = 2 << 20
MAX_PIECES = 1 << 18
MAX_MERGES = 1 << 20  # LLaMA 3 has 280,147 rules
KIND_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number", bool: "true or false"}


def read_bounded(path: str | PathLike[str]) -> bytes:
    """The whole of a tokenizer file.

    Raises
    ------
    CheckpointError
        When it is missing, not a file, or larger than any tokenizer.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            refuse_disguise(path, file.read(FIRST_BYTES), "a tokenizer")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise CheckpointError(path, "file", f"has {size} bytes, more than any tokenizer (limit {MAX_BYTES})")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(path, "file", f"cannot be read: {error}") from error


def read_json(data: bytes, path: str | PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file, or a CheckpointError; a byte order mark and UTF-16 are read, too."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise CheckpointError(path, "JSON", f"has more values than any tokenizer (limit {MAX_VALUES})")
    try:
        root = json.loads(decode_text(data))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(path, "JSON", f"cannot be read: {error}") from error
    return expect(root, dict, path, "JSON")


def expect(value: Any, kind: type[T], path: str | PathLike[str], field: str) -> T:
    """`value`, if it is of the kind; true and false do not count as numbers here."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        found = "nothing" if value is None else f"{type(value).__name__} {str(value)[:60]!r}"
        raise CheckpointError(path, field, f"expected {KIND_NAMES[kind]}, found {found}")
    return value


@contextmanager
def blame(path: str | PathLike[str], field: str) -> Iterator[None]:
    """Turn a ValueError about a tokenizer's parts into a CheckpointError about the file they came from."""
    try:
        yield
    except CheckpointError:
        raise
    except ValueError as error:
        raise CheckpointError(path, field, str(error)) from error
