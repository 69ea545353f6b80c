"""How far the recipe is: a bar a step on a terminal, elsewhere a line when a step begins, ends, and now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..common.output import note
from ..common.terminal import stderr

if TYPE_CHECKING:
    from ...alignment.recipe.pipeline import Spent

_LINE_EVERY = 30.0  # seconds, where no bar can be drawn


class Silent:
    """Watches a run without a word."""

    @contextmanager
    def drawing(self) -> Iterator[None]:
        yield

    def begin(self, number: int, n_steps: int, name: str) -> None:
        pass

    def progress(self, done: int, total: int, text: str) -> None:
        pass

    def end(self, spent: Spent, figures: Mapping[str, Any]) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Lines(Silent):
    """Lines on stderr."""

    _head, _next = "", 0.0

    def begin(self, number: int, n_steps: int, name: str) -> None:
        self._head = f"[{number}/{n_steps}] {name}"
        self._next = time.monotonic() + _LINE_EVERY
        note(f"{self._head} …")

    def progress(self, done: int, total: int, text: str) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            note(f"{self._head}  {text} {done:,}/{total:,}")

    def end(self, spent: Spent, figures: Mapping[str, Any]) -> None:
        note(ended(self._head, spent, figures))

    def note(self, text: str) -> None:
        note(text)


class Bar(Lines):
    """A bar for the step at work; a line of it stays when it is over."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None

    @contextmanager
    def drawing(self) -> Iterator[None]:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
        from rich.table import Column

        on_one_line = Column(no_wrap=True, overflow="ellipsis")
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", table_column=on_one_line, markup=False),
        )
        with Progress(*columns, console=stderr, transient=True) as self._bar:
            yield
        self._bar = None

    def begin(self, number: int, n_steps: int, name: str) -> None:
        self._head = f"[{number}/{n_steps}] {name}"
        self._task = self._bar.add_task(self._head, total=None, text="")

    def progress(self, done: int, total: int, text: str) -> None:
        self._bar.update(self._task, completed=done, total=total, text=f"{text} {done:,}/{total:,}")

    def end(self, spent: Spent, figures: Mapping[str, Any]) -> None:
        self._bar.remove_task(self._task)
        self._bar.console.print(ended(self._head, spent, figures), style="dim")

    def note(self, text: str) -> None:
        self._bar.console.print(text, style="dim")


def shown() -> Lines:
    """What suits this stderr."""
    return Bar() if stderr.is_terminal else Lines()


def ended(head: str, spent: Spent, figures: Mapping[str, Any]) -> str:
    """The line of a step that is over: its seconds, and the figures that are numbers."""
    numbers = [
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value:.3g}"
        for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]
    return "  ".join([head, f"{_clock(spent.wall)} ({_clock(spent.cpu)} of CPU)", ", ".join(numbers)]).rstrip()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
