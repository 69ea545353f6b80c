"""`minillama generate`: continue a text."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from .options import (
    STORY_TELLER,
    KVName,
    KVOption,
    MaxTokens,
    MinP,
    Model,
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
    chosen_sampling,
    given_text,
    load_llm,
)
from .output import compile_notice, note, write
from .own import LearnersModel
from .streams import prints_to_stderr
from .timed import Timed


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(generate)


def generate(
    text: Annotated[str | None, typer.Argument(help="The beginning of the text; or --prompt, or stdin.")] = None,
    prompt: Annotated[str | None, typer.Option("--prompt", "-p", help="The same as the positional text.")] = None,
    model: Model = STORY_TELLER,
    tokenizer: TokenizerFile = None,
    max_tokens: MaxTokens = 256,
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
    echo: Annotated[bool, typer.Option("--echo", help="Print the prompt before its continuation.")] = False,
    own: Annotated[Path | None, typer.Option("--with", help="Run on your own functions in this folder.")] = None,
    only: Annotated[str | None, typer.Option("--only", help="With --with: a single exercise.")] = None,
    unchecked: Annotated[
        bool, typer.Option("--unchecked", help="With --with: functions that do not pass, too.")
    ] = False,
    trace: Annotated[bool, typer.Option("--trace", help="With --with: show where they first go wrong.")] = False,
    quiet: Quiet = False,
) -> None:
    """Continue a text; without --model by the small story teller that ships with minillama."""
    start = given_text(text, prompt)
    sampling = chosen_sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    if own is None and (only or unchecked or trace):
        raise ValueError("--only, --unchecked and --trace go with --with FOLDER")
    with compile_notice(), nullcontext() if own is None else prints_to_stderr():
        learner = None if own is None else LearnersModel(own, only=only, unchecked=unchecked, trace=trace)
        llm = load_llm(model, tokenizer, threads, ops, kv_cache)
        if learner is not None:
            learner.run_on(llm)
        with nullcontext() if learner is None else learner.patience():
            stream = Timed(
                lambda: llm.stream(start, max_tokens=max_tokens, stop=stop or (), seed=seed, sampling=sampling)
            )
        if echo:
            write(start)
        stream.show()
        write("\n")
        if not quiet:
            note(stream.figures())
        if learner is not None:
            learner.report(llm.encode_prompt(start), quiet=quiet)
