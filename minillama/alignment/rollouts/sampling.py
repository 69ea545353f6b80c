"""K answers to each prompt, many at a time: the same for the same seed, whatever else is sampled beside them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...inference.batch import Batch, BatchRow
from ...inference.sampling import Sampling
from ..models import ChatModel, Prompt


@dataclass(frozen=True)
class Answer:
    """What a model answered.

    Attributes
    ----------
    prompt_id : str
    k : int
        Number of the answer among those to its prompt, from 0.
    prompt : tuple of int
        The ids before it.
    ids : tuple of int
        With the id that ends it, where the model came to it.
    text : str
    ended : bool
        Whether the model ended it, not the limit.
    """

    prompt_id: str
    k: int
    prompt: tuple[int, ...]
    ids: tuple[int, ...]
    text: str
    ended: bool


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

    Returns
    -------
    list of list of Answer
        In the order of the prompts.
    """
    batch = Batch(
        model.runner(),
        Sampling(temperature=temperature, top_p=top_p),
        max_tokens=max_tokens,
        stop_ids=model.stop_ids,
        n_ids=model.tokenizer.vocab_size,
        keep_stop=True,
        max_rows=max_rows,
    )
    encoded = [model.encode(prompt.dialogue) for prompt in prompts]
    rows = batch.add(
        [ids for ids in encoded for _ in range(k)],
        [seed_of(seed, prompt.id, n) for prompt in prompts for n in range(k)],
    )
    n_done = 0
    while batch:
        n_done += len(batch.step())
        if progress is not None:
            progress(n_done, len(rows))
    answers = [_answer(model, row, prompts[i // k].id, i % k) for i, row in enumerate(rows)]
    return [answers[i : i + k] for i in range(0, len(answers), k)]


def _answer(model: ChatModel, row: BatchRow, prompt_id: str, k: int) -> Answer:
    ended = row.finish_reason == "stop"
    return Answer(prompt_id, k, tuple(row.prompt), tuple(row.ids), model.text_of(row.ids), ended)


def seed_of(seed: int, name: str, k: int = 0) -> int:
    """A seed for the draws that belong to a name."""
    return (seed << 40) ^ (zlib.crc32(name.encode()) << 8) ^ k
