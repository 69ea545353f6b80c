"""A task with its items, answered, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.task import Scored, Task
from .baselines import baselines_of
from .scores import Score, score_of


@dataclass(frozen=True)
class TaskResult:
    """A task with its items, answered, and its scores.

    Attributes
    ----------
    task : Task
    items : tuple of Scored
        In the order of the split.
    scores : dict of str to Score
        By `Metric.key`: "acc,none".
    n_documents : int
        In the whole split; more than `items` after `limit`.
    n_shots : int
        Before each question.
    """

    task: Task
    items: tuple[Scored, ...]
    scores: dict[str, Score]
    n_documents: int
    n_shots: int

    def __getitem__(self, name: str) -> float:
        """The value of a metric, by its name ("acc") or its key ("exact_match,strict-match")."""
        return self.score(name).value

    def score(self, name: str) -> Score:
        """A metric by its name or its key; KeyError, which says what there is."""
        found = [score for key, score in self.scores.items() if name in (key, score.metric.name)]
        if len(found) != 1:
            what = "several metrics are named" if found else "has no metric"
            raise KeyError(f"{self.task.name}: {what} {name!r}; there are {', '.join(self.scores)}")
        return found[0]

    @property
    def unscored(self) -> list[Scored]:
        """Items that cannot be scored; `problem` says why."""
        return [one for one in self.items if one.problem]

    @property
    def truncated(self) -> list[Scored]:
        """Items whose context did not fit and was cut from the left."""
        return [one for one in self.items if any(answer.truncated for answer in one.answers)]


def result_of(task: Task, items: Sequence[Scored], n_documents: int, n_shots: int) -> TaskResult:
    """Score a task whose items are answered."""
    baselines = baselines_of(task, [one.item for one in items])
    scores = {metric.key: score_of(metric, items, baselines.get(metric.key)) for metric in task.metrics}
    return TaskResult(task, tuple(items), scores, n_documents, n_shots)
