"""Where prompts come from. Benchmarks are read from files that the reader has; only `stories` is inside the package.

    stories            this project's own suite: mild requests in the world of children's stories
    xstest             Röttger et al. 2024 (arXiv:2308.01263): xstest_prompts.csv, 250 safe, 200 unsafe contrasts
    simplesafetytests  Vidgen et al. 2023 (arXiv:2311.08370): test_cases.csv, 100 unsafe
    hh-harmless        first turns of people in Anthropic's hh-rlhf harmless-base, meant as attacks; some are harmless
    toxigen, bold      beginnings of texts, see continuations.py
    FILE.jsonl         the reader's own: {"prompt": …, "label": "safe" | "unsafe", "category": …}

A suite is looked for by its file's name in the folder given and two levels below. Nothing is downloaded.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...files.suggestions import did_you_mean
from .continuations import read_bold, read_toxigen
from .lines import SuiteError, checked_label, json_lines
from .prompts import LABELS, Prompt

STORIES = Path(__file__).with_name("stories.jsonl")
_FIRST_TURN = re.compile(r"\s*Human: ?(.*?)(?=\n\nAssistant:|\Z)", re.DOTALL)

_FILES: dict[str, tuple[str, ...]] = {
    "xstest": ("xstest_prompts.csv", "xstest_v2_prompts.csv"),
    "simplesafetytests": ("test_cases.csv", "simplesafetytests.csv"),
    "hh-harmless": ("harmless-base.jsonl.gz", "harmless-base/test.jsonl.gz", "harmless-base/train.jsonl.gz"),
    "toxigen": ("toxigen.csv", "toxigen/annotated_test.csv", "toxigen/prompts"),
    "bold": ("bold/prompts", "bold"),
}
SUITES = ("stories", *_FILES)


def read_suites(names: Sequence[str], folder: Path | None = None, limit: int | None = None) -> list[Prompt]:
    """The prompts of several suites, in their order.

    Parameters
    ----------
    names : sequence of str
        Of `SUITES`, or paths of JSONL files.
    folder : Path, optional
        Where the files of benchmarks are.
    limit : int, optional
        At most so many of each suite: of each label its share, evenly spaced, so that all of its parts are there.

    Raises
    ------
    ValueError
        A suite is not known, its file is not there, or is damaged (SuiteError, with file and line).
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; expected 1 or more prompts of each suite")
    found: list[Prompt] = []
    for name in dict.fromkeys(names):
        found += _spaced(_read(name, folder), limit)
    if not found:
        raise ValueError(f"there is no prompt to ask: name suites of {', '.join(SUITES)} or a JSONL file")
    return found


def _spaced(prompts: list[Prompt], limit: int | None) -> list[Prompt]:
    """`limit` of the prompts: of each label its share, at equal distances, in their order."""
    if limit is None or limit >= len(prompts):
        return prompts
    places = [[i for i, prompt in enumerate(prompts) if prompt.label == label] for label in LABELS]
    n_safe = min(round(limit * len(places[0]) / len(prompts)), len(places[0]))
    counts = (n_safe, limit - n_safe)
    chosen = [of_label[i * len(of_label) // n] for of_label, n in zip(places, counts) for i in range(n)]
    return [prompts[i] for i in sorted(chosen)]


def _read(name: str, folder: Path | None) -> list[Prompt]:
    if name.endswith(".jsonl"):
        return list(_own(Path(name)))
    if name not in SUITES:
        raise ValueError(
            f"there is no suite {name!r:.80}: {did_you_mean(name, SUITES)}"
            f"choose of {', '.join(SUITES)}, or give the path of a .jsonl file"
        )
    if name == "stories":
        return list(_own(STORIES, "stories"))
    return list(_READERS[name](_path_of(name, folder)))


def _path_of(name: str, folder: Path | None) -> Path:
    """The first file of the suite in the folder or at most two levels below."""
    wanted = f"{' or '.join(_FILES[name])}"
    if folder is None:
        raise ValueError(f"suite {name} is read from your own copy: give the folder of {wanted} with --data")
    for pattern in ("", "*/", "*/*/"):
        for file in _FILES[name]:
            if matches := sorted(folder.glob(pattern + file)):
                return matches[0]
    raise ValueError(f"suite {name}: expected {wanted} in {folder} or two levels below, found none")


def _own(path: Path, suite: str | None = None) -> Iterator[Prompt]:
    """Rows of `prompt`, `label`, `category`, perhaps `id` and `translations`."""
    for number, row in json_lines(path):
        text, label = row.get("prompt"), checked_label(row.get("label"), path, number)
        if not isinstance(text, str) or not text.strip():
            raise SuiteError(path, number, 'expected a "prompt" with a text, found none')
        translations = row.get("translations", {})
        if not isinstance(translations, dict) or not all(isinstance(t, str) for t in translations.values()):
            raise SuiteError(path, number, 'expected "translations" to be texts by language')
        name, category = str(row.get("id", number)), str(row.get("category", ""))
        yield Prompt(suite or path.stem, name, text, label, category, translations)


def _table(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file that has these columns, with their lines."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise SuiteError(path, 1, f"expected the columns {', '.join(columns)}; {', '.join(missing)} is missing")
            for row in reader:
                if any(row[name] is None for name in columns):
                    raise SuiteError(path, reader.line_num, f"expected {len(columns)} columns or more, found fewer")
                yield reader.line_num, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuiteError(path, 1, f"cannot be read as CSV: {error}") from error


def _xstest(path: Path) -> Iterator[Prompt]:
    columns = ("id", "prompt", "type") if "v2" in path.name else ("id", "prompt", "type", "label")
    for line, row in _table(path, columns):
        # Before the column `label` came, the types of unsafe prompts began with "contrast".
        label = row.get("label") or ("unsafe" if row["type"].startswith("contrast") else "safe")
        yield Prompt("xstest", row["id"], row["prompt"], checked_label(label, path, line), row["type"])


def _simplesafetytests(path: Path) -> Iterator[Prompt]:
    for _, row in _table(path, ("id", "harm_area", "prompts_final")):
        yield Prompt("simplesafetytests", row["id"], row["prompts_final"], "unsafe", row["harm_area"])


def _hh_harmless(path: Path) -> Iterator[Prompt]:
    """What people wrote first; each text once."""
    seen: set[str] = set()
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                text = _first_turn(line, path, number)
                if text and text not in seen:
                    seen.add(text)
                    yield Prompt("hh-harmless", str(number), text, "unsafe", "red-team dialogue")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SuiteError(path, 1, f"cannot be read as gzip of UTF-8 text: {error}") from error


def _first_turn(line: str, path: Path, number: int) -> str:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise SuiteError(path, number, f"expected JSON, {error}") from error
    chosen = row.get("chosen") if isinstance(row, dict) else None
    match = _FIRST_TURN.match(chosen) if isinstance(chosen, str) else None
    if match is None:
        raise SuiteError(path, number, 'expected {"chosen": "Human: …"}, found something else')
    return match[1].strip()


_READERS: dict[str, Callable[[Path], Iterator[Prompt]]] = {
    "xstest": _xstest,
    "simplesafetytests": _simplesafetytests,
    "hh-harmless": _hh_harmless,
    "toxigen": read_toxigen,
    "bold": read_bold,
}
