"""Answers that a step kept, as a file: what later steps replay, so that nothing is forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from ...models import Prompt
from ...rollouts import Answer

KEPT = "kept.jsonl"


class Kept(NamedTuple):
    """A request and the answer that was kept."""

    prompt: Prompt
    answer: Answer


def write_kept(path: Path, kept: Iterable[Kept]) -> None:
    """One line of JSON each."""
    with path.open("w", encoding="utf-8") as file:
        for prompt, answer in kept:
            file.write(json.dumps({"prompt": asdict(prompt), "answer": asdict(answer)}, ensure_ascii=False) + "\n")


def read_kept(folder: Path) -> list[Kept]:
    """What a step kept in its folder."""
    lines = (folder / KEPT).read_text(encoding="utf-8").splitlines()
    return [_kept(json.loads(line)) for line in lines]


def _kept(row: dict[str, dict[str, object]]) -> Kept:
    prompt, answer = dict(row["prompt"]), dict(row["answer"])
    prompt["dialogue"] = tuple(prompt["dialogue"])  # type: ignore[arg-type]
    answer |= {key: tuple(answer[key]) for key in ("prompt", "ids")}  # type: ignore[arg-type]
    return Kept(Prompt(**prompt), Answer(**answer))  # type: ignore[arg-type]


def by_kind(kept: Sequence[Kept]) -> dict[str, list[Kept]]:
    """The same, by the kind of the request."""
    found: dict[str, list[Kept]] = {}
    for one in kept:
        found.setdefault(one.prompt.kind, []).append(one)
    return found
