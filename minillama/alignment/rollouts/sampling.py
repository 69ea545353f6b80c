"""K answers to each prompt, many at a time: the same for the same seed, whatever else is sampled beside them."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ...inference.batch import Batch, BatchRow
from ...inference.runner import Runner
from ...inference.sampling import Sampling
from ..models import ChatModel, Prompt
from .answers import Answer, Key, kept_answers, key_of


def sample_answers(
    model: ChatModel,
    prompts: Sequence[Prompt],
    *,
    k: int = 1,
    temperature: float = 0.9,
    top_p: float = 1.0,
    seed: int = 0,
    max_tokens: int = 160,
    max_rows: int = 64,
    progress: Callable[[int, int], None] | None = None,
    journal: str | os.PathLike[str] | None = None,
    kv_dtype: DTypeLike = np.float16,
) -> list[list[Answer]]:
    """`k` answers to every prompt.

    Parameters
    ----------
    seed : int
        Answer `k` to a prompt is drawn from a generator of this seed, the prompt's id and `k` alone.
    max_rows : int
        Answers under way at once.
    progress : callable, optional
        Told (answers done, answers in all).
    journal : path, optional
        A file that every answer is written to as it ends; those that it has are not sampled again. A call that goes
        on where another was stopped, or asks for more prompts or a larger `k`, gives the answers that one call gives.
    kv_dtype : numpy dtype
        Of keys and values. In float16 64 answers at once are a tenth faster than in float32: their keys do not fit
        into a CPU's caches. It rounds them to 11 bits; what learning needs of probabilities does not come from here
        (logprobs.py). A model with larger numbers than float16 holds says so, with CacheOverflowError.

    Returns
    -------
    list of list of Answer
        In the order of the prompts.

    Raises
    ------
    ValueError
        When a prompt leaves no room for an answer, or the journal has answers of other weights or settings.
        LockedError, one of them, when another process writes to it.
    """
    sampling = Sampling(temperature=temperature, top_p=top_p)
    encoded = [_encoded(model, prompt) for prompt in prompts]
    keys = [[key_of(prompt.id, ids, n) for n in range(k)] for prompt, ids in zip(prompts, encoded)]
    settings: dict[str, Any] = {}
    if journal is not None:
        settings = _settings(model, sampling) | {"seed": seed, "max_tokens": max_tokens, "kv": np.dtype(kv_dtype).name}
    with kept_answers(None if journal is None else Path(journal), settings) as kept:
        wanted = {key: ids for row, ids in zip(keys, encoded) for key in row}
        missing = {key: ids for key, ids in wanted.items() if key not in kept}
        n_done = len(wanted) - len(missing)
        if missing:
            runner = model.runner()
            batch = _batch(model, runner, sampling, max_tokens, max_rows, kv_dtype)
            for key, row in _ended(batch, missing, seed):
                kept.add(key, _what_is_kept(model, row))
                n_done += 1
                if progress is not None:
                    progress(n_done, len(wanted))
        return [[kept.answer(key, ids) for key in row] for row, ids in zip(keys, encoded)]


def _encoded(model: ChatModel, prompt: Prompt) -> list[int]:
    ids, room = model.encode(prompt.dialogue), model.config.max_seq_len
    if len(ids) >= room:
        raise ValueError(
            f"the prompt {prompt.id} has {len(ids)} tokens and the context {room}: no room is left for an answer; "
            "leave it out, or load the model with a larger max_seq_len"
        )
    return ids


def _settings(model: ChatModel, sampling: Sampling) -> dict[str, Any]:
    return {
        "weights": model.digest,
        "chat": getattr(model.chat, "name", type(model.chat).__name__),
        "context": model.config.max_seq_len,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }


def _batch(
    model: ChatModel, runner: Runner, sampling: Sampling, max_tokens: int, max_rows: int, kv_dtype: DTypeLike
) -> Batch:
    return Batch(
        runner,
        sampling,
        max_tokens=max_tokens,
        stop_ids=model.stop_ids,
        n_ids=model.tokenizer.vocab_size,
        keep_stop=True,
        kv_dtype=kv_dtype,
        max_rows=max_rows,
        share_beginnings=runner.rows_alone,
    )


def _ended(batch: Batch, missing: dict[Key, list[int]], seed: int) -> Iterator[tuple[Key, BatchRow]]:
    """Answers in the order in which they end."""
    seeds = [seed_of(seed, prompt_id, n) for prompt_id, _, n in missing]
    owners = {id(row): (key, row) for key, row in zip(missing, batch.add(list(missing.values()), seeds))}
    if not batch:  # nothing was to be drawn
        yield from owners.values()
    while batch:
        for row in batch.step():
            yield owners[id(row)]


def _what_is_kept(model: ChatModel, row: BatchRow) -> dict[str, Any]:
    kept: dict[str, Any] = {"ids": row.ids, "ended": row.finish_reason == "stop", "text": model.text_of(row.ids)}
    return kept | ({"context_full": True} if row.finish_reason == "context" else {})


def seed_of(seed: int, name: str, k: int = 0) -> int:
    """A seed for the draws that belong to a name."""
    return (seed << 40) ^ (zlib.crc32(name.encode()) << 8) ^ k
