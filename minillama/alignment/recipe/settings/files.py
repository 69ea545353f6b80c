"""recipe.toml: written with remarks on what the paper leaves open, read strictly, and compared."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_type_hints

from ....files.suggestions import did_you_mean
from ....files.text import decode_text
from ....training.settings_toml import SettingsError, format_tables
from .tables import RecipeSettings

_TABLES = get_type_hints(RecipeSettings)
_KINDS = {
    str: "a text",
    int: "an integer of at least 0",
    float: "a number of at least 0",
    bool: "true or false",
    tuple[float, ...]: "a list of numbers",
    tuple[int, ...]: "a list of integers",
}
HARMLESS = {"recipe.threads"}
"""What may change when a run goes on: only the last digits follow."""


def format_recipe(settings: RecipeSettings, about: str = "", comments: Mapping[str, str] | None = None) -> str:
    """The settings as TOML that `read_recipe` gives back.

    Parameters
    ----------
    about : str
        Lines for the head of the file.
    comments : mapping, optional
        Remarks by "table.key".
    """
    tables = asdict(settings)
    head = "".join(f"# {line}".rstrip() + "\n" for line in about.splitlines())
    return f"{head}\n{format_tables(tables, comments)}" if head else format_tables(tables, comments)


def read_recipe(path: str | os.PathLike[str], base: RecipeSettings | None = None) -> RecipeSettings:
    """Settings from a file; what it does not say is as in `base`, or LLaMA 2's.

    Raises
    ------
    SettingsError
        For a file that is not TOML, an unknown key, a wrong type or an impossible value.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(decode_text(path.read_bytes()))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    base = base or RecipeSettings()
    found = {}
    for table, content in tables.items():
        if table not in _TABLES:
            raise SettingsError(f"{path}: {_unknown(table, 'table', list(_TABLES))}")
        if not isinstance(content, dict):
            raise SettingsError(f"{path}: [{table}]: expected a table, found {type(content).__name__}")
        found[table] = _table(getattr(base, table), content, f"{path}: [{table}]")
    return RecipeSettings(**{name: found.get(name, getattr(base, name)) for name in _TABLES})


def differences(before: RecipeSettings, now: RecipeSettings) -> list[str]:
    """What differs between two runs, each in a few words: "[ppo] beta: 0.01 before, 0.02 now"."""
    found = []
    for table in _TABLES:
        a, b = getattr(before, table), getattr(now, table)
        for f in fields(a):
            old, new = getattr(a, f.name), getattr(b, f.name)
            if old != new and f"{table}.{f.name}" not in HARMLESS:
                found.append(f"[{table}] {f.name}: {old!r} before, {new!r} now")
    return found


def _table(base: Any, content: Mapping[str, Any], where: str) -> Any:
    kinds = get_type_hints(type(base))
    values = {f.name: getattr(base, f.name) for f in fields(base)}
    for key, value in content.items():
        if key not in kinds:
            raise SettingsError(f"{where} {_unknown(key, 'setting', list(kinds))}")
        values[key] = _value(kinds[key], value, f"{where} {key}")
    return type(base)(**values)


def _value(kind: Any, value: Any, where: str) -> Any:
    wrong = SettingsError(f"{where}: expected {_KINDS[kind]}, found {value!r}"[:300])
    if kind in (tuple[float, ...], tuple[int, ...]):
        if not isinstance(value, list) or not value:
            raise wrong
        return tuple(_value(kind.__args__[0], item, where) for item in value)
    if kind in (str, bool):
        if not isinstance(value, kind):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, int if kind is int else int | float):
        raise wrong
    if not math.isfinite(value) or value < 0:
        raise wrong
    return kind(value)


def _unknown(key: str, what: str, known: list[str]) -> str:
    return f"{key[:60]} is not a {what}: {did_you_mean(key, known)}possible: {', '.join(known)}"
