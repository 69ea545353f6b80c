"""How far an evaluation is: a bar with the time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..common.output import note
from ..common.terminal import stderr

if TYPE_CHECKING:
    from ...evaluation.engine.engine import Progress

_LINE_EVERY = 30.0  # seconds, where no bar can be drawn


@contextmanager
def shown_progress(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Yield what the engine calls; None where nothing is to be shown."""
    if quiet:
        yield None
    elif stderr.is_terminal:
        with _bar() as update:
            yield update
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[Callable[[Progress], None]]:
    from rich import progress as rich

    columns = (
        rich.TextColumn("{task.fields[said]}", markup=False),
        rich.BarColumn(bar_width=24),
        rich.TextColumn("{task.fields[left]}"),
    )
    with rich.Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task("", total=None, said="asking …", left="")  # the first feed may take a while

        def update(progress: Progress) -> None:
            texts: dict[str, Any] = {"said": said(progress), "left": left(progress)}
            bar.update(task, completed=progress.done, total=progress.total, **texts)

        yield update


class _Lines:
    """A line after a while, and then one every `_LINE_EVERY` seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _LINE_EVERY

    def __call__(self, progress: Progress) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_EVERY
            note(f"{said(progress)}  {left(progress)}")


def said(progress: Progress) -> str:
    """How much of it is answered."""
    return f"{progress.answered:,} of {progress.requests:,} requests"


def left(progress: Progress) -> str:
    """The time that is left, as far as it is known."""
    return "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"


def duration(seconds: float) -> str:
    """A time that people can grasp: "40 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
