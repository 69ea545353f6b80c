"""What the reports of all worlds do alike: every stage answers the same prompts, some stand side by side, and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...models import Prompt
from ...rollouts import Answer
from ..pipeline import Context
from ..report import as_html, as_markdown, card_blocks
from .chat import beside
from .shared import answers_to, settings_of
from .stage_models import stage_model


def write_answers(context: Context, step: str, prompts: Sequence[Prompt], path: Path) -> None:
    """Answers of a step's model; the same draws for every stage, so that stages are compared and not their luck."""
    temperature = settings_of(context).report.temperature
    found = answers_to(context, stage_model(context, step), prompts, "test", temperature=temperature, kept_as=step)
    path.write_text(json.dumps([_row(one) for (one,) in found], ensure_ascii=False), encoding="utf-8")


def _row(answer: Answer) -> dict[str, Any]:
    return {"prompt": answer.prompt, "ids": answer.ids, "text": answer.text, "ended": answer.ended}


def side_by_side(
    prompts: Sequence[Prompt], rows: Mapping[str, Sequence[Mapping[str, Any]]], n: int
) -> list[dict[str, Any]]:
    """The first prompts of every kind in turns, answered by the first stage and the last."""
    by_kind: dict[str, list[int]] = {}
    for i, prompt in enumerate(prompts):
        by_kind.setdefault(prompt.kind, []).append(i)
    turns = [some[place] for place in range(n) for some in by_kind.values() if place < len(some)][:n]
    shown = list(dict.fromkeys([next(iter(rows)), list(rows)[-1]]))
    return [
        {
            "prompt": "\n".join(message["content"] for message in prompts[i].dialogue),
            "answers": {name: rows[name][i]["text"] for name in shown},
        }
        for i in turns
    ]


def write_pages(context: Context, card: Mapping[str, Any]) -> None:
    """report.html and report.md, here and in the folder of the run."""
    blocks = card_blocks(card)
    pages = {"report.html": as_html("Report card", blocks), "report.md": as_markdown("Report card", blocks)}
    for name, text in pages.items():
        made = context.once(name, partial(_write, text))
        beside(made, context.folder.parent / name)


def _write(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
