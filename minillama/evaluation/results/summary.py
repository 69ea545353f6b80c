"""What the report says, as plain values: report.py turns them into HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .cautions import cautions_of
from .evaluation import Evaluation
from .examples import calibration_of, pools_of, problems_of, worst_of
from .paper import GROUPS, ROWS, SIZES, measured
from .plot import interval_line
from .scores import Score
from .table import interval_text, number


def summary_of(evaluation: Evaluation) -> dict[str, Any]:
    """Everything on the page."""
    pools = pools_of(evaluation)
    return {
        "model": str(evaluation.settings.get("model", {}).get("name", "model")),
        "settings": _flat({key: value for key, value in evaluation.settings.items() if key != "tasks"}),
        "times": _flat(evaluation.times),
        "scores": _scores(evaluation),
        "cautions": cautions_of(evaluation.results, evaluation.groups),
        "groups": _groups(evaluation),
        "paper_groups": _paper_groups(evaluation),
        "paper": _paper(evaluation),
        "sizes": SIZES,
        "calibration": [found for pool in pools if (found := calibration_of(*pool)) is not None],
        "worst": [found for pool in pools if (found := worst_of(*pool))["items"]],
        "problems": [found for pool in pools if (found := problems_of(*pool))["items"]],
    }


def _scores(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        _score(name if not i else "", score) | {"shots": result.n_shots, "protocol": result.task.protocol}
        for name, result in evaluation.results.items()
        for i, score in enumerate(result.scores.values())
    ]


def _score(name: str, score: Score) -> dict[str, Any]:
    b = score.baselines
    return {
        "name": name,
        "metric": score.metric.name + ("" if score.metric.filter == "none" else f" ({score.metric.filter})"),
        "value": number(score, score.value),
        "stderr": "" if score.stderr is None else number(score, score.stderr),
        "interval": interval_text(score),
        "line": interval_line(score),
        "n": f"{score.n:,}",
        **{
            key: "" if (v := getattr(b, key)) is None else number(score, v) for key in ("chance", "majority", "longest")
        },
    }


def _groups(evaluation: Evaluation) -> list[dict[str, Any]]:
    return [
        _score(group.name if not i else "", score) | {"members": len(group.members), "missing": list(group.missing)}
        for group in evaluation.groups
        if group.group.by_size
        for i, score in enumerate(group.scores.values())
    ]


# --- the paper beside it -----------------------------------------------------------------


def _paper(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The quoted rows of what was run, with one's own score where the number of shots is the paper's."""
    ran: dict[str, tuple[dict[str, Score], int | None]] = {
        name: (result.scores, result.n_shots) for name, result in evaluation.results.items()
    }
    ran |= {g.name: (g.scores, _shots(evaluation, g.members)) for g in evaluation.groups if not g.missing}
    found, others = [], {}
    for row in ROWS:
        if (measure := measured(row, ran)) is None:
            continue
        scores, shots = ran[measure.name]
        entry = {"name": f"{row.name}, {_shots_text(row.n_shots)}", "table": row.table, "figures": row.figures}
        entry |= {"task": measure.name, "metric": measure.key.removesuffix(",none")}
        if shots == row.n_shots and measure.key in scores:
            found.append(entry | {"mine": _figure(scores[measure.key]), "remark": ""})
        else:
            others[measure.name] = entry | {"mine": "", "remark": f"run with {_shots_text(shots)}"}
    return found + [entry for name, entry in others.items() if all(name != one["task"] for one in found)]


def _shots(evaluation: Evaluation, tasks: Iterable[str]) -> int | None:
    numbers = {evaluation.results[task].n_shots for task in tasks}
    return numbers.pop() if len(numbers) == 1 else None


def _shots_text(shots: int | None) -> str:
    return "several numbers of shots" if shots is None else f"{shots} shot{'' if shots == 1 else 's'}"


def _figure(score: Score) -> str:
    return f"{number(score, score.value)} ({interval_text(score)})" if score.n else ""


def _paper_groups(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The paper's columns; one's own mean only where nothing is missing."""
    return [
        {
            "name": g.group.title,
            "figures": GROUPS[g.name],
            "missing": list(g.missing),
            "mine": "".join(map(_figure, g.scores.values())),
        }
        for g in evaluation.groups
        if g.name in GROUPS
    ]


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{name} · ")
        else:
            found.append((name, "—" if value is None else str(value)))
    return found
