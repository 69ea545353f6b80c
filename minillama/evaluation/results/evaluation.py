"""All that an evaluation found, as one value: what `minillama.evaluate` returns.

evaluation = minillama.evaluate(llm, ["arc_easy"], limit=100)
print(evaluation)                                # the table
evaluation.results["arc_easy"]["acc"]            # a number
evaluation["arc_easy"].scores["acc,none"]        # with its interval and baselines
evaluation["arc_easy"].items[3].answers          # what was asked and answered
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.task import Scored, Task
from ..tasks.groups import ALL
from .baselines import baselines_of
from .groups import GroupResult, group_result
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


@dataclass(frozen=True)
class Evaluation:
    """The results of several tasks.

    Attributes
    ----------
    results : dict of str to TaskResult
        By the name of the task, in the order in which they were asked for.
    groups : tuple of GroupResult
        Means over several tasks.
    settings : mapping
        What makes two runs the same run, see settings.py.
    times : mapping
        When it ran and how long it took; the only thing that differs between two equal runs.
    """

    results: dict[str, TaskResult]
    groups: tuple[GroupResult, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    times: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, task: str) -> TaskResult:
        return self.results[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __str__(self) -> str:
        from .table import as_text

        return as_text(self)

    __repr__ = __str__


def groups_of(results: Mapping[str, TaskResult]) -> tuple[GroupResult, ...]:
    """The groups of which at least two tasks were run, or all."""
    found = (group_result(group, results) for group in ALL if any(task in results for task in group.tasks))
    return tuple(group for group in found if len(group.members) > 1 or not group.missing)
