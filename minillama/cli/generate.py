"""`minillama generate`: its options. What it does is in continuation.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common.given import STORY_TELLER
from .common.options import (
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
)
from .continuation import Request, continue_text


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
    continue_text(
        Request(
            text=text,
            prompt=prompt,
            model=model,
            tokenizer=tokenizer,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            stop=stop,
            seed=seed,
            threads=threads,
            ops=ops.value,
            kv_cache=kv_cache.value,
            echo=echo,
            own=own,
            only=only,
            unchecked=unchecked,
            trace=trace,
            quiet=quiet,
        )
    )
