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
# Enough for every vocabulary of LLaMA's kind (SmolLM2's tokenizer.json has 2 to 4 MB), and little enough
# for what Python makes of it: parsed JSON can take 20 times the memory of its text.
MAX_BYTES = 5 << 20
MAX_PIECES = 1 << 18
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
    """The object in a JSON file, or a CheckpointError."""
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
