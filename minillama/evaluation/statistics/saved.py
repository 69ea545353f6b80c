"""Scores of items as a run has saved them: `samples_TASK_TIME.jsonl`, minillama's or lm-evaluation-harness's.

A line is an item under a filter: `doc_hash`, `metrics` (names) and a key for each of them. What is compared is matched
by the hash of the document, so that another order or another `--limit` does no harm; where a benchmark has a document
twice, the first is matched with the first. Prompts stay on disk until somebody asks for one: `line_at`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

_NAME = re.compile(r"samples_(?P<task>.+?)(_(?P<time>\d{4}-\d\d-\d\dT[\d:.\-]+))?\.jsonl")

PAIRS = ("word_perplexity", "byte_perplexity", "bits_per_byte")
"""Metrics that are a pair for each item: its log-likelihood, and its words or bytes."""

Key = tuple[str, int]
"""A document's hash, and how often it came before."""


class Place(NamedTuple):
    """Where an item's line is."""

    doc_id: int
    offset: int


@dataclass
class SavedTask:
    """The items of one task.

    Attributes
    ----------
    name : str
    path : Path
    scores : dict of str to dict of Key to value
        By "metric,filter": a number, or a pair of numbers for perplexities.
    places : dict of Key to Place
    prompts : dict of Key to str
        Hashes of what was asked.
    filtered : dict of (Key, str) to int
        Where the item's lines under further filters begin.
    n_unscored : int
        Lines with a metric that is not one number an item; those scores are left out.
    """

    name: str
    path: Path
    scores: dict[str, dict[Key, Any]] = field(default_factory=dict)
    places: dict[Key, Place] = field(default_factory=dict)
    prompts: dict[Key, str] = field(default_factory=dict)
    filtered: dict[tuple[Key, str], int] = field(default_factory=dict)
    n_unscored: int = 0


@dataclass(frozen=True)
class SavedRun:
    """All tasks of a run.

    Attributes
    ----------
    path : Path
    tasks : dict of str to SavedTask
    lower_is_better : set of (task, metric)
        As its results file says.
    groups : dict of str to list of str
        The tasks of each group, as its results file says; groups in groups are opened.
    """

    path: Path
    tasks: Mapping[str, SavedTask]
    lower_is_better: frozenset[tuple[str, str]] = frozenset()
    groups: Mapping[str, list[str]] = field(default_factory=dict)


def read_run(path: Path) -> SavedRun:
    """Read a folder of results, the newest file of each task, or one samples_*.jsonl file.

    Raises
    ------
    ValueError
        Nothing is there, or the folder holds several models' results, or a line is not what the schema says.
    """
    if path.is_file():
        task = read_task(path)
        return SavedRun(path, {task.name: task}, _lower(_results(path.parent)))
    if not path.is_dir():
        raise ValueError(f"{path} is neither a folder of results nor a samples_*.jsonl file")
    files = [file for file in sorted(path.rglob("samples_*.jsonl")) if _NAME.fullmatch(file.name)]
    folders = sorted({file.parent for file in files})
    if not files:
        raise ValueError(f"{path} has no samples_*.jsonl (lm_eval writes them with --log_samples)")
    if len(folders) > 1:
        names = ", ".join(str(folder) for folder in folders[:5])
        raise ValueError(f"{path} holds the results of {len(folders)} runs, name one of them: {names}")
    newest = {_split_name(file)[0]: file for file in sorted(files, key=lambda file: _split_name(file)[1])}
    tasks = {name: read_task(file) for name, file in sorted(newest.items())}
    results = _results(folders[0])
    return SavedRun(path, tasks, _lower(results), _groups(results))


def read_task(path: Path) -> SavedTask:
    """Read one samples file."""
    task = SavedTask(_split_name(path)[0], path)
    seen: dict[tuple[str, str], int] = {}
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                _add(task, _object(line, path, number), offset, seen, f"{path}, line {number}")
            offset += len(line)
    return task


def line_at(task: SavedTask, key: Key, metric: str = "") -> dict[str, Any]:
    """The whole line of an item, its document and prompts with it: that of the filter of a "metric,filter"."""
    with task.path.open("rb") as file:
        file.seek(task.filtered.get((key, metric.partition(",")[2]), task.places[key].offset))
        return json.loads(file.readline())


def prompt_of(line: Mapping[str, Any]) -> str:
    """The first text that an item's line says was asked."""
    arguments = line.get("arguments")
    first = arguments.get("gen_args_0", {}) if isinstance(arguments, dict) else {}
    return str(first.get("arg_0", "")) if isinstance(first, dict) else ""


def answer_of(line: Mapping[str, Any]) -> str | None:
    """What the model wrote, after filters; None where it had options to choose from."""
    answers = line.get("filtered_resps")
    first = answers[0] if isinstance(answers, list) and answers else answers
    return first if isinstance(first, str) else None


def _split_name(path: Path) -> tuple[str, str]:
    """The task and the time in a file's name."""
    found = _NAME.fullmatch(path.name)
    return (found["task"], found["time"] or "") if found else (path.stem, "")


def _object(line: bytes, path: Path, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {number} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}, line {number}: expected an object, found {type(found).__name__}")
    return found


def _add(task: SavedTask, line: dict[str, Any], offset: int, seen: dict[tuple[str, str], int], where: str) -> None:
    doc_hash, names, filter_ = line.get("doc_hash"), line.get("metrics"), line.get("filter", "none")
    if not isinstance(doc_hash, str) or not isinstance(names, list):
        raise ValueError(f"{where}: expected doc_hash and metrics, as lm-evaluation-harness 0.4 writes them")
    occurrence = seen.get((doc_hash, str(filter_)), 0)
    seen[doc_hash, str(filter_)] = occurrence + 1
    key = (doc_hash, occurrence)
    doc_id = line.get("doc_id")
    if key in task.places:
        task.filtered[key, str(filter_)] = offset
    task.places.setdefault(key, Place(doc_id if isinstance(doc_id, int) else -1, offset))
    task.prompts.setdefault(key, str(line.get("prompt_hash", "")))
    values = {f"{name},{filter_}": _value(name, line.get(name)) for name in names if isinstance(name, str)}
    task.n_unscored += any(value is None for value in values.values())
    for metric, value in values.items():
        if value is not None:
            task.scores.setdefault(metric, {})[key] = value


def _value(name: str, value: Any) -> Any:
    """A finite number, or for perplexities a pair of them; None for what cannot be compared item by item (F1's)."""
    if name not in PAIRS:
        return float(value) if isinstance(value, bool | int | float) and math.isfinite(value) else None
    is_pair = isinstance(value, list) and len(value) == 2 and all(isinstance(one, int | float) for one in value)
    return tuple(map(float, value)) if is_pair and all(map(math.isfinite, value)) and value[1] > 0 else None


def _results(folder: Path) -> dict[str, Any]:
    """The newest results file that can be read; without one, names alone must do."""
    for file in sorted(folder.glob("results_*.json"), reverse=True):
        try:
            found = json.loads(file.read_bytes())
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    return {}


def _lower(results: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The metrics of which it says that lower is better."""
    tasks = _dictionary(results.get("higher_is_better"))
    return frozenset((t, m) for t, metrics in tasks.items() for m, up in _dictionary(metrics).items() if up is False)


def _groups(results: Mapping[str, Any]) -> dict[str, list[str]]:
    members = {name: found for name, found in _dictionary(results.get("group_subtasks")).items() if found}

    def opened(name: str, above: frozenset[str]) -> list[str]:
        inside = members.get(name)
        if not isinstance(inside, list) or name in above:
            return [name]
        return [task for one in inside if isinstance(one, str) for task in opened(one, above | {name})]

    return {name: list(dict.fromkeys(opened(name, frozenset()))) for name in members}


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
