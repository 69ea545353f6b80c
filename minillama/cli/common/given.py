"""What is made of the options that `generate`, `chat` and others share: texts, sampling, models.

Nothing here imports what reads the options: `generate` has a quicker way in (quick.py).
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .output import download_bar, note
from .streams import is_terminal, read_stdin

if TYPE_CHECKING:
    from ...llm import LLM

DEFAULT_MODEL = "smollm2-135m-instruct"
STORY_TELLER = "stories3M"  # ships inside the package: no network
CHAT_INSIDE = "stories3M-chat"  # likewise


def checked_limit(value: int | None) -> int | None:
    from ...inference.arguments import token_limit

    return token_limit(value)


def checked_seed(value: int | None) -> int | None:
    from ...inference.arguments import random_seed

    return random_seed(value)


def checked_stops(value: list[str] | None) -> list[str] | None:
    from ...inference.arguments import stop_strings

    return list(stop_strings(value))


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
    with _nothing_to_collect():
        from ...inference.sampling import Sampling

    return Sampling(
        temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=repetition_penalty
    )


def load_llm(model: str, tokenizer: Path | None, threads: int | None, ops: str, kv_cache: str) -> LLM:
    with _nothing_to_collect():
        from ...llm import load
        from ...ops import NAMED_OPS

        with download_bar() as progress:
            return load(
                model,
                tokenizer=tokenizer,
                threads=threads,
                ops=NAMED_OPS[ops],
                kv_dtype=kv_cache,
                progress=progress,
            )


def load_chat_llm(model: str | None, tokenizer: Path | None, *options: Any) -> LLM:
    """The chat model that was named. Without a name the default one, or where that cannot be had the one inside.

    Parameters
    ----------
    model : str or None
    tokenizer : Path or None
        One of the user's own belongs to the default model: the one inside does not take its place then.
    options
        The others of `load_llm`.

    Raises
    ------
    DownloadError
        When the model that was named cannot be fetched.
    """
    from ...checkpoints.hub.downloads import DownloadError
    from ...checkpoints.hub.models import locate
    from ...files.home import HomeError

    if model is not None:
        return load_llm(model, tokenizer, *options)
    try:
        return load_llm(DEFAULT_MODEL, tokenizer, *options)
    except (DownloadError, HomeError) as error:
        if locate(CHAT_INSIDE) is None or tokenizer is not None:
            raise
        why = str(error).partition("\n")[0].rstrip(".: ")
    note(
        f"{CHAT_INSIDE} answers, the small model inside that knows children's stories alone: {DEFAULT_MODEL} is not on "
        f"this machine ({why}); minillama pull {DEFAULT_MODEL} fetches it, -m {CHAT_INSIDE} asks for this one at once"
    )
    return load_llm(CHAT_INSIDE, None, *options)


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Without Python's search for garbage: of what is imported and loaded all stays, and it would look often."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()  # later searches need not look at it either
            gc.enable()


def load_tokenizer_of(model: str, tokenizer: Path | None) -> Any:
    from ...checkpoints.loading import open_model
    from ...tokenizers import load_tokenizer

    if tokenizer is not None and tokenizer.suffix != ".bin":
        return load_tokenizer(tokenizer)
    with download_bar() as progress:
        _, own = open_model(model, tokenizer, progress=progress)
    if own is None:
        raise ValueError(f"{model} carries no tokenizer: give --tokenizer FILE")
    return own
