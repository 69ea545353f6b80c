"""How the command line talks: progress and notices on stderr, errors in one sentence.

Only what was asked for goes to stdout.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.segment import Segment, Segments
from rich.style import Style

from .streams import send


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


def note(text: str) -> None:
    """A line for the person, not for the pipe."""
    _say(Segment(text, Style(dim=True)))


def fail(text: str, code: int = 1) -> int:
    """Print an error and return the exit code."""
    _say(Segment("error:", Style(bold=True, color="red")), Segment(f" {text}"))
    return code


def _say(*segments: Segment) -> None:
    """Print a line as it is: rich would turn tabs and other characters of a name into spaces."""
    if _Compiling.is_shown:
        _rewrite("")
    stderr.print(Segments([*segments, Segment.line()]), end="")


def write(text: str) -> None:
    """Show a piece of the answer at once; end without a word when nobody reads it any more."""
    if _Compiling.is_shown:
        _rewrite("")
    _Compiling.may_rewrite = text.endswith(("\n", "\r"))
    send(text)


def note_warnings() -> None:
    """Show warnings for users as notes; those of Python and NumPy keep their place in the code."""
    show = warnings.showwarning

    def show_as_note(message: Any, category: type[Warning], *place: Any, **options: Any) -> None:
        if issubclass(category, UserWarning):
            note(f"warning: {message}")
        else:
            show(message, category, *place, **options)

    warnings.showwarning = show_as_note


@contextmanager
def download_bar() -> Iterator[Any]:
    """Yield a progress callback (done_bytes, total_bytes, label) that draws a bar on a terminal."""
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


class _Compiling:
    """How many functions Numba has compiled under `compile_notice`, and whether no answer stands in the line yet."""

    n_functions = 0
    seconds = 0.0
    may_rewrite = True
    is_shown = False


def compiling_seconds() -> float:
    """Time that compiling has taken so far."""
    return _Compiling.seconds


@contextmanager
def compile_notice() -> Iterator[None]:
    """Say so when Numba compiles: a line that counts, on a terminal; one line for the whole run elsewhere.

    Whether a later run will do without is not known yet: the disk may be full.
    """
    from numba.core import event

    class Listener(event.Listener):
        depth = 0
        begin = 0.0

        def on_start(self, event: Any) -> None:
            if _Compiling.n_functions == 0 and not _can_rewrite():
                note("compiling kernels, about 20 seconds …")
            if self.depth == 0:
                self.begin = time.perf_counter()
            _Compiling.n_functions += 1
            self.depth += 1
            if _can_rewrite() and _Compiling.may_rewrite:
                function = event.data["dispatcher"].py_func
                # What Numba compiles of its own is called "impl" and the like.
                name = function.__name__.strip("_") if function.__module__.startswith("minillama.") else ""
                _rewrite(f"compiling kernels: {_Compiling.n_functions} … {name}")

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                _Compiling.seconds += time.perf_counter() - self.begin
            if self.depth == 0 and _Compiling.is_shown:
                _rewrite("")  # an answer may follow

    with event.install_listener("numba:compile", Listener()):
        yield


def _can_rewrite() -> bool:
    return stderr.is_terminal and not stderr.is_dumb_terminal


def _rewrite(text: str) -> None:
    """Show `text` in place of the line where the cursor is."""
    _Compiling.is_shown = bool(text)
    with suppress(OSError):
        stderr.file.write(f"\r\x1b[2K\x1b[2m{text[: stderr.width - 1]}\x1b[0m" if text else "\r\x1b[2K")
        stderr.file.flush()
