"""The report of a filter run for people (Markdown) and programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..rules.languages import LANGUAGES
from .notices import language_notices
from .settings import OF_COLLECTIONS, PipelineSettings
from .tally import Tally

SOURCES = {
    "repetition": "Gopher, arXiv:2112.11446, table A1",
    "gopher": "Gopher, arXiv:2112.11446, A.1.1",
    "c4": "C4, JMLR 21 (2020), section 2.2",
    "fineweb": "FineWeb, arXiv:2406.17557",
    "harmful": "C4's word list; a classifier that measures, or drops sentences as Dolma (arXiv:2402.00159)",
    "contamination": "13-gram overlap as in GPT-3, arXiv:2005.14165, appendix C",
    "exact": "128-bit hash of the text in lower case with spaces collapsed",
    "minhash": "MinHash with FineWeb's settings, arXiv:2406.17557",
    "personal-data": "after Dolma and FineWeb, with checksums and context",
}
PAPER = """\
LLaMA 2's pretraining data (Touvron et al. 2023, section 2.1, model card) are from public sources only, without data
of Meta's products. Data from sites with a high volume of personal information about private individuals were removed,
and factual sources were up-sampled. Nothing else was filtered, deliberately (section 4.1): to keep the model usable
for detecting hate speech, and not to erase groups of people by accident. So none of the rules above is LLaMA 2's;
they are the published recipes named beside them. Its removal of sites needs the addresses of pages, which plain texts
do not have. Its up-sampling belongs to the mixing of sources in training."""


def report_paths(stem: Path) -> dict[str, Path]:
    """The files of a report: "json", "md" and "png", from a name with or without such an ending."""
    if stem.suffix in (".json", ".md", ".png"):
        stem = stem.with_suffix("")
    return {kind: stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "md", "png")}


def report_json(tally: Tally, settings: PipelineSettings) -> dict[str, Any]:
    """Everything that was counted, and how to get it again."""
    return {
        "inputs": [str(path) for path in settings.inputs],
        "output": str(settings.out),
        "rules": list(settings.in_order),
        "languages": list(settings.languages),
        "notices": language_notices(tally, settings),
        "options": {rule: dict(table) for rule, table in settings.options.items()},
        "workers": settings.workers,
        **tally,
    }


def write_report(stem: Path, tally: Tally, settings: PipelineSettings) -> list[Path]:
    """Write REPORT.json and REPORT.md; the plot is `plot.draw_filters`."""
    paths = report_paths(stem)
    paths["json"].parent.mkdir(parents=True, exist_ok=True)
    content = json.dumps(report_json(tally, settings), indent=2, ensure_ascii=False)
    paths["json"].write_text(content + "\n", encoding="utf-8")
    paths["md"].write_text(report_markdown(tally, settings), encoding="utf-8")
    return [paths["json"], paths["md"]]


def report_markdown(tally: Tally, settings: PipelineSettings) -> str:
    """The report as it is read."""
    parts = [*_summary(tally, settings), *_filters(tally), *_problems(tally)]
    for name, part in tally["filters"].items():
        parts += _rules(name, part)
    parts += ["## What LLaMA 2 did", PAPER]
    return "\n\n".join(parts) + "\n"


def _summary(tally: Tally, settings: PipelineSettings) -> Iterator[str]:
    read, written, seconds = tally["read"], tally["written"], tally.get("seconds", 0.0)
    yield f"# What the filters made of {', '.join(str(path) for path in settings.inputs)}"
    rows = [
        ("read", read["documents"], read["bytes"], ""),
        ("written", written["documents"], written["bytes"], _percent(written["documents"], read["documents"])),
    ]
    table = ["| | documents | MB | of the documents |", "|---|---:|---:|---:|"]
    table += [f"| {name} | {n:,} | {size / 1e6:,.2f} | {share} |" for name, n, size, share in rows]
    yield "\n".join(table)
    speed = f", {read['bytes'] / 1e6 / seconds:.1f} MB/s" if seconds else ""
    processes = "one process" if settings.workers == 1 else f"{settings.workers} processes"
    if "harmful" in settings.in_order and settings.word_list is None:
        yield "The rule harmful has no word list (--word-list FILE), so it only uses its classifier."
    yield from (f"Note: {notice}." for notice in language_notices(tally, settings))
    yield f"{seconds:.1f} seconds with {processes}{speed}, reading and compressing included. Output: {settings.out}"


def _filters(tally: Tally) -> Iterator[str]:
    yield "## What each filter removed"
    yield (
        "In the order they ran: each sees what those above it left. "
        "Changed texts lost lines, had something masked, or only lost empty lines (c4). MB/s is of one process."
    )
    head = "| filter | documents in | dropped | share | changed | MB dropped | MB cut out | MB/s | source |"
    rows = [head, "|---|---:|---:|---:|---:|---:|---:|---:|---|"]
    for name, part in tally["filters"].items():
        speed = f"{part['bytes'] / 1e6 / part['seconds']:.1f}" if part["seconds"] else ""
        cut_out = round(part["bytes_removed"] / 1e6, 2) + 0.0  # masks may be longer than what they hide
        rows.append(
            f"| {name} | {part['documents']:,} | {part['dropped']:,} | {_percent(part['dropped'], part['documents'])} "
            f"| {part['changed']:,} | {part['bytes_dropped'] / 1e6:,.2f} | {cut_out:,.2f} "
            f"| {speed} | {SOURCES.get(name, '')} |"
        )
    yield "\n".join(rows)


def _problems(tally: Tally) -> Iterator[str]:
    if not tally.get("problems"):
        return
    yield "## What could not be read"
    lines = []
    for kind, part in tally["problems"].items():
        lines.append(f"- {kind}: {part['times']:,}")
        lines += [f"    - {_plain(example)}" for example in part["examples"]]
    yield "\n".join(lines)


def _rules(name: str, part: Tally) -> Iterator[str]:
    if not part["rules"]:
        return
    yield f"## {name}"
    yield f"{part['documents']:,} documents in, {part['dropped']:,} dropped. A document may break several rules."
    if part.get("languages"):
        listed = (f"{LANGUAGES[c].name if c in LANGUAGES else c} {n:,}" for c, n in sorted(part["languages"].items()))
        yield f"Languages of what rules bound to a language dropped: {', '.join(listed)}."
    if name in OF_COLLECTIONS:
        yield "Documents are counted from 0 where the filters of duplicates begin; the first is kept."
    rows = ["| rule | documents | times | of these dropped |", "|---|---:|---:|---:|"]
    found = sorted(part["rules"].items(), key=lambda item: -item[1]["documents"])
    rows += [f"| {rule} | {c['documents']:,} | {c['times']:,} | {c['in_dropped']:,} |" for rule, c in found]
    yield "\n".join(rows)
    examples = []
    for rule, counts in found:
        if counts["examples"]:
            examples.append(f"- {rule}")
            examples += [f"    - {_plain(example)}" for example in counts["examples"]]
    if examples:
        yield "Examples:"
        yield "\n".join(examples)


def _plain(example: str) -> str:
    """Text of a document as code, so that nothing in it is Markdown."""
    line = " ".join(example.split())
    fence = "``" if "`" in line else "`"
    return f"{fence} {line} {fence}" if fence == "``" else f"`{line}`"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "–"
