"""Answers that a step kept, as a file: what later steps replay, so that nothing is forgotten; and how much of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...conversations import Example, answers_learned, conversation_of
from ...models import ChatModel, Prompt

KEPT = "kept.jsonl"


class Kept(NamedTuple):
    """A request and the answer that was kept."""

    prompt: Prompt
    answer: str


def write_kept(path: Path, kept: Iterable[Kept]) -> None:
    """One line of JSON each."""
    with path.open("w", encoding="utf-8") as file:
        for prompt, answer in kept:
            file.write(json.dumps({"prompt": asdict(prompt), "answer": answer}, ensure_ascii=False) + "\n")


def read_kept(folder: Path, name: str = KEPT) -> list[Kept]:
    """What a step kept in its folder."""
    rows = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
    return [
        Kept(Prompt(**{**row["prompt"], "dialogue": tuple(row["prompt"]["dialogue"])}), row["answer"]) for row in rows
    ]


def alike(model: ChatModel, prompt: Prompt, answer: str) -> Example:
    """An answer of which every token counts alike."""
    said = [*prompt.dialogue, {"role": "assistant", "content": answer}]
    return answers_learned(conversation_of(said, model.chat, model.tokenizer))


def replayed(kept: Sequence[Kept], example: Callable[[Prompt, str], Example]) -> dict[str, list[Example]]:
    """The same as examples, by the kind of the request."""
    found: dict[str, list[Example]] = {}
    for one in kept:
        found.setdefault(one.prompt.kind, []).append(example(one.prompt, one.answer))
    return found


def there(shares: Mapping[str, float], pool: Mapping[str, list[Example]], factor: float) -> dict[str, float]:
    """Shares of the kinds that the pool has, times a factor."""
    return {kind: share * factor for kind, share in shares.items() if pool.get(kind)}


def drawn(pool: Mapping[str, list[Example]], shares: Mapping[str, float], n: int, seed: int) -> list[Example]:
    """About `n` examples, each kind with its share; fewer where a kind has fewer."""
    total = sum(share for kind, share in shares.items() if pool.get(kind))
    found: list[Example] = []
    for number, (kind, share) in enumerate(shares.items()):
        if some := pool.get(kind):
            order = np.random.default_rng([seed, number]).permutation(len(some))
            found += [some[i] for i in order[: round(n * share / total)]]
    return found
