"""How the command line talks: progress and notices on stderr, errors in one sentence.

Only what was asked for goes to stdout. What draws on a terminal is in terminal.py, which is imported when something
is said: an answer does not wait for it.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from .streams import send


def note(text: str) -> None:
    """A line for the person, not for the pipe."""
    from .terminal import say

    _end_of_counting()
    say(text)


def fail(text: str, code: int = 1) -> int:
    """Print an error and return the exit code."""
    from .terminal import say_error

    _end_of_counting()
    say_error(text)
    return code


def _end_of_counting() -> None:
    if _Compiling.is_shown:
        _rewrite("")


def write(text: str) -> None:
    """Show a piece of the answer at once; end without a word when nobody reads it any more."""
    _end_of_counting()
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
    with ExitStack() as shown:
        bars: list[Any] = []  # made when something is fetched: nearly always everything is here

        def progress(done: int, total: int | None, label: str) -> None:
            if not bars:
                from .terminal import progress_bar

                bars.append(shown.enter_context(progress_bar(note)))
            bars[0](done, total, label)

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

    The line names the command, since another one has kernels of its own. Whether a later run will do without is not
    known yet: the disk may be full.
    """
    from numba.core import event

    class Listener(event.Listener):
        depth = 0
        begin = 0.0

        def on_start(self, event: Any) -> None:
            if _Compiling.n_functions == 0 and not _can_rewrite():
                note(f"{_what_is_compiled()}, about 20 seconds …")
            if self.depth == 0:
                self.begin = time.perf_counter()
            _Compiling.n_functions += 1
            self.depth += 1
            if _can_rewrite() and _Compiling.may_rewrite:
                function = event.data["dispatcher"].py_func
                # What Numba compiles of its own is called "impl" and the like.
                name = function.__name__.strip("_") if function.__module__.startswith("minillama.") else ""
                _rewrite(f"{_what_is_compiled()}: {_Compiling.n_functions} … {name}")

        def on_end(self, event: Any) -> None:
            self.depth -= 1
            if self.depth == 0:
                _Compiling.seconds += time.perf_counter() - self.begin
            if self.depth == 0 and _Compiling.is_shown:
                _rewrite("")  # an answer may follow

    with event.install_listener("numba:compile", Listener()):
        yield


def _what_is_compiled() -> str:
    command = sys.argv[1] if len(sys.argv) > 1 and sys.argv[1].isalpha() else ""
    return f"compiling the kernels of `minillama {command}`" if command else "compiling kernels"


def _can_rewrite() -> bool:
    from .terminal import stderr

    return stderr.is_terminal and not stderr.is_dumb_terminal


def _rewrite(text: str) -> None:
    """Show `text` in place of the line where the cursor is."""
    from .terminal import stderr

    _Compiling.is_shown = bool(text)
    with suppress(OSError):
        stderr.file.write(f"\r\x1b[2K\x1b[2m{text[: stderr.width - 1]}\x1b[0m" if text else "\r\x1b[2K")
        stderr.file.flush()
