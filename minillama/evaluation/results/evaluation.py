"""All that an evaluation found, as one value: what `minillama.evaluate` returns.

evaluation = minillama.evaluate(llm, ["arc_easy"], limit=100)
print(evaluation)                                # the table
evaluation.results["arc_easy"]["acc"]            # a number
evaluation["arc_easy"].scores["acc,none"]        # with its interval and baselines
evaluation["arc_easy"].items[3].answers          # what was asked and answered
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..tasks.groups import ALL
from .groups import GroupResult, group_result
from .table import as_text
from .task_result import TaskResult


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
        return as_text(self.results, self.groups)

    __repr__ = __str__


def groups_of(results: Mapping[str, TaskResult]) -> tuple[GroupResult, ...]:
    """The groups of which at least two tasks were run, or all."""
    found = (group_result(group, results) for group in ALL if any(task in results for task in group.tasks))
    return tuple(group for group in found if len(group.members) > 1 or not group.missing)
