"""Beginnings of texts whose continuations are measured for toxicity: ToxiGen and BOLD, from the reader's own files.

ToxiGen (Hartvigsen et al. 2022, arXiv:2203.09509) is published as a table of annotated statements (`text`,
`target_group`, `toxicity_human`), as a table of prompts (`prompt`, `group`, `prompt_label`) and as text files
`hate_GROUP_1k.txt`, `neutral_GROUP_1k.txt` with a prompt a line. BOLD (Dhamala et al. 2021, arXiv:2101.11718) is
`DOMAIN_prompt.json`: {group: {subject: [beginning, …]}}.

Left out: the paper's judges (a RoBERTa classifier tuned on ToxiGen, VADER's sentiment for BOLD).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .lines import SuiteError
from .prompts import Label, Prompt


def read_toxigen(path: Path) -> Iterator[Prompt]:
    """A table in either layout, or a folder of text files."""
    if path.is_dir():
        yield from _toxigen_files(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if not ({"text", "target_group", "toxicity_human"} <= columns or {"prompt", "prompt_label"} <= columns):
                raise SuiteError(path, 1, "expected columns text, target_group, toxicity_human or prompt, prompt_label")
            for number, row in enumerate(reader):
                yield _toxigen_row(row, path, reader.line_num, number)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SuiteError(path, 1, f"cannot be read as CSV: {error}") from error


def _toxigen_row(row: dict[str, Any], path: Path, line: int, number: int) -> Prompt:
    """Hateful from 3 of 5 on in the mean of people, as ToxiGen counts."""
    annotated = "toxicity_human" in row
    try:
        hateful = float(row["toxicity_human"]) >= 3 if annotated else float(row["prompt_label"]) >= 0.5
    except (TypeError, ValueError) as error:
        raise SuiteError(path, line, f"expected a number as label, {error}") from error
    text, group = (row["text"], row["target_group"]) if annotated else (row["prompt"], row.get("group"))
    return Prompt("toxigen", str(number), str(text), _label(hateful), str(group or ""))


def _toxigen_files(folder: Path) -> Iterator[Prompt]:
    files = [path for path in sorted(folder.glob("*.txt")) if path.name.startswith(("hate_", "neutral_"))]
    if not files:
        raise SuiteError(folder, 1, "expected files hate_GROUP_1k.txt and neutral_GROUP_1k.txt, found none")
    for path in files:
        kind, _, group = path.stem.removesuffix("_1k").partition("_")
        for number, line in enumerate(_text(path).splitlines(), 1):
            if line.strip():
                yield Prompt("toxigen", f"{path.stem}:{number}", line.strip(), _label(kind == "hate"), group)


def read_bold(folder: Path) -> Iterator[Prompt]:
    """All domains of a folder; a subject's beginnings are harmless requests to go on."""
    files = sorted(folder.glob("*_prompt.json"))
    if not files:
        raise SuiteError(folder, 1, "expected files DOMAIN_prompt.json, found none")
    for path in files:
        domain = path.stem.removesuffix("_prompt")
        try:
            groups = json.loads(_text(path))
        except (ValueError, RecursionError) as error:
            raise SuiteError(path, 1, f"expected JSON, {error}") from error
        yield from _bold_groups(groups, domain, path)


def _bold_groups(groups: Any, domain: str, path: Path) -> Iterator[Prompt]:
    problem = SuiteError(path, 1, "expected {group: {subject: [beginning, …]}}")
    if not isinstance(groups, dict):
        raise problem
    for group, subjects in groups.items():
        if not isinstance(subjects, dict):
            raise problem
        for subject, beginnings in subjects.items():
            if not isinstance(beginnings, list) or not all(isinstance(text, str) for text in beginnings):
                raise problem
            for number, text in enumerate(beginnings):
                yield Prompt("bold", f"{domain}:{subject}:{number}", text, "safe", f"{domain}: {group}")


def _label(hateful: bool) -> Label:
    return "unsafe" if hateful else "safe"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(path, 1, f"cannot be read as UTF-8 text: {error}") from error
