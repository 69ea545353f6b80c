"""The options that `generate`, `chat` and others share; what is made of them is in given.py."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .given import checked_limit, checked_seed, checked_stops


class OpsName(StrEnum):
    reference = "reference"
    fast = "fast"


class KVName(StrEnum):
    float32 = "float32"
    float16 = "float16"


Model = Annotated[str, typer.Option("--model", "-m", help="A known name (see `minillama models`), a file or a folder.")]
TokenizerFile = Annotated[
    Path | None, typer.Option("--tokenizer", help="Tokenizer file, where the model's format carries none.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", "-n", callback=checked_limit, help="The most tokens to generate.")
]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="0 takes the most probable token each time.")]
TopK = Annotated[int, typer.Option("--top-k", help="Only the k most probable tokens; 0 is off.")]
TopP = Annotated[float, typer.Option("--top-p", help="Only the most probable tokens up to this mass; 1 is off.")]
MinP = Annotated[float, typer.Option("--min-p", help="The least share of the best token's probability; 0 is off.")]
Penalty = Annotated[float, typer.Option("--repetition-penalty", help="Above 1 repeats less; 1 is off.")]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", callback=checked_stops, help="End before this text; may be given several times."),
]
Seed = Annotated[int | None, typer.Option("--seed", callback=checked_seed, help="The same seed gives the same text.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Cores to use; all by default.")]
OpsOption = Annotated[OpsName, typer.Option("--ops", help="Compiled kernels, or the plain NumPy that checks them.")]
KVOption = Annotated[KVName, typer.Option("--kv-cache", help="float16 halves the memory of long conversations.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No figures on stderr.")]
