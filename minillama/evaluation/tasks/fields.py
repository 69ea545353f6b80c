"""Reading a document strictly: a field that is missing or of another type is one sentence, never a guess."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..common.task import Document

SHOWN = 80  # characters of a value in an error


class MalformedDocument(ValueError):
    """A document lacks what its task reads.

    Attributes
    ----------
    split : str
    number : int
        Its place in the split, from 0; -1 where it is not known.
    """

    def __init__(self, message: str, split: str = "", number: int = -1):
        super().__init__(message)
        self.split = split
        self.number = number


def field(document: Document, *path: str) -> Any:
    """What a document holds under a name, or under names inside each other."""
    value: Any = document
    for depth, name in enumerate(path):
        if not isinstance(value, Mapping) or name not in value:
            where = ".".join(path[: depth + 1])
            has = ", ".join(map(str, value)) if isinstance(value, Mapping) else shown(value)
            raise MalformedDocument(f"it needs the field {where}, and has {has or 'none'}")
        value = value[name]
    return value


def text(document: Document, *path: str) -> str:
    """A field that holds text."""
    value = field(document, *path)
    if not isinstance(value, str):
        raise MalformedDocument(f"{'.'.join(path)} must be text and is {shown(value)}")
    return value


def texts(document: Document, *path: str, at_least: int = 1) -> list[str]:
    """A field that holds a list of texts."""
    value = field(document, *path)
    if not isinstance(value, list) or len(value) < at_least or not all(isinstance(part, str) for part in value):
        raise MalformedDocument(f"{'.'.join(path)} must be a list of {at_least} or more texts and is {shown(value)}")
    return value


def number_below(end: int, document: Document, *path: str) -> int:
    """A field that holds the number of a choice, from 0 to end - 1; its digits as text will do (CSV has no other)."""
    value = field(document, *path)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
    if not (is_number or is_digits) or not 0 <= int(value) < end:
        raise MalformedDocument(f"{'.'.join(path)} must be a number from 0 to {end - 1} and is {shown(value)}")
    return int(value)


def place_of(label: str, labels: Sequence[str], name: str) -> int:
    """Which of the labels a label is."""
    if label not in labels:
        raise MalformedDocument(f"{name} must be one of {', '.join(labels)} and is {shown(label)}")
    return labels.index(label)


def shown(value: Any) -> str:
    """A value in an error: short, and no more of it is turned to text than is shown."""
    if isinstance(value, str):
        return repr(value if len(value) <= SHOWN else value[:SHOWN] + "…") if value else "empty"
    if isinstance(value, list):
        return f"a list of {len(value)}" + (f" that begins with {shown(value[0])}" if value else "")
    if isinstance(value, Mapping):
        return f"an object of {len(value)} fields"
    return repr(value)[:SHOWN]


def each(documents: Sequence[Document], prepare: Callable[[Document], Document]) -> list[Document]:
    """Documents, each prepared; an error knows which one it was."""
    prepared = []
    for number, document in enumerate(documents):
        try:
            prepared.append(prepare(document))
        except MalformedDocument as error:
            raise MalformedDocument(str(error), number=number) from None
    return prepared
