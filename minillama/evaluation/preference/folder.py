"""The folder of a set of pairs: everything that was asked and said, and what it comes to.

    FOLDER/settings.json      seed, orders, whether safety is asked for
           pairs.jsonl        what is judged
           answers/*.jsonl    what models answered
           votes/*.jsonl      a file a rater
           results.json       everything that the report says, unrounded
           report.md, report.html

Pairs and settings stay as they are: other ones belong into another folder. Pairs may be added: another system's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from .pairs import Pair, pair_as_row, pair_from_row
from .report import as_html, as_markdown, report_blocks
from .results import Results, as_json, results_of
from .rows import read_rows
from .votes import VoteLog, checked_name, file_name, read_all_votes

_DEFAULTS = {"seed": 0, "orders": "both", "safety": False}


class PreferenceFolder:
    """A folder of pairs and votes.

    Parameters
    ----------
    path : path
        Made when something is written.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def votes(self) -> Path:
        return self.path / "votes"

    def answers(self, system: str) -> Path:
        """Where the answers of a system are kept."""
        return self.path / "answers" / f"{_file_stem(system)}.jsonl"

    def log(self, rater: str) -> VoteLog:
        """The votes of a rater, to be added to."""
        return VoteLog(self.votes, rater)

    def settings(self, **wanted: Any) -> dict[str, Any]:
        """The folder's settings, or those that are `wanted` where it has none yet; None is the default.

        Raises
        ------
        ValueError
            When the folder has others.
        """
        path, asked = self.path / "settings.json", {key: value for key, value in wanted.items() if value is not None}
        if unknown := asked.keys() - _DEFAULTS.keys():
            raise ValueError(f"there is no setting {', '.join(sorted(unknown))}; expected {', '.join(_DEFAULTS)}")
        if asked.get("orders", "both") not in ("both", "drawn"):
            raise ValueError(f'orders should be "both" or "drawn", got {asked["orders"]!r}')
        if not path.exists():
            return {**_DEFAULTS, **asked}
        kept = {**_DEFAULTS, **_read_object(path)}
        for key, value in asked.items():
            if kept[key] != value:
                raise ValueError(f"{path} has {key} = {kept[key]!r}, not {value!r}: take another folder for that")
        return kept

    def keep_settings(self, settings: dict[str, Any]) -> None:
        """Write what `settings` gave."""
        _write(self.path / "settings.json", json.dumps(settings, indent=2) + "\n")

    def read_pairs(self) -> list[Pair]:
        """The pairs that are kept.

        Raises
        ------
        ValueError
            When there are none, or one was edited.
        """
        path = self.path / "pairs.jsonl"
        if not path.is_file():
            raise ValueError(f"{self.path} has no pairs yet: give --prompts with --model or --answers, or --pairs")
        return [pair_from_row(row) for row in read_rows(path)]

    def keep_pairs(self, pairs: Sequence[Pair]) -> list[Pair]:
        """Keep pairs, and return them; those that are there already must be among them.

        Raises
        ------
        ValueError
            When the folder has a pair that is not given: its votes would belong to nothing. When one is given twice.
        """
        given = {pair.id: pair for pair in pairs}
        if not pairs or len(given) != len(pairs):
            raise ValueError(f"expected pairs that all differ, found {len(given)} different ones of {len(pairs)}")
        if (self.path / "pairs.jsonl").exists():
            old = self.read_pairs()
            if missing := [pair.prompt for pair in old if pair.id not in given]:
                raise ValueError(
                    f"{self.path} holds {len(missing)} pairs that are not among the given ones, the first for the "
                    f"prompt {missing[0]}: take another folder for other prompts or answers"
                )
            if len(old) == len(pairs):
                return old
        _write(self.path / "pairs.jsonl", "".join(json.dumps(pair_as_row(pair)) + "\n" for pair in pairs))
        return list(pairs)

    def report(self, title: str | None = None) -> tuple[Results, list[Path]]:
        """Write results.json and the report from what is there; returns them and the files."""
        pairs, votes, settings = self.read_pairs(), read_all_votes(self.votes), self.settings()
        results = results_of(pairs, votes, seed=settings["seed"])
        blocks = report_blocks(results, pairs, votes, settings)
        name = title or f"Preference: {self.path.resolve().name}"
        written = {
            "results.json": json.dumps({"settings": settings, **as_json(results)}, indent=2) + "\n",
            "report.md": as_markdown(name, blocks),
            "report.html": as_html(name, blocks),
        }
        for file, text in written.items():
            _write(self.path / file, text)
        return results, [self.path / file for file in written]


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def _read_object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} should be a JSON object")
    return found


def _file_stem(system: str) -> str:
    return file_name(checked_name(system)).removesuffix(".jsonl")
