"""The exercises of the book by id. A chapter's list is read at once, an exercise's file when it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from ...files.suggestions import did_you_mean
from ..exercises.exercise import Exercise

_CHAPTERS = Path(__file__).parent


class Catalogue(Mapping[str, Exercise]):
    """All exercises by id, in the order of the book.

    Its keys cost nothing; a value imports the file of that exercise.
    """

    def __init__(self) -> None:
        self._found: dict[str, Exercise] = {}
        self._chapters: dict[str, str] = {}  # id to the name of the chapter's package
        for package in chapter_packages():
            for id in package.EXERCISES:
                if id in self._chapters:
                    raise ValueError(f"two exercises are called {id}")
                self._chapters[id] = package.__name__

    def __getitem__(self, id: str) -> Exercise:
        if id not in self._found:
            self._found[id] = getattr(importlib.import_module(f"{self._chapters[id]}.{id}"), id)
        return self._found[id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chapters)

    def __len__(self) -> int:
        return len(self._chapters)

    def __contains__(self, id: object) -> bool:
        return id in self._chapters

    def chapter_of(self, id: str) -> str:
        """The number of the chapter, "05", without importing the exercise."""
        return self._chapters[id].rpartition(".ch")[2][:2]

    def that_say(self, keyword: str) -> list[str]:
        """Ids of the exercises with that argument in their decorator.

        Found in the text, so that no other exercise is imported.
        """
        pattern = re.compile(rf"^    {keyword}=", re.MULTILINE)
        return [id for id in self if pattern.search(source_file(self._chapters[id], id).read_text(encoding="utf-8"))]


@cache
def catalogue() -> Catalogue:
    """All exercises by id, in the order of the book."""
    return Catalogue()


@cache
def chapter_packages() -> list[ModuleType]:
    """The chapters, in the order of the book."""
    names = sorted(info.name for info in pkgutil.iter_modules([str(_CHAPTERS)]) if info.ispkg)
    return [importlib.import_module(f"{__package__}.{name}") for name in names]


def source_file(package: str, module: str) -> Path:
    """The file of a module in a chapter's package, without importing it."""
    return _CHAPTERS / package.rpartition(".")[2] / f"{module}.py"


def get_exercise(id: str) -> Exercise:
    """The exercise of that id.

    Raises
    ------
    ValueError
        When no exercise has that id; the message names the nearest ones.
    """
    exercises = catalogue()
    if id not in exercises:
        raise ValueError(
            f"there is no exercise {id!r}: {did_you_mean(id, exercises, most=3)}`minillama learn` lists them"
        )
    return exercises[id]
