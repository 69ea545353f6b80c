"""What `generate`, `chat` and others share: their options, and what is made of them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import download_bar
from .streams import is_terminal, read_stdin

if TYPE_CHECKING:
    from ..llm import LLM

DEFAULT_MODEL = "smollm2-135m-instruct"
STORY_TELLER = "stories3M"  # ships inside the package: no network


class OpsName(StrEnum):
    reference = "reference"
    fast = "fast"


class KVName(StrEnum):
    float32 = "float32"
    float16 = "float16"


def _limit(value: int | None) -> int | None:
    from ..inference.arguments import token_limit

    return token_limit(value)


def _seed(value: int | None) -> int | None:
    from ..inference.arguments import random_seed

    return random_seed(value)


def _stop(value: list[str] | None) -> list[str] | None:
    from ..inference.arguments import stop_strings

    return list(stop_strings(value))


Model = Annotated[str, typer.Option("--model", "-m", help="A known name (see `minillama models`), a file or a folder.")]
TokenizerFile = Annotated[
    Path | None, typer.Option("--tokenizer", help="Tokenizer file, where the model's format carries none.")
]
MaxTokens = Annotated[
    int | None, typer.Option("--max-tokens", "-n", callback=_limit, help="The most tokens to generate.")
]
Temperature = Annotated[float, typer.Option("--temperature", "-t", help="0 takes the most probable token each time.")]
TopK = Annotated[int, typer.Option("--top-k", help="Only the k most probable tokens; 0 is off.")]
TopP = Annotated[float, typer.Option("--top-p", help="Only the most probable tokens up to this mass; 1 is off.")]
MinP = Annotated[float, typer.Option("--min-p", help="The least share of the best token's probability; 0 is off.")]
Penalty = Annotated[float, typer.Option("--repetition-penalty", help="Above 1 repeats less; 1 is off.")]
Stop = Annotated[
    list[str] | None, typer.Option("--stop", callback=_stop, help="End before this text; may be given several times.")
]
Seed = Annotated[int | None, typer.Option("--seed", callback=_seed, help="The same seed gives the same text.")]
Threads = Annotated[int | None, typer.Option("--threads", help="Cores to use; all by default.")]
OpsOption = Annotated[OpsName, typer.Option("--ops", help="Compiled kernels, or the plain NumPy that checks them.")]
KVOption = Annotated[KVName, typer.Option("--kv-cache", help="float16 halves the memory of long conversations.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No figures on stderr.")]


def given_text(text: str | None, prompt: str | None) -> str:
    """The text from the argument, the option or a pipe; exactly one of them."""
    if text is not None and prompt is not None:
        raise ValueError("the text was given twice: as an argument and with --prompt")
    given = text if text is not None else prompt
    if given is not None and given != "-":
        return _checked(given)
    if sys.stdin is None or (given is None and is_terminal(sys.stdin)):
        raise ValueError('there is no text: give it in quotes ("Once upon a time") or through a pipe')
    return read_stdin()


def _checked(given: str) -> str:
    """A text of the command line, in which Python hides bytes that are not UTF-8."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        code = ord(given[error.start])
        found = f"byte 0x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"U+{code:04X}"
        raise ValueError(f"the text given is not UTF-8: found {found} at position {error.start}") from None
    return given


def chosen_sampling(temperature: float, top_k: int, top_p: float, min_p: float, repetition_penalty: float) -> Any:
    from ..inference.sampling import Sampling

    return Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )


def load_llm(model: str, tokenizer: Path | None, threads: int | None, ops: OpsName, kv_cache: KVName) -> LLM:
    from ..llm import load
    from ..ops import NAMED_OPS

    with download_bar() as progress:
        return load(
            model,
            tokenizer=tokenizer,
            threads=threads,
            ops=NAMED_OPS[ops.value],
            kv_dtype=kv_cache.value,
            progress=progress,
        )


def load_tokenizer_of(model: str, tokenizer: Path | None) -> Any:
    from ..checkpoints.loading import open_model
    from ..tokenizers import load_tokenizer

    if tokenizer is not None and tokenizer.suffix != ".bin":
        return load_tokenizer(tokenizer)
    with download_bar() as progress:
        _, own = open_model(model, tokenizer, progress=progress)
    if own is None:
        raise ValueError(f"{model} carries no tokenizer: give --tokenizer FILE")
    return own
