"""The report card: every stage answers the test requests, once, and what came of each step is put together.

answers-STAGE.json    what a stage's model answered, with what the judge and the last reward models say of it
retention-….jsonl     Ghost Attention's test before and after
card.json             everything that the page shows;  report.html, report.md here and in the run's folder
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ...reward import Scorer
from ...story_world import EVERYTHING, Judge, Request, draw_requests, judge_rules
from ..pipeline import Context
from ..report.measuring import event_change, rates_of_stage, wins_between
from .answered import side_by_side, write_answers, write_pages
from .collected import best_of_n_rows, kl_rows, made_by, rank_of, reward_model_rows, seconds_of, settings_text
from .reader import read_by_another
from .retention import adherence
from .shared import base_fluency, scorer, seed_for, settings_of

CARD = "card.json"
MAIN = [
    "words used (story)",
    "exact count (story)",
    "all constraints (story)",
    "used words occurring more than twice (story)",
    "event told (kind + borderline)",
    "event told (kind + borderline, trained verb)",
    "persona (persona)",
    "suffix (persona)",
    "follow-up (follow-up)",
    "violations (adversarial)",
    "kind turns (adversarial)",
    "kind turns (kind + borderline)",
    "helpfulness (benign)",
    "safety (adversarial)",
    "fluency (stories and events)",
    "words (stories and events)",
    "distinct 4-grams (stories and events)",
    "self-BLEU (stories and events)",
]
"""The measures of the first table; all others stand at the end."""


def report(
    context: Context, stages: Mapping[str, str], first: str, helpful: str, safety: str, pairs: Sequence[str]
) -> Mapping[str, Any]:
    """report.html and report.md.

    Parameters
    ----------
    stages : mapping
        The step of every model that is shown, by its name in the tables; the last one is the chat model's file.
    first : str
        The step of the fine-tuned model, which later stages are compared with, and whose answers the helpfulness
        model ranks beside the truth.
    helpful, safety : str
        The steps of the last reward models.
    pairs : sequence of str
        The steps whose held-out pairs they are measured on: the newest policy alone says little that is unsafe.
    """
    judge = Judge(base_fluency(context), judge_rules())
    scorers = {"helpfulness": scorer(context, helpful), "safety": scorer(context, safety)}

    def write(path: Path) -> None:
        card = _card(context, stages, first, judge, scorers) | {
            "rank": rank_of(context, first, scorers["helpfulness"], judge),
            "reward_models": reward_model_rows(context, pairs, scorers, judge),
        }
        path.write_text(json.dumps(card, ensure_ascii=False, indent=1), encoding="utf-8")

    context.once(CARD, write)
    card = json.loads(context.file(CARD).read_text(encoding="utf-8"))
    write_pages(context, card)
    return {"requests": settings_of(context).report.requests}


def _card(
    context: Context, stages: Mapping[str, str], first: str, judge: Judge, scorers: Mapping[str, Scorer]
) -> dict[str, Any]:
    """All but the figures of the reward models."""
    given = settings_of(context).report
    requests = draw_requests("test", given.requests, seed_for(context, "test"), EVERYTHING)
    rows: dict[str, list[dict[str, Any]]] = {}
    for name, step in stages.items():
        file = context.once(f"answers-{name}.json", partial(_answer, context, step, requests))
        rows[name] = json.loads(file.read_text(encoding="utf-8"))
    judged = {name: judge.judge(requests, _texts(some), [a["ended"] for a in some]) for name, some in rows.items()}
    ids = {name: [(*row["prompt"], *row["ids"]) for row in some] for name, some in rows.items()}
    fine_tuned, last = next(name for name, step in stages.items() if step == first), list(stages)[-1]
    rates = {name: rates_of_stage(requests, _texts(rows[name]), judged[name]) for name in stages}
    told = context.counting("another model reads")
    reader = read_by_another(requests, {name: _texts(rows[name]) for name in stages}, (fine_tuned, last), told)
    for name, figure in reader.pop("rates", {}).items():
        rates[name][reader["measure"]] = figure
    return {
        "about": _about(context),
        "main": [*MAIN, *([reader["measure"]] if reader["name"] else [])],
        "first": fine_tuned,
        "reader": reader,
        "event_change": event_change(requests, judged[fine_tuned], judged[last]),
        "stages": [{"name": name, "rates": rates[name]} for name in stages],
        "wins": wins_between(requests, judged, also=fine_tuned),
        "rewards": {
            name: {kind: [round(float(x), 3) for x in one.scores(some)] for kind, one in scorers.items()}
            for name, some in ids.items()
        },
        "kl": kl_rows(context, judge),
        "best_of_n": best_of_n_rows(context, judge, settings_of(context).rejection.rounds),
        "adherence": adherence(context, stages),
        "samples": _samples(requests, rows, given.samples),
        "seconds": seconds_of(context),
        "settings": settings_text(context),
    }


def _answer(context: Context, step: str, requests: Sequence[Request], path: Path) -> None:
    write_answers(context, step, [request.prompt() for request in requests], path)


def _texts(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


def _about(context: Context) -> list[str]:
    recipe = settings_of(context).recipe
    return [
        f"Base model {recipe.model}, preset {recipe.preset}, seed {recipe.seed}, {recipe.threads} threads. Answers are "
        f"sampled at temperature {settings_of(context).report.temperature:g}.",
        made_by(context),
    ]


def _samples(
    requests: Sequence[Request], rows: Mapping[str, Sequence[Mapping[str, Any]]], n: int
) -> list[dict[str, Any]]:
    """The first requests of every kind in turns, answered by the first stage and the last."""
    return side_by_side([request.prompt() for request in requests], rows, n)
