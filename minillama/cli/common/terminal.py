"""stderr as rich sees it: colours and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.segment import Segment, Segments
from rich.style import Style


class _Stderr(Console):
    """Says nothing more where stderr takes nothing more: that must not spoil an answer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._width = self._width or None  # COLUMNS=0 means that nobody knows; rich would show nothing at all

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
        except OSError:
            self.quiet = True

    def on_broken_pipe(self) -> None:
        self.quiet = True


# Colours and bars only on a terminal; rich honours NO_COLOR. Names of files may look like rich's :codes: and [tags].
stderr = _Stderr(stderr=True, highlight=False, soft_wrap=True, emoji=False, markup=False)


def say(text: str) -> None:
    """A dim line."""
    _print(Segment(text, Style(dim=True)))


def say_error(text: str) -> None:
    """A line that begins with a red word."""
    _print(Segment("error:", Style(bold=True, color="red")), Segment(f" {text}"))


def _print(*segments: Segment) -> None:
    """Print a line as it is: rich would turn tabs and other characters of a name into spaces."""
    stderr.print(Segments([*segments, Segment.line()]), end="")


@contextmanager
def progress_bar(note: Callable[[str], None]) -> Iterator[Any]:
    """Yield a callback (done_bytes, total_bytes, label); without a terminal `note` says a line for each label."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        tasks: dict[str, Any] = {}

        def progress(done: int, total: int | None, label: str) -> None:
            if label not in tasks:
                tasks[label] = bar.add_task(label, total=total)
                if not stderr.is_terminal:
                    size = f" ({total / 1e6:.0f} MB)" if total else ""
                    note(f"{label}{size} …")
            bar.update(tasks[label], completed=done, total=total)

        yield progress
