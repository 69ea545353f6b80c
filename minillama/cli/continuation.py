"""What `minillama generate` does: load a model, continue a text, say how fast."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from .common.given import STORY_TELLER, chosen_sampling, given_text, load_llm
from .common.output import compile_notice, note, write
from .common.streams import prints_to_stderr
from .timed import Timed


@dataclass(frozen=True)
class Request:
    """The options of `generate` under their names there, with the same defaults."""

    text: str | None = None
    prompt: str | None = None
    model: str = STORY_TELLER
    tokenizer: Path | None = None
    max_tokens: int | None = 256
    temperature: float = 0.6
    top_k: int = 0
    top_p: float = 0.9
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: list[str] | None = None
    seed: int | None = None
    threads: int | None = None
    ops: str = "fast"
    kv_cache: str = "float32"
    echo: bool = False
    own: Path | None = None
    only: str | None = None
    unchecked: bool = False
    trace: bool = False
    quiet: bool = False


def continue_text(request: Request) -> None:
    """Continue a text on stdout.

    Raises
    ------
    ValueError
        When the options contradict each other, or the model or the text is not possible.
    """
    r = request
    start = given_text(r.text, r.prompt)
    sampling = chosen_sampling(r.temperature, r.top_k, r.top_p, r.min_p, r.repetition_penalty)
    if r.own is None and (r.only or r.unchecked or r.trace):
        raise ValueError("--only, --unchecked and --trace go with --with FOLDER")
    with compile_notice(), nullcontext() if r.own is None else prints_to_stderr():
        learner = None
        if r.own is not None:
            from .own import LearnersModel

            learner = LearnersModel(r.own, only=r.only, unchecked=r.unchecked, trace=r.trace)
        llm = load_llm(r.model, r.tokenizer, r.threads, r.ops, r.kv_cache)
        if learner is not None:
            learner.run_on(llm)
        with nullcontext() if learner is None else learner.patience():
            stream = Timed(
                lambda: llm.stream(start, max_tokens=r.max_tokens, stop=r.stop or (), seed=r.seed, sampling=sampling)
            )
        if r.echo:
            write(start)
        stream.show()
        write("\n")
        if not r.quiet:
            note(stream.figures())
        if learner is not None:
            learner.report(llm.encode_prompt(start), quiet=r.quiet)
