"""Training settings from and to TOML, with errors that name the key and what is possible."""

from __future__ import annotations

import dataclasses
import json
import math
import operator
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..checkpoints.hub.registry import find_known
from ..config import NAMED_CONFIGS
from ..files.home import without_tilde
from ..files.suggestions import did_you_mean
from ..files.text import decode_text
from .presets import Preset, preset
from .settings import MODEL_FIELDS, TABLES, SourceSettings, TrainSettings

_KINDS = {
    "integer": "an integer",
    "number": "a number",
    "switch": "true or false",
    "text": "a text",
    "texts": "a list of texts",
    "path": "a path as a text",
    "checkpoint": "a path or the name of a known model as a text",
    "sources": 'a list such as [{ path = "shards/stories", weight = 1.0 }]',
}
_MODEL_KINDS = {"int": "integer", "float": "number", "bool": "switch"}
_TESTS = {"at least": operator.ge, "above": operator.gt, "at most": operator.le, "below": operator.lt}
_MAX_BYTES = 1 << 20


class SettingsError(ValueError):
    """A settings file cannot be used; the message names the file, the key and what is possible."""


def read_settings(path: str | os.PathLike[str], base: Mapping[str, Any] | None = None) -> TrainSettings:
    """Read a TOML file; relative paths in it start at its folder.

    Parameters
    ----------
    path : path-like
    base : mapping, optional
        Tables of a preset, for what the file does not say. A line `preset = "NAME"` at the top of the file does
        the same.

    Raises
    ------
    SettingsError
        For a file that is not TOML, an unknown key, a wrong type or an impossible value.
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > _MAX_BYTES:
        raise SettingsError(f"{path} has {len(raw)} bytes; settings take at most {_MAX_BYTES}")
    try:
        tables = tomllib.loads(decode_text(raw))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    return parse_settings(tables, str(path), path.parent, base)


def parse_settings(
    tables: Mapping[str, Any], where: str, folder: Path, base: Mapping[str, Any] | None = None
) -> TrainSettings:
    """Settings from tables as `tomllib` gives them; `where` names them in errors."""
    tables = dict(tables)
    name = tables.pop("preset", None)
    if name is not None:
        if not isinstance(name, str):
            raise SettingsError(f"{where}: preset: expected a text, found {_shown(name)}")
        base = preset(name).tables
    for table, content in tables.items():
        if table not in ("model", *TABLES):
            raise SettingsError(f"{where}: {_unknown(table, ['preset', 'model', *TABLES], 'table')}")
        if not isinstance(content, dict):
            raise SettingsError(f"{where}: [{table}]: expected a table, found {_shown(content)}")
    merged = {table: {**(base or {}).get(table, {}), **tables.get(table, {})} for table in ("model", *TABLES)}
    if "size" in tables.get("model", {}):
        merged["model"] = dict(tables["model"])  # another size: the preset's numbers are not its
    parsed = {table: _parse_table(table, kind, merged[table], where, folder) for table, kind in TABLES.items()}
    model = _parse_model(merged["model"], where)
    if not model and parsed["run"].init_from is None:
        raise SettingsError(
            f'{where}: [model] is missing: give size = "stories260K" or dim, n_layers, n_heads …, '
            "or [run] init_from, a model to start from"
        )
    settings = TrainSettings(model=model, **parsed)
    data = settings.data
    if data.micro_batches > data.batch_size:
        raise SettingsError(
            f"{where}: [data] micro_batches: expected at most batch_size, {data.batch_size}; found {data.micro_batches}"
        )
    return settings


def _parse_model(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        at = f"{where}: [model] {key}"
        if key == "size":
            known = {name.lower(): name for name in NAMED_CONFIGS}
            if not isinstance(value, str) or value.lower() not in known:
                raise SettingsError(f"{at}: expected one of {', '.join(NAMED_CONFIGS)}, found {_shown(value)}")
            found[key] = known[value.lower()]
        elif key in MODEL_FIELDS:
            kind = _MODEL_KINDS[MODEL_FIELDS[key]]
            # 0 would stand for "derive it"; ModelConfig itself checks the upper limits
            found[key] = _parse(kind, value, {} if kind == "switch" else {"above": 0}, at, Path())
        else:
            raise SettingsError(f"{where}: [model] {_unknown(key, ['size', *MODEL_FIELDS])}")
    return found


def _parse_table(table: str, kind: Any, values: Mapping[str, Any], where: str, folder: Path) -> Any:
    known = {f.name: f for f in fields(kind)}
    found = {}
    for key, value in values.items():
        if key not in known:
            raise SettingsError(f"{where}: [{table}] {_unknown(key, known)}")
        rule = known[key].metadata
        found[key] = _parse(rule["kind"], value, rule["limits"], f"{where}: [{table}] {key}", folder)
    for name, f in known.items():
        if name not in found and f.default is dataclasses.MISSING:
            raise SettingsError(f"{where}: [{table}] {name} is missing: {_KINDS[f.metadata['kind']]}")
    return kind(**found)


def _parse(kind: str, value: Any, limits: Mapping[str, float], at: str, folder: Path) -> Any:
    """One value of a `kind`, within `limits`."""
    wrong = SettingsError(f"{at}: expected {_expected(kind, limits)}, found {_shown(value)}")
    if kind == "sources":
        return _parse_sources(value, at, folder, wrong)
    if kind == "texts":
        if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
            raise wrong
        return tuple(value)
    if kind in ("text", "path", "checkpoint"):
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise wrong
        path = folder / without_tilde(value)
        is_name = kind == "checkpoint" and not path.exists() and find_known(value) is not None
        return value if kind == "text" or is_name else path
    if kind == "switch":
        if not isinstance(value, bool):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, int if kind == "integer" else int | float):
        raise wrong
    if isinstance(value, float) and not math.isfinite(value):
        raise wrong
    if not all(_TESTS[name](value, limit) for name, limit in limits.items()):
        raise wrong
    return float(value) if kind == "number" else value


def _parse_sources(value: Any, at: str, folder: Path, wrong: SettingsError) -> tuple[SourceSettings, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise wrong
    sources = []
    for i, entry in enumerate(value):
        here = f"{at}[{i}]"
        if isinstance(entry, str):
            entry = {"path": entry}
        if not isinstance(entry, dict):
            raise wrong
        if unknown := [key for key in entry if key not in ("path", "weight", "name")]:
            raise SettingsError(f"{here} {_unknown(unknown[0], ['path', 'weight', 'name'])}")
        path = _parse("path", entry.get("path"), {}, f"{here} path", folder)
        weight = _parse("number", entry.get("weight", 1.0), {"above": 0, "at most": 1e9}, f"{here} weight", folder)
        name = _parse("text", entry["name"], {}, f"{here} name", folder) if "name" in entry else ""
        sources.append(SourceSettings(path, weight, name))
    return tuple(sources)


def _expected(kind: str, limits: Mapping[str, float]) -> str:
    ranges = " and ".join(f"{name} {limit:g}" for name, limit in limits.items())
    return f"{_KINDS[kind]} {ranges}".rstrip()


def _unknown(key: str, known: Iterable[str], what: str = "setting") -> str:
    names = list(known)
    return f"{key[:60]} is not a {what}: {did_you_mean(key, names)}possible: {', '.join(names)}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "a table" if isinstance(value, dict) else f"a list of {len(value)}"
    text = "nothing" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


# --- writing ---------------------------------------------------------------------------


def format_settings(settings: TrainSettings, relative_to: Path | None = None) -> str:
    """The settings as TOML that `read_settings` gives back; paths relative to a folder if one is given."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return _relative(value, relative_to)
        if isinstance(value, SourceSettings):
            named = {"name": value.name} if value.name else {}
            return {"path": _relative(value.path, relative_to), "weight": value.weight, **named}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    tables: dict[str, dict[str, Any]] = {"model": settings.model}
    for table, kind in TABLES.items():
        values = getattr(settings, table)
        tables[table] = {f.name: plain(getattr(values, f.name)) for f in fields(kind)}
    return format_tables(tables)


_COMMENTS = {
    "data": "sources and validation: folders of `minillama data tokens`; paths start at this file's folder.",
    "data.sources": "several sources are mixed by weight",
    "data.batch_size": "rows of an update",
    "data.micro_batches": "parts it is computed in, to save memory",
    "optimizer.clip_norm": "0: no clipping",
    "run.checkpoint_every": "every checkpoint is validated; the last and the best are kept",
}


def format_preset(preset: Preset) -> str:
    """A preset as a settings file to fill in: paths that must be given stand there as examples."""
    data = {
        "sources": [{"path": "data/train", "weight": 1.0}],
        "validation": "data/valid",
        "tokenizer": "data/tokenizer",
    }
    tables = {**preset.tables, "data": {**data, **preset.tables["data"]}}
    head = "".join(f"# {line}".rstrip() + "\n" for line in preset.about.splitlines())
    return f"{head}\n{format_tables(tables, _COMMENTS)}"


def format_tables(tables: Mapping[str, Mapping[str, Any]], comments: Mapping[str, str] | None = None) -> str:
    """Tables as TOML; `comments` gives remarks for "table" and "table.key". None is left out."""
    lines: list[str] = []
    for table, values in tables.items():
        remark = (comments or {}).get(table)
        lines += [*(f"# {line}" for line in (remark or "").splitlines()), f"[{table}]"]
        for key, value in values.items():
            if value is not None:
                note = (comments or {}).get(f"{table}.{key}")
                lines.append(f"{key} = {_toml(value)}" + (f"  # {note}" if note else ""))
        lines.append("")
    return "\n".join(lines)


def _relative(path: Path, folder: Path | None) -> str:
    if folder is None:
        return path.as_posix()
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.absolute().as_posix()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(item)}' for key, item in value.items())} }}"
    return repr(value)
