"""How the command line talks: progress and notices on stderr, errors in one sentence.

Only what was asked for goes to stdout.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

# Colours and bars only on a terminal; rich honours NO_COLOR.
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def note(text: str) -> None:
    """A line for the person, not for the pipe."""
    stderr.print(text, style="dim", markup=False)


def fail(text: str, code: int = 1) -> int:
    """Print an error and return the exit code."""
    stderr.print("[bold red]error:[/] ", end="")
    stderr.print(text, markup=False)
    return code


def write(text: str) -> None:
    """Show a piece of the answer at once; end without a word when nobody reads it any more."""
    _Compiling.may_rewrite = False
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at its end, and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


@contextmanager
def download_bar() -> Iterator[Any]:
    """Yield a progress callback (done_bytes, total_bytes, label) that draws a bar on a terminal."""
    columns = (
        TextColumn("{task.description}"),
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


def compiling_seconds() -> float:
    """Time that compiling has taken so far."""
    return _Compiling.seconds


@contextmanager
def compile_notice() -> Iterator[None]:
    """Say so when Numba compiles: a line that counts, on a terminal; one line for the whole run elsewhere."""
    from numba.core import event

    class Listener(event.Listener):
        depth = 0
        begin = 0.0

        def on_start(self, event: Any) -> None:
            if _Compiling.n_functions == 0 and not stderr.is_terminal:
                note("compiling kernels, once on this machine; the first run takes about 20 seconds …")
            if self.depth == 0:
                self.begin = time.perf_counter()
            _Compiling.n_functions += 1
            self.depth += 1
            if stderr.is_terminal and _Compiling.may_rewrite:
                function = event.data["dispatcher"].py_func
                # What Numba compiles of its own is called "impl" and the like.
                name = function.__name__.strip("_") if function.__module__.startswith("minillama.") else ""
                _rewrite(f"compiling the kernels, once on this machine: {_Compiling.n_functions} … {name}")

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                _Compiling.seconds += time.perf_counter() - self.begin
            if self.depth == 0 and stderr.is_terminal and _Compiling.may_rewrite:
                _rewrite("")  # an answer may follow

    with event.install_listener("numba:compile", Listener()):
        yield


def _rewrite(text: str) -> None:
    """Show `text` in place of the line where the cursor is."""
    stderr.file.write(f"\r\x1b[2K\x1b[2m{text[: stderr.width - 1]}\x1b[0m" if text else "\r\x1b[2K")
    stderr.file.flush()
