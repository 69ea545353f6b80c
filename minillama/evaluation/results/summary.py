"""What the report says, as plain values: report.py turns them into HTML and Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..common.requests import Likelihood, LogLikelihood, Request, Rolling, Written
from ..common.task import Scored
from .calibration import Choice, bins_of, calibration_error, choices_of, most_confident_mistakes
from .cautions import cautions_of
from .evaluation import Evaluation, TaskResult
from .paper import GROUPS, ROWS, SIZES, measured
from .plot import interval_line, reliability_plot
from .scores import Score
from .table import interval_text, number

N_WORST, N_PROBLEMS = 5, 20
_MOST_TEXT = 6000  # of a prompt: the page is to be read


def summary_of(evaluation: Evaluation) -> dict[str, Any]:
    """Everything on the page."""
    return {
        "model": str(evaluation.settings.get("model", {}).get("name", "model")),
        "settings": _flat({key: value for key, value in evaluation.settings.items() if key != "tasks"}),
        "times": _flat(evaluation.times),
        "scores": _scores(evaluation),
        "cautions": cautions_of(evaluation),
        "groups": _groups(evaluation),
        "paper_groups": _paper_groups(evaluation),
        "paper": _paper(evaluation),
        "sizes": SIZES,
        "calibration": [found for r in evaluation.results.values() if (found := _calibration(r)) is not None],
        "worst": [found for r in evaluation.results.values() if (found := _worst(r))["items"]],
        "problems": [found for r in evaluation.results.values() if (found := _problems(r))["items"]],
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
        **{key: "" if (v := getattr(b, key)) is None else number(score, v) for key in ("chance", "majority", "longest")},
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
    ran = {name: (result.scores, result.n_shots) for name, result in evaluation.results.items()}
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


# --- items -------------------------------------------------------------------------------


def _calibration(result: TaskResult) -> dict[str, Any] | None:
    choices = choices_of(result.task, result.items)
    if not choices:
        return None
    bins = bins_of(choices)
    return {
        "task": result.task.name,
        "plot": reliability_plot(bins, f"reliability of {result.task.name}".replace('"', "")),
        "error": f"{100 * calibration_error(bins):.1f}",
        "n": len(choices),
        "bins": [
            {
                "range": f"{one.low:.1f} – {one.high:.1f}",
                "n": one.n,
                "confidence": f"{100 * one.confidence:.1f}",
                "accuracy": f"{100 * one.accuracy:.1f}",
            }
            for one in bins
            if one.n
        ],
    }


def _worst(result: TaskResult) -> dict[str, Any]:
    """The mistakes that the model was surest of; of what it wrote, the first mistakes."""
    if result.task.kind == "generation":
        wrong = [one for one in result.items if one.metrics and not any(one.metrics.values())]
        return {"task": result.task.name, "items": [_item(one) for one in wrong[:N_WORST]]}
    mistakes = most_confident_mistakes(choices_of(result.task, result.items), N_WORST)
    return {"task": result.task.name, "items": [_mistake(choice) for choice in mistakes]}


def _mistake(choice: Choice) -> dict[str, Any]:
    one = choice.one
    right = one.item.target if isinstance(one.item.target, int) else None
    options = [
        {
            "text": _continuation(request) if len({_continuation(r) for r in one.item.requests}) > 1 else _prompt(request),
            "logprob": f"{answer.logprob:.2f}" if isinstance(answer, Likelihood) else "",
            "is_chosen": i == choice.chosen,
            "is_right": i == right,
        }
        for i, (request, answer) in enumerate(zip(one.item.requests, one.answers))
    ]
    return _item(one) | {"confidence": f"{100 * choice.confidence:.0f}", "options": options}


def _problems(result: TaskResult) -> dict[str, Any]:
    cut = [one for one in result.truncated if not one.problem]
    items = [_item(one) | {"problem": one.problem} for one in result.unscored]
    items += [_item(one) | {"problem": "the context did not fit: its beginning was cut off"} for one in cut]
    return {"task": result.task.name, "items": items[:N_PROBLEMS], "n": len(items)}


def _item(one: Scored) -> dict[str, Any]:
    first = one.item.requests[0] if one.item.requests else None
    answer = one.answers[0] if one.answers else None
    return {
        "doc_id": one.item.doc_id,
        "prompt": "" if first is None else _prompt(first),
        "target": str(one.item.target),
        "written": answer.text[:_MOST_TEXT] if isinstance(answer, Written) else None,
    }


def _prompt(request: Request) -> str:
    """The end of what is asked: shots may be long, the question comes last."""
    text = request.text if isinstance(request, Rolling) else request.context
    return text if len(text) <= _MOST_TEXT else "… " + text[-_MOST_TEXT:]


def _continuation(request: Request) -> str:
    return request.continuation if isinstance(request, LogLikelihood) else ""


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            found += _flat(value, f"{name} · ")
        else:
            found.append((name, "—" if value is None else str(value)))
    return found


