"""Where stories come from: the base model's own samples, which need nothing but what ships, or a file.

A base model ends a story with the token that begins the next one. Samples that do not come to it, that repeat
themselves, or whose words no other sample has (a small model makes words up), are left out or lose those sentences.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from ...data.documents import read_texts, text_files
from ...inference.batch import Batch
from ...inference.sampling import Sampling
from ..models import ChatModel
from ..rollouts.sampling import seed_of
from . import vocabulary
from .sentences import is_finished, repetition, sentences, words

OPENING = "Once upon a time"
_MOST_REPEATED = 0.15  # of the 4-grams of a sample


def sampled_stories(
    model: ChatModel,
    n: int,
    *,
    seed: int = 0,
    temperature: float = 0.9,
    max_tokens: int = 400,
    max_rows: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Those of `n` stories of a *base* model that come to an end: every other one is begun with "Once upon a time".

    Parameters
    ----------
    seed : int
        Story i is drawn from a generator of this seed and i alone.
    progress : callable, optional
        Told (stories done, stories in all).
    """
    tokenizer = model.tokenizer
    if tokenizer.bos_id is None:
        raise ValueError("stories are sampled after the token that begins a text, and this tokenizer has none")
    batch = Batch(
        model.runner(),
        Sampling(temperature=temperature),
        max_tokens=max_tokens,
        stop_ids=model.stop_ids | {tokenizer.bos_id},
        n_ids=tokenizer.vocab_size,
        max_rows=max_rows,
    )
    starts = [[tokenizer.bos_id], tokenizer.encode(OPENING, bos=True)]
    rows = batch.add([starts[i % 2] for i in range(n)], [seed_of(seed, "story", i) for i in range(n)])
    n_done = 0
    while batch:
        n_done += len(batch.step())
        if progress is not None:
            progress(n_done, n)
    ended = [row for row in rows if row.finish_reason == "stop"]
    return [tokenizer.decode([*row.prompt[1:], *row.ids]).strip() for row in ended]


def cleaned(texts: Sequence[str]) -> list[str]:
    """Those that end and do not repeat themselves, without the sentences that have a word of no other text."""
    ended = [text for text in texts if is_finished(text) and repetition(text) <= _MOST_REPEATED]
    counts = Counter(word for text in ended for word in set(words(text)))
    known = {word for word, n in counts.items() if n > 1} | _listed()
    kept = []
    for text in ended:
        parts = sentences(text)
        whole = [all(word in known for word in words(part)) for part in parts]
        if whole and whole[0] and whole[-1]:
            kept.append(" ".join(part for part, is_whole in zip(parts, whole) if is_whole))
    return kept


def _listed() -> set[str]:
    """Words that this package knows, in small letters."""
    listed = {*vocabulary.living(), *vocabulary.things(), *vocabulary.happy_words()}
    listed |= {name.lower() for name in vocabulary.names()}
    return listed | {form for word in vocabulary.request_words() for form in vocabulary.forms(word)}


def read_stories(path: str | os.PathLike[str]) -> list[str]:
    """The texts of a file: .txt with "<|endoftext|>" between stories, or .jsonl with a text in each line.

    Raises
    ------
    ValueError
        When a place in the file cannot be read, or there is no story in it.
    """
    found = [text.strip() for text in read_texts(text_files([Path(path)]))]
    if not found:
        raise ValueError(f"{os.fspath(path)} has no story in it: a .txt file has <|endoftext|> between stories")
    return found
