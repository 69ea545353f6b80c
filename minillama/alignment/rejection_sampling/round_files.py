"""The files of a round: each is whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from ..models import Prompt

SETTINGS, TEMPERATURES, PROMPTS = "settings.json", "temperatures.json", "prompts.jsonl"
CANDIDATES, POOL = "candidates.jsonl", "pool.jsonl"


def folder_of(folder: Path, number: int) -> Path:
    """Where a round's files are."""
    if number < 1:
        raise ValueError(f"rounds are counted from 1, got {number}")
    return folder / f"round-{number:02d}"


def write_json(path: Path, value: Any) -> None:
    """A file of one value."""
    with atomic_write(path) as file:
        file.write((json.dumps(value, indent=1) + "\n").encode())


def bind(here: Path, now: dict[str, Any]) -> None:
    """Note what a round is made from, or check that it is the same.

    Raises
    ------
    ValueError
        When it was begun with something else; the message says with what.
    """
    path = here / SETTINGS
    if not path.exists():
        write_json(path, now)
        return
    before = json.loads(path.read_bytes())
    if differing := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        raise ValueError(f"{here} was begun with other {', '.join(differing)}: give it those, or take another folder")


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """A line of JSON each."""
    with atomic_write(path) as file:
        for prompt in prompts:
            file.write((json.dumps(asdict(prompt), ensure_ascii=False) + "\n").encode(errors="backslashreplace"))


def read_prompts(path: Path) -> dict[str, Prompt]:
    """What `write_prompts` wrote, by their ids."""
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    return {row["id"]: Prompt(**row | {"dialogue": tuple(row["dialogue"])}) for row in rows}


def dialogue_of(prompt: Prompt) -> list[dict[str, str]]:
    """A dialogue as values that can be compared."""
    return [dict(message) for message in prompt.dialogue]


def digest_of_prompts(prompts: Sequence[Prompt]) -> str:
    """The same for the same prompts in the same order."""
    text = json.dumps([[prompt.id, dialogue_of(prompt), prompt.tagged] for prompt in prompts])
    return hashlib.sha256(text.encode()).hexdigest()
