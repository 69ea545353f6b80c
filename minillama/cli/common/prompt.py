"""A message typed at a terminal: edited with the arrow keys, recalled, pasted with all its lines.

`prompt_toolkit` draws and edits the line. Where it cannot (TERM=dumb, or the answers go to a file) the terminal's own
line is read, as bytes. Either way what is not UTF-8 becomes U+FFFD, and the conversation goes on.
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .output import write
from .streams import is_terminal
from .terminal import stderr

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

Reader = Callable[[], str]
"""Gives the next message; raises EOFError where there is none, KeyboardInterrupt at Ctrl-C."""
PROMPT = "> "
CONTINUED = "  "
# What is there so soon after the prompt was typed during the answer, line by line; later, several lines at once are
# pasted: not every terminal marks them.
_TYPED_AHEAD_SECONDS = 0.1
_SLOW_MACHINE_SECONDS = 1.0  # more, where something is seen to wait


def terminal_reader() -> Reader:
    """A reader of messages for this terminal."""
    kind = os.environ.get("TERM", "" if os.name == "nt" else "dumb").lower()
    if is_terminal(sys.stdout) and kind not in ("dumb", "unknown"):
        return _editing_reader()
    return _plain_reader


def _plain_reader() -> str:
    """Lines as the terminal gives them; one that ends in a backslash goes on in the next."""
    lines: list[str] = []
    while True:
        _show(CONTINUED if lines else PROMPT)
        raw = sys.stdin.buffer.readline()
        if not raw:
            raise EOFError
        lines.append(raw.decode("utf-8", "replace").rstrip("\r\n"))
        if not lines[-1].endswith("\\"):
            return "\n".join(lines)
        lines[-1] = lines[-1][:-1]


def _show(prompt: str) -> None:
    if is_terminal(sys.stdout):
        write(prompt)
    else:
        stderr.print(prompt, end="")


def _editing_reader() -> Reader:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.history import InMemoryHistory
    from prompt_toolkit.output import create_output

    output: Any = create_output(sys.stdout)
    output.enable_cpr = False  # a terminal that does not say where its cursor is would be warned about
    began = [0.0]
    session: PromptSession[str] = PromptSession(
        PROMPT,
        multiline=True,
        enable_suspend=True,
        prompt_continuation=CONTINUED,
        history=InMemoryHistory(),  # what a person says to a model is not left on the disk
        key_bindings=_keys(began),
        include_default_pygments_style=False,
        output=output,
    )

    def start() -> None:
        waits = os.name != "nt" and bool(select.select([sys.stdin], [], [], 0)[0])
        began[0] = time.monotonic() + (_SLOW_MACHINE_SECONDS if waits else 0.0)

    def read() -> str:
        write(f"{PROMPT}\r")  # prompt_toolkit draws over it; a program at the other end may wait for just this
        typed = session.prompt(pre_run=start)
        return typed.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    return read


def _keys(began: list[float]) -> KeyBindings:
    """Enter sends, Alt-Enter begins a line, Ctrl-C empties the line or leaves."""
    from prompt_toolkit.enums import DEFAULT_BUFFER
    from prompt_toolkit.filters import has_focus
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()
    typing = has_focus(DEFAULT_BUFFER)  # and not in a search of what was typed before

    @keys.add("enter", filter=typing, eager=True)
    @keys.add("c-j", filter=typing, eager=True)
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if event.key_processor.input_queue and time.monotonic() - began[0] > _TYPED_AHEAD_SECONDS:
            buffer.newline(copy_margin=False)
        elif buffer.document.text_before_cursor.endswith("\\"):
            buffer.delete_before_cursor()
            buffer.newline(copy_margin=False)
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=typing, eager=True)
    @keys.add("escape", "c-j", filter=typing, eager=True)
    def begin_line(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    @keys.add("c-c", filter=typing, eager=True)
    @keys.add("<sigint>", filter=typing, eager=True)
    def leave(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt)

    return keys


@contextmanager
def without_echo() -> Iterator[None]:
    """While an answer comes: what is typed waits for the prompt, and Ctrl-C leaves no "^C" in the text."""
    if os.name == "nt" or not is_terminal(sys.stdin):
        yield
        return
    import termios

    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    silent = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(handle, termios.TCSANOW, silent)
    try:
        yield
    finally:
        termios.tcsetattr(handle, termios.TCSANOW, before)
