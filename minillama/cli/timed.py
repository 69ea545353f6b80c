"""An answer as it comes, and how fast it came."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from .common.output import compiling_seconds, write

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
        self._position = session.position
        self.seconds = 0.0

    def show(self, to: Callable[[str], object] = write) -> None:
        """Print the pieces as they come, or hand them to `to`; an interrupt ends the answer, not the program."""
        begin = time.perf_counter()
        try:
            for piece in self.stream:
                to(piece)
        finally:
            self.seconds = time.perf_counter() - begin

    def figures(self) -> str:
        """Tokens, speed, and why the text ended if not by itself.

        The first token costs no pass through the model beyond the prompt's: the rate is that of the passes after it,
        and where there were none, there is no rate.
        """
        n_passes = self.stream.tokens.session.position - self._position
        speed = f" at {n_passes / self.seconds:.1f} tokens/s" if n_passes > 0 and self.seconds > 0 else ""
        why = {"length": "; stopped at --max-tokens", "context": "; the context is full"}
        ended = why.get(self.stream.result.finish_reason or "", "")
        compiling = compiling_seconds() - self._compiled_before
        if compiling > 0:
            from ..compute.kernel_cache import all_kept

            later = ", which the next run will not need" if all_kept() else ""
            ended += f"; {compiling:.1f} s of it went into compiling{later}"
        answer = _tokens(len(self.stream.result.ids))
        return f"prompt {_tokens(self.prompt_tokens)} in {self.prompt_seconds:.2f} s; {answer}{speed}{ended}"


def _tokens(n: int) -> str:
    return f"{n} token" if n == 1 else f"{n} tokens"
