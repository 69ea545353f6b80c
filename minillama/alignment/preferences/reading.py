"""Comparisons from files: Anthropic's hh-rlhf, and JSONL of our own, which gives back what was written.

    hh-rlhf    {"chosen": "\\n\\nHuman: …\\n\\nAssistant: …", "rejected": "…"}      .jsonl or .jsonl.gz
    our own    {"prompt": {"id", "dialogue", …}, "chosen": "…", "rejected": "…", "strength": 2, "chosen_safe": true, …}

hh-rlhf says nothing of strength and safety.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ...evaluation.preference.pairs import pair_of_chosen
from ...evaluation.preference.prompts import dialogue_of
from ...evaluation.preference.rows import Row, read_rows
from ...files.atomic import atomic_write
from ..models import Prompt
from .comparisons import Comparison


def read_hh_rlhf(path: str | Path, *, source: str | None = None, tagged: bool = False) -> list[Comparison]:
    """The comparisons of a file of Anthropic's hh-rlhf, in its order.

    Parameters
    ----------
    source : str, optional
        By default the file's name without its ending.
    tagged : bool
        Whether its prompts may elicit unsafe answers: those of harmless-base do.

    Raises
    ------
    ValueError
        With file and line, where a row is not of that layout, or its two dialogues differ before their last answers.
        OSError when the file cannot be read.
    """
    name = Path(path).name.split(".")[0] if source is None else source
    found = []
    for n, row in enumerate(read_rows(path)):
        dialogue, chosen, rejected = pair_of_chosen(row)
        prompt = Prompt(f"{name}-{n}", dialogue, tagged=tagged)
        found.append(Comparison(prompt, chosen, rejected, source=name))
    return found


def write_comparisons(path: str | Path, comparisons: Iterable[Comparison]) -> None:
    """One line of JSON each; the file is whole or is not there."""
    with atomic_write(Path(path)) as file:
        for comparison in comparisons:
            file.write((json.dumps(as_row(comparison), ensure_ascii=False) + "\n").encode("utf-8", "replace"))


def read_comparisons(path: str | Path) -> list[Comparison]:
    """What `write_comparisons` wrote.

    Raises
    ------
    ValueError
        With file and line, where a row is no comparison. OSError when the file cannot be read.
    """
    return [from_row(row) for row in read_rows(path)]


def as_row(comparison: Comparison) -> dict[str, Any]:
    """As it is kept: plain JSON, without what is not known."""
    row = {key: value for key, value in asdict(comparison).items() if value is not None}
    row["prompt"] = {key: value for key, value in row["prompt"].items() if value or key in ("id", "dialogue")}
    return row


_ALLOWED = {field.name for field in fields(Comparison)}


def from_row(row: Row) -> Comparison:
    """A comparison as `as_row` gave it."""
    values = dict(row.values)
    if unknown := values.keys() - _ALLOWED:
        row.fail(f"expected a comparison, with {', '.join(sorted(_ALLOWED))}; found {', '.join(sorted(unknown))}")
    answers: dict[str, Any] = {key: row.text(key) for key in ("chosen", "rejected")}
    answers |= {key: _ids(row, key) for key in ("chosen_ids", "rejected_ids") if values.get(key) is not None}
    answers |= {key: _flag(row, key) for key in ("chosen_safe", "rejected_safe") if values.get(key) is not None}
    strength = values.get("strength")
    if strength is not None and type(strength) is not int:
        row.fail(f"'strength' should be a whole number, 0 to 3, found {json.dumps(strength)[:40]}")
    prompt = _prompt_of(row)
    try:
        return Comparison(prompt, strength=strength, source=str(values.get("source", "")), **answers)
    except ValueError as error:
        row.fail(str(error))


def _prompt_of(row: Row) -> Prompt:
    value = row.values.get("prompt")
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        row.fail("'prompt' should be an object with an id and a dialogue")
    facts = value.get("facts", {})
    if not isinstance(facts, dict):
        row.fail("'facts' of the prompt should be an object")
    try:
        dialogue = dialogue_of(value.get("dialogue"))
    except ValueError as error:
        row.fail(str(error))
    if dialogue[-1]["role"] != "user":
        row.fail(f"the dialogue should end with a message of the user, found one of the {dialogue[-1]['role']}")
    return Prompt(value["id"], dialogue, str(value.get("kind", "")), bool(value.get("tagged", False)), facts)


def _ids(row: Row, key: str) -> tuple[int, ...]:
    value = row.values[key]
    if not isinstance(value, list) or not all(type(i) is int and i >= 0 for i in value):
        row.fail(f"{key!r} should be a list of ids")
    return tuple(value)


def _flag(row: Row, key: str) -> bool:
    value = row.values[key]
    if not isinstance(value, bool):
        row.fail(f"{key!r} should be true or false, found {json.dumps(value)[:40]}")
    return value
