"""Items in the report: how sure the model was of which, where it was most wrong, what could not be scored.

The subjects of MMLU are put together, as one pool: 57 plots of a few items each would say less than one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..common.requests import Likelihood, LogLikelihood, Request, Rolling, Written
from ..common.task import Scored
from .baselines import n_options, right_options
from .calibration import Choice, bins_of, calibration_error, choices_of, most_confident_mistakes
from .evaluation import Evaluation
from .plot import reliability_plot
from .task_result import TaskResult

N_WORST, N_PROBLEMS = 5, 20
_MOST_TEXT = 6000  # characters of a prompt: the page is to be read

Pool = tuple[str, list[TaskResult]]


def pools_of(evaluation: Evaluation) -> list[Pool]:
    """The results, those of tasks that a group weights by their size together; the widest group takes them."""
    wide = sorted((g for g in evaluation.groups if g.group.by_size), key=lambda g: -len(g.group.members))
    owner: dict[str, str] = {}
    for group in wide:
        for task in group.members:
            owner.setdefault(task, group.name)
    pools: dict[str, list[TaskResult]] = {}
    for name, result in evaluation.results.items():
        pools.setdefault(owner.get(name, name), []).append(result)
    return list(pools.items())


def calibration_of(name: str, results: Sequence[TaskResult]) -> dict[str, Any] | None:
    """A plot with its bins; None for tasks that are not about one right option."""
    choices = [choice for result in results for choice in choices_of(result.task, result.items)]
    if not choices:
        return None
    bins = bins_of(choices)
    return {
        "task": name,
        "plot": reliability_plot(bins, name),
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


def worst_of(name: str, results: Sequence[TaskResult]) -> dict[str, Any]:
    """The mistakes that the model was surest of; of what it wrote, the first mistakes."""
    written = [result for result in results if result.task.kind == "generation"]
    wrong = [one for r in written for one in r.items if one.metrics and not any(one.metrics.values())]
    tasks = {result.task.name: result.task for result in results}
    choices = [choice for result in results for choice in choices_of(result.task, result.items)]
    mistakes = [_mistake(tasks, choice) for choice in most_confident_mistakes(choices, N_WORST)]
    return {"task": name, "items": mistakes + [_item(one) for one in wrong[:N_WORST]]}


def problems_of(name: str, results: Sequence[TaskResult]) -> dict[str, Any]:
    """Items that could not be scored, then those that were cut."""
    items = [_item(one) | {"problem": one.problem} for result in results for one in result.unscored]
    cut = [one for result in results for one in result.truncated if not one.problem]
    items += [_item(one) | {"problem": "the context did not fit: its beginning was cut off"} for one in cut]
    return {"task": name, "items": items[:N_PROBLEMS], "n": len(items)}


def _mistake(tasks: dict[str, Any], choice: Choice) -> dict[str, Any]:
    one = choice.one
    task = tasks[one.item.task]
    n, right = n_options(task, one.item), right_options(task, one.item)
    texts = [_continuation(request) for request in one.item.requests[:n]]
    if len(set(texts)) == 1:  # WinoGrande: the contexts differ, not what follows
        texts = [_prompt(request) + text for request, text in zip(one.item.requests, texts)]
    options = [
        {
            "text": text,
            "logprob": f"{answer.logprob:.2f}" if isinstance(answer, Likelihood) else "",
            "is_chosen": i == choice.chosen,
            "is_right": i in right,
        }
        for i, (text, answer) in enumerate(zip(texts, one.answers))
    ]
    return _item(one) | {"confidence": f"{100 * choice.confidence:.0f}", "options": options}


def _item(one: Scored) -> dict[str, Any]:
    answer = one.answers[0] if one.answers else None
    return {
        "task": one.item.task,
        "doc_id": one.item.doc_id,
        "prompt": _prompt(one.item.requests[0]),
        "target": str(one.item.target),
        "written": answer.text[:_MOST_TEXT] if isinstance(answer, Written) else None,
    }


def _prompt(request: Request) -> str:
    """The end of what is asked: shots may be long, the question comes last."""
    text = request.text if isinstance(request, Rolling) else request.context
    return text if len(text) <= _MOST_TEXT else "… " + text[-_MOST_TEXT:]


def _continuation(request: Request) -> str:
    return request.continuation if isinstance(request, LogLikelihood) else ""
