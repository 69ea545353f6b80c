"""`minillama chat`: one answer, or a conversation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common.given import CHAT_INSIDE, DEFAULT_MODEL, chosen_sampling, given_text, load_chat_llm
from .common.options import (
    KVName,
    KVOption,
    MaxTokens,
    MinP,
    OpsName,
    OpsOption,
    Penalty,
    Quiet,
    Seed,
    Stop,
    Temperature,
    Threads,
    TokenizerFile,
    TopK,
    TopP,
)
from .common.output import compile_notice, fail, note, write
from .common.prompt import Reader, terminal_reader, without_echo
from .common.streams import is_terminal
from .timed import Timed

if TYPE_CHECKING:
    from ..alignment.safety.gate import Gate
    from ..llm import LLM


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(chat)


def chat(
    message: Annotated[str | None, typer.Argument(help="One message to answer; without it a conversation.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="A known name (see `minillama models`), a file or a folder.",
            show_default=f"{DEFAULT_MODEL}, or {CHAT_INSIDE} where that cannot be fetched",
        ),
    ] = None,
    tokenizer: TokenizerFile = None,
    system: Annotated[str | None, typer.Option("--system", help="What the assistant should know or be.")] = None,
    template: Annotated[
        str | None,
        typer.Option("--template", help="Chat format (llama-2, chatml, zephyr) in place of the model's own."),
    ] = None,
    max_tokens: MaxTokens = None,
    temperature: Temperature = 0.6,
    top_k: TopK = 0,
    top_p: TopP = 0.9,
    min_p: MinP = 0.0,
    repetition_penalty: Penalty = 1.0,
    stop: Stop = None,
    seed: Seed = None,
    threads: Threads = None,
    ops: OpsOption = OpsName.fast,
    kv_cache: KVOption = KVName.float32,
    gate: Annotated[
        Path | None,
        typer.Option("--gate", help="Folder of a safety model; answers that it finds unsafe are not given."),
    ] = None,
    gate_threshold: Annotated[
        float | None,
        typer.Option("--gate-threshold", help="The least probability of being safe that passes; 0.15 without it."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Talk with a chat model; a single answer when a message is given or stdin is a pipe.

    In a conversation Enter sends the message and Alt-Enter begins a new line (as does a backslash at the end of one);
    several pasted lines are one message. The arrow keys edit it and bring back earlier ones. Ctrl-C stops an answer
    and keeps the conversation; at an empty prompt it leaves, like Ctrl-D and /quit. /reset starts over. Any other
    message may begin with a slash; with a space in front so may /quit, as a message.

    With --gate an answer is shown once it is whole and the safety model has let it pass; nothing is streamed.
    """
    sampling = chosen_sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    once = message if message is not None else (None if is_terminal(sys.stdin) else given_text(None, None))
    if once is not None and not once.strip():
        raise ValueError('there is no message: give it in quotes ("Why is the sky blue?") or through a pipe')
    with compile_notice():
        llm = load_chat_llm(model, tokenizer, threads, ops.value, kv_cache.value)
        llm.chat_template(template)  # an unknown format is reported before the person types
        options = {"template": template, "max_tokens": max_tokens, "stop": stop or (), "seed": seed}
        opened = _opened(gate, gate_threshold, template)
        talk = Conversation(llm, system, quiet, opened, sampling=sampling, **options)
        if once is not None:
            talk.answer(once)
        else:
            talk.run(terminal_reader())


def _opened(folder: Path | None, threshold: float | None, template: str | None) -> Gate | None:
    """The gate that was asked for."""
    if folder is None:
        if threshold is not None:
            raise ValueError("--gate-threshold is of a gate: give the folder of its safety model (--gate FOLDER)")
        return None
    from ..alignment.safety.gate import IN_PPO, Gate
    from ..alignment.safety.scoring import SafetyModel

    return Gate(SafetyModel.load(folder, template), IN_PPO if threshold is None else threshold)


class Conversation:
    """Turns of a chat over one session, whose cache keeps what was said."""

    HELP = (
        "Alt-Enter or a backslash at the end begins a new line, /reset starts over, /quit ends (as does Ctrl-D), "
        "a space in front sends such a word as a message, Ctrl-C stops an answer"
    )
    COMMANDS = ("/reset", "/quit", "/exit", "/help")

    def __init__(self, llm: LLM, system: str | None, quiet: bool, gate: Gate | None = None, **options: Any) -> None:
        self.llm, self.quiet, self.gate, self.options = llm, quiet, gate, options
        self.first = [{"role": "system", "content": system}] if system else []
        self.reset()

    def reset(self) -> None:
        self.messages = list(self.first)
        self.session = self.llm.session()

    def answer(self, text: str) -> None:
        """Answer one message; what was said stays if the answer is broken off."""
        asked = [*self.messages, {"role": "user", "content": text}]
        timed = Timed(lambda: self.llm.chat_stream(asked, session=self.session, **self.options))
        if self.gate is not None:
            self._pass(timed, asked, self.gate)
        else:
            try:
                timed.show()
            finally:
                self.messages = [*asked, {"role": "assistant", "content": timed.stream.result.text}]
                write("\n")
        if not self.quiet:
            note(timed.figures())

    def _pass(self, timed: Timed, asked: list[dict[str, str]], gate: Gate) -> None:
        """Show what the gate lets pass. An answer that is broken off was not seen, and is forgotten."""
        timed.show(to=lambda piece: None)
        said = gate.passed(asked, timed.stream.result.text)
        self.messages = [*asked, {"role": "assistant", "content": said}]
        write(said + "\n")

    def run(self, read: Reader) -> None:
        """Read and answer until the person leaves."""
        note(f"{self.llm.name}: {self.HELP}")
        if self.gate is not None:
            note("an answer is shown once it is whole and the safety model has let it pass (--gate)")
        while True:
            try:
                text = read().rstrip()
            except (EOFError, KeyboardInterrupt):
                write("\n")
                return
            if text in ("/quit", "/exit"):
                return
            if text == "/reset":
                self.reset()
                note("a new conversation")
            elif text == "/help":
                note(self.HELP)
            elif meant := _misspelt(text, self.COMMANDS):
                note(f"there is no command {text}: {meant}to send it as a message, begin with a space")
            elif text.strip():
                self._answer_safely(text.strip())

    def _answer_safely(self, text: str) -> None:
        try:
            with without_echo():
                self.answer(text)
        except KeyboardInterrupt:
            note("stopped")
        except ValueError as error:  # the context is full, or the text is not allowed
            fail(f"{error} (/reset starts over)")


def _misspelt(text: str, commands: tuple[str, ...]) -> str:
    """ "did you mean /reset? " for a word like a command; "" for a question that begins with a slash."""
    from ..files.suggestions import did_you_mean

    return did_you_mean(text, commands, most=1) if text.startswith("/") and text[1:].isalpha() else ""
