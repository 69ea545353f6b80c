"""An answer as it comes, and how fast it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .output import compiling_seconds, write

if TYPE_CHECKING:
    from ..inference.text import TextStream


class Timed:
    """Runs a text stream to stdout and measures prompt and answer separately; starting it runs the prompt."""

    def __init__(self, start: Callable[[], TextStream]) -> None:
        self._compiled_before = compiling_seconds()
        begin = time.perf_counter()
        self.stream = start()
        self.prompt_seconds = time.perf_counter() - begin
        session = self.stream.tokens.session
        self.prompt_tokens = session.position - session.reused
        self.seconds, self.steps = 0.0, 0  # of the answer: the prompt has already given the chances of its first token

    def show(self) -> None:
        """Print the pieces as they come; an interrupt ends the answer, not the program."""
        session = self.stream.tokens.session
        before, begin = session.position, time.perf_counter()
        try:
            for piece in self.stream:
                write(piece)
        finally:
            self.seconds = time.perf_counter() - begin
            self.steps = session.position - before

    def figures(self) -> str:
        """Tokens, speed, and why the text ended if not by itself."""
        n = len(self.stream.result.ids)
        speed = f" at {self.steps / self.seconds:.1f} tokens/s" if self.steps and self.seconds else ""
        why = {"length": "; stopped at --max-tokens", "context": "; the context is full"}
        ended = why.get(self.stream.result.finish_reason or "", "")
        compiling = compiling_seconds() - self._compiled_before
        if compiling > 0:
            from ..compute.kernel_cache import all_kept

            later = ", which the next run will not need" if all_kept() else ""
            ended += f"; {compiling:.1f} s of it went into compiling{later}"
        return f"prompt {_counted(self.prompt_tokens)} in {self.prompt_seconds:.2f} s; {_counted(n)}{speed}{ended}"


def _counted(n: int) -> str:
    return f"{n} token{'' if n == 1 else 's'}"
