"""The page about an evaluation: one HTML file that needs nothing else, and the same in Markdown.

All texts are escaped: a model's answer may hold HTML. What it shows is put together in summary.py.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .evaluation import Evaluation
from .summary import summary_of

_TEMPLATE = Path(__file__).with_name("report.html")


def as_html(evaluation: Evaluation) -> str:
    """The page as HTML."""
    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(summary_of(evaluation))


def as_markdown(evaluation: Evaluation) -> str:
    """The same as Markdown, without the drawings."""
    found = summary_of(evaluation)
    parts = [f"# Evaluation of {_text(found['model'])}", ""]
    parts += [" · ".join(f"{_text(name)} {_text(value)}" for name, value in found["times"]), ""]
    parts += _scores(found) + _groups(found) + _paper(found) + _calibration(found) + _mistakes(found)
    parts += _problems(found)
    parts += ["## Settings", "", *_table(("setting", "value"), found["settings"]), ""]
    return "\n".join(parts)


def _scores(found: dict[str, Any]) -> list[str]:
    keys = ("name", "metric", "value", "interval", "stderr", "n", "shots", "chance", "majority", "longest", "protocol")
    heads = ("task", "metric", "score", "95 %", "±se", "n", "shots", "chance", "majority", "longest", "protocol")
    lines = ["## Scores", "", *_table(heads, _columns(found["scores"], keys)), ""]
    return lines + [f"- {_text(caution)}" for caution in found["cautions"]] + [""] * bool(found["cautions"])


def _groups(found: dict[str, Any]) -> list[str]:
    if not found["groups"]:
        return []
    rows = [
        (g["name"], g["metric"], g["value"], g["interval"], g["n"], g["members"], ", ".join(g["missing"][:3]))
        for g in found["groups"]
    ]
    return ["## Groups", "", *_table(("group", "metric", "score", "95 %", "n", "tasks", "not run"), rows), ""]


def _paper(found: dict[str, Any]) -> list[str]:
    if not found["paper"] and not found["paper_groups"]:
        return []
    rows = [
        (
            f"{r['name']} (table {r['table']})",
            r["mine"] or "—",
            *r["figures"],
            f"{r['task']} {r['metric']} {r['remark']}",
        )
        for r in found["paper"]
    ]
    rows += [
        (f"{g['name']} (table 3)", g["mine"] or "—", *g["figures"], _not_run(g["missing"]))
        for g in found["paper_groups"]
    ]
    heads = ("quoted row", "this model", *(f"LLaMA 2 {size}" for size in found["sizes"]), "here")
    said = "**Quoted, not measured here**: arXiv:2307.09288, tables 3, 19, 20, 22 and 25, pretrained models."
    return ["## The LLaMA 2 paper beside it", "", said, "", *_table(heads, rows), ""]


def _calibration(found: dict[str, Any]) -> list[str]:
    if not found["calibration"]:
        return []
    rows = [
        (c["task"], c["error"], b["range"], b["n"], b["confidence"], b["accuracy"])
        for c in found["calibration"]
        for b in c["bins"]
    ]
    heads = ("task", "calibration error", "confidence", "n", "mean", "right")
    return ["## Calibration", "", *_table(heads, rows), ""]


def _mistakes(found: dict[str, Any]) -> list[str]:
    lines = ["## Mistakes", ""] if found["worst"] else []
    for task in found["worst"]:
        for item in task["items"]:
            sure = f", {item['confidence']} % sure" if item.get("confidence") else ""
            lines += [f"### {_text(item['task'])}, item {item['doc_id']}{sure}", "", *_quoted(item["prompt"]), ""]
            lines += [_option(option) for option in item.get("options", [])]
            if not item.get("options"):
                lines.append(f"wrote {_code(item['written'])}, expected {_code(item['target'])}")
            lines.append("")
    return lines


def _option(option: dict[str, Any]) -> str:
    marks = [word for word, is_so in (("right", option["is_right"]), ("chosen", option["is_chosen"])) if is_so]
    return f"- {option['logprob']} {_code(option['text'])} {' '.join(marks)}".rstrip()


def _problems(found: dict[str, Any]) -> list[str]:
    rows = [(item["task"], item["doc_id"], item["problem"]) for task in found["problems"] for item in task["items"]]
    return ["## Items with problems", "", *_table(("task", "item", "problem"), rows), ""] if rows else []


# --- Markdown ----------------------------------------------------------------------------


def _not_run(missing: Sequence[str]) -> str:
    return f"not run: {', '.join(missing)}" if missing else ""


def _columns(rows: Iterable[dict[str, Any]], keys: Sequence[str]) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in keys) for row in rows]


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]


def _text(value: Any) -> str:
    """A text in a line of Markdown: nothing in it is markup."""
    text = html.escape(" ".join(str(value).split()), quote=False)
    for character in "\\`*_[]|#":
        text = text.replace(character, f"\\{character}")
    return text


def _code(value: Any) -> str:
    text = " ".join(str(value).split())
    fence = "`"
    while fence in text:
        fence += "`"
    return f"{fence} {text} {fence}" if text else "nothing"


def _quoted(text: str) -> list[str]:
    """A text as it is, in a block that nothing in it can end."""
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, *text.split("\n"), fence]
