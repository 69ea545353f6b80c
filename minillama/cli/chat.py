"""What the command line says and hears: an answer as it comes, and a conversation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .output import compiled_functions, fail, note, write

if TYPE_CHECKING:
    from ..inference.session import Session
    from ..inference.text import TextStream
    from ..llm import LLM


class Timed:
    """Runs a text stream to stdout and measures the prompt and the answer separately."""

    def __init__(self, session: Session, start: Callable[[], TextStream]) -> None:
        begin = time.perf_counter()
        self._compiled_before = compiled_functions()
        shared = session.position
        self.stream: TextStream = start()
        self.prompt_seconds = time.perf_counter() - begin
        self.prompt_tokens = max(session.position - shared, 1)
        self.seconds = 0.0

    def show(self) -> None:
        """Print the pieces as they come; an interrupt ends the answer, not the program."""
        begin = time.perf_counter()
        try:
            for piece in self.stream:
                write(piece)
        finally:
            self.seconds = time.perf_counter() - begin

    def figures(self) -> str:
        """Tokens, speed, and why the text ended if not by itself."""
        n = len(self.stream.result.ids)
        speed = f"{n / self.seconds:.1f} tokens/s" if n and self.seconds else "0 tokens/s"
        why = {"length": "; stopped at --max-tokens", "context": "; the context is full"}
        ended = why.get(self.stream.result.finish_reason or "", "")
        if compiled_functions() > self._compiled_before:
            ended += "; most of the time went into compiling, the next run is quick"
        return f"prompt {self.prompt_tokens} tokens in {self.prompt_seconds:.2f} s; {n} tokens at {speed}{ended}"


class Conversation:
    """Turns of a chat over one session, whose cache keeps what was said."""

    HELP = "/reset starts over, /quit ends (as does Ctrl-D), Ctrl-C stops an answer"

    def __init__(self, llm: LLM, system: str | None, quiet: bool, **options: Any) -> None:
        self.llm, self.quiet, self.options = llm, quiet, options
        self.first = [{"role": "system", "content": system}] if system else []
        self.reset()

    def reset(self) -> None:
        self.messages = list(self.first)
        self.session = self.llm.session()

    def answer(self, text: str) -> None:
        """Answer one message; what was said stays if the answer is broken off."""
        asked = [*self.messages, {"role": "user", "content": text}]
        timed = Timed(self.session, lambda: self.llm.chat_stream(asked, session=self.session, **self.options))
        try:
            timed.show()
        finally:
            write("\n")
            self.messages = [*asked, {"role": "assistant", "content": timed.stream.result.text}]
        if not self.quiet:
            note(timed.figures())

    def run(self) -> None:
        """Read and answer until the person leaves."""
        note(f"{self.llm.name}: {self.HELP}")
        while True:
            try:
                text = input("> ").strip()
            except (EOFError, KeyboardInterrupt):
                write("\n")
                return
            if text in ("/quit", "/exit"):
                return
            if text == "/reset":
                self.reset()
                note("a new conversation")
            elif text.startswith("/"):
                note(self.HELP)
            elif text:
                self._answer_safely(text)

    def _answer_safely(self, text: str) -> None:
        try:
            self.answer(text)
        except KeyboardInterrupt:
            note("stopped")
        except ValueError as error:  # the context is full, or the text is not allowed
            fail(f"{error} (/reset starts over)")
