"""The settings that a step was made with, as its marker keeps them, and what recipe.toml says now.

recipe.toml may be edited while a run waits: a later stage gets more steps, another rate. What is over stays as it is,
so that it is said; and a run cannot go on from another seed, base model, chat format, world or preset than it has.
Markers without settings, of older runs, say nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ....training.settings_toml import SettingsError
from .files import HARMLESS
from .tables import RecipeSettings

_FIXED = tuple(f"[recipe] {name}:" for name in ("preset", "model", "chat", "world", "seed"))
_NAMED = 3  # steps of one change; the others are counted


def made_with(settings: RecipeSettings, step: str) -> dict[str, dict[str, Any]]:
    """What the marker of a step keeps: what all stages share, and the table of its own stage."""
    tables = {"recipe": settings.recipe, **{table: getattr(settings, table) for table in _tables_of(step)}}
    return {
        name: {key: value for key, value in asdict(table).items() if f"{name}.{key}" not in HARMLESS}
        for name, table in tables.items()
    }


def changed_since(made: Mapping[str, Mapping[str, Any]], settings: RecipeSettings) -> str:
    """A sentence about steps that were made with other settings than those of now; "" where there are none.

    Parameters
    ----------
    made : mapping
        What the markers of the steps that are over keep, by what messages call the steps.

    Raises
    ------
    SettingsError
        Where what may not change did.
    """
    concerned: dict[str, list[str]] = {}
    for step, kept in made.items():
        for change in _changes(kept, settings):
            concerned.setdefault(change, []).append(step)
    said = [f"{change} ({_some(steps)})" for change, steps in concerned.items()]
    if fixed := [one for one in said if one.startswith(_FIXED)]:
        raise SettingsError(f"these settings were changed after steps were made with them: {'; '.join(fixed)}")
    return f"settings were changed after steps were made with them: {'; '.join(said)}" if said else ""


def _tables_of(step: str) -> tuple[str, ...]:
    """The tables of a step's stage, by its name: "reward-safety-2" is of [reward]."""
    stages = {"pairs": "preferences", "judge": "reward", "own-answers": "verified", "lists": "ghost_attention"}
    stages |= {table.replace("_", "-"): table for table in RecipeSettings.__dataclass_fields__}
    return tuple(table for stage, table in stages.items() if step == stage or step.startswith(f"{stage}-"))


def _changes(kept: Mapping[str, Any], settings: RecipeSettings) -> list[str]:
    """Each in a few words; a setting that the one or the other does not know is of another version."""
    now, found = json.loads(json.dumps(asdict(settings))), []  # with lists, as they come back
    for table, values in kept.items():
        for key, value in values.items() if isinstance(values, dict) else ():
            if key in now.get(table, {}) and now[table][key] != value:
                found.append(f"[{table}] {key}: {value!r} before, {now[table][key]!r} now")
    return found


def _some(steps: list[str]) -> str:
    more = f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""
    return ", ".join(steps[:_NAMED]) + more
