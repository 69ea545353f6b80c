"""Answers that a step kept, as a file: what later steps replay, so that nothing is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from ...conversations import Example
from ...models import ChatModel, Prompt
from ...story_world import Demonstration, Request, demonstration_of, example_of

KEPT = "kept.jsonl"


class Kept(NamedTuple):
    """A request and the answer that was kept."""

    prompt: Prompt
    answer: str

    @property
    def demonstration(self) -> Demonstration:
        """As something to learn from."""
        return demonstration_of(Request.of(self.prompt), self.answer)


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


def replayed(kept: Sequence[Kept], model: ChatModel) -> dict[str, list[Example]]:
    """The same as examples of which every token of the answer counts alike, by the kind of the request."""
    found: dict[str, list[Example]] = {}
    for one in kept:
        example = example_of(one.demonstration, model, word_weight=1.0, start_weight=1.0)
        found.setdefault(one.prompt.kind, []).append(example)
    return found
