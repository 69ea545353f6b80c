"""What a task gives to those who do not read its questions: a score means something only above these.

    chance     an option at random: the mean over all options of what choosing it is worth
    majority   always the option at the same place, whichever is best: the most frequent right letter
    longest    always the longest option; many authors of tests write the right answer with more care

Each is scored by the task itself, from answers that give one option everything. Where one place is right throughout
(TruthfulQA lists the right answer first), `majority` would read the file and not the question: it is None. Tasks in
which the model writes have no baselines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.requests import Likelihood, LogLikelihood
from ..common.task import Item, Metric, Task

_CHOSEN, _OTHER = 0.0, -1e6  # log-probabilities so far apart that no normalisation turns them round


@dataclass(frozen=True)
class Baselines:
    """Scores between 0 and 1; None where there is no such thing."""

    chance: float | None = None
    majority: float | None = None
    longest: float | None = None


def baselines_of(task: Task, items: Sequence[Item]) -> dict[str, Baselines]:
    """The baselines of every metric of a task over `items`, by `Metric.key`; empty for tasks without options."""
    if task.kind != "choices" or not items:
        return {}
    picked = [[_score_of(task, item, pick) for pick in range(n_options(task, item))] for item in items]
    longest = [scores[_longest(item, len(scores))] for item, scores in zip(items, picked)]
    return {metric.key: _baselines(metric, picked, longest) for metric in task.metrics}


def n_options(task: Task, item: Item) -> int:
    """How many answers an item has to choose from; some protocols ask more than one request about each."""
    if task.contexts is not None:
        return len(task.contexts(item.document))
    return len(task.choices(item.document)) if task.choices is not None else len(item.requests)


def right_options(task: Task, item: Item) -> list[int]:
    """The options that are worth a point; some tasks keep the number of the right one to themselves."""
    return [pick for pick in range(n_options(task, item)) if _score_of(task, item, pick).get("acc,none") == 1]


def _score_of(task: Task, item: Item, pick: int) -> dict[str, float]:
    """What an item is worth to somebody who is certain of option `pick`."""
    answers = [Likelihood(_CHOSEN if i == pick else _OTHER, i == pick, 1) for i in range(len(item.requests))]
    return task.score(item.document, answers)


def _longest(item: Item, n: int) -> int:
    lengths = [len(r.context) + len(r.continuation) if isinstance(r, LogLikelihood) else 0 for r in item.requests[:n]]
    return lengths.index(max(lengths))


def _baselines(
    metric: Metric, picked: Sequence[Sequence[dict[str, float]]], longest: Sequence[dict[str, float]]
) -> Baselines:
    values = [[scores[metric.key] for scores in of_item if metric.key in scores] for of_item in picked]
    if not all(values) or not all(isinstance(value, int | float) for of_item in values for value in of_item):
        return Baselines()
    n = len(values)
    at_place = [
        sum(of_item[i] if i < len(of_item) else 0 for of_item in values) / n for i in range(max(map(len, values)))
    ]
    best = max(at_place)
    return Baselines(
        chance=sum(sum(of_item) / len(of_item) for of_item in values) / n,
        majority=None if best >= 1 else best,
        longest=sum(scores[metric.key] for scores in longest) / n,
    )
