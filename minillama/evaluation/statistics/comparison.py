"""Saved runs beside each other, task by task: which items they share, who is better, what of that is noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .multiplicity import holm
from .paired import Paired, compare_paired
from .resampled import Weighted, mean, perplexity, ratio_of_sums
from .saved import Key, SavedRun

Item = tuple[str, Key]
"""The task of an item, and its document."""

_bits = Weighted(lambda values, counts: -ratio_of_sums.of_counts(values, counts) / math.log(2), "bits", weights=1)


@dataclass(frozen=True)
class TaskComparison:
    """One metric of one task.

    Attributes
    ----------
    task, metric : str
        The metric is "name,filter".
    found : Paired
        The second run beside the first.
    p_corrected : float
        By Holm, for all the comparisons that were made together.
    higher_is_better : bool
    is_share : bool
        A score from 0 to 1, which people read in points of a hundred.
    only_in_a, only_in_b : int
        Items that the other run has no score for; they are left out.
    n_other_prompts : int
        Items that both runs have, but with other prompts.
    flips : tuple of (task, Key)
        Items whose scores differ, those first that the second run does better.
    n_tasks : int
        More than 1 for a group, whose items are taken together.
    """

    task: str
    metric: str
    found: Paired
    p_corrected: float
    higher_is_better: bool
    is_share: bool
    only_in_a: int
    only_in_b: int
    n_other_prompts: int
    flips: tuple[Item, ...]
    n_tasks: int = 1

    @property
    def label(self) -> str:
        """Task and metric, the filter where there is one."""
        return f"{self.task} {self.metric.removesuffix(',none')}"

    @property
    def verdict(self) -> str:
        """What may be claimed, in words."""
        if self.found.n_differing == 0:
            return "no item differs"
        if self.p_corrected < 1 - self.found.level:
            return "B is better" if (self.found.difference > 0) == self.higher_is_better else "A is better"
        if not self.found.is_noise:
            return f"inside the noise once all comparisons count (alone p = {self.found.p:.3f})"
        if self.found.n_needed is None:
            return "inside the noise: no difference to see"
        more = self.found.n_needed - self.found.n
        return f"inside the noise: {more:,} items more would be needed" if more > 0 else "inside the noise"

    @property
    def cautions(self) -> tuple[str, ...]:
        """What must be said beside it, each in one sentence."""
        found = [f"{self.label}: {sentence}" for sentence in self.found.cautions]
        if self.n_tasks > 1:
            found.append(f"{self.task}: the items of its {self.n_tasks} tasks together, each counting the same")
        if self.only_in_a or self.only_in_b:
            found.append(
                f"{self.label}: left out {self.only_in_a} items that only A has and {self.only_in_b} that only B has"
            )
        if self.n_other_prompts:
            found.append(
                f"{self.task}: {self.n_other_prompts} of {self.found.n} items were asked with other prompts (other "
                "shots, template or protocol), so that not the models alone are compared"
            )
        return tuple(found)


def compare_runs(
    a: SavedRun,
    b: SavedRun,
    *,
    tasks: Iterable[str] = (),
    metrics: Iterable[str] = (),
    level: float = 0.95,
    power: float = 0.8,
    seed: int = 0,
) -> list[TaskComparison]:
    """Compare every metric of what both runs have, or of what is named.

    Groups (MMLU) that both have whole are compared with the items of all their tasks together; their tasks alone are
    compared when they are named.

    Raises
    ------
    ValueError
        A named task or metric is not in both, or nothing is.
    """
    members = _members(a, b)
    chosen = list(tasks) or _outermost(members)
    if missing := [name for name in chosen if name not in members]:
        raise ValueError(f"{missing[0]} is not in both runs; they share: {', '.join(members) or 'no task'}")
    if not chosen:
        raise ValueError(f"no task is in both runs: A has {', '.join(a.tasks)}; B has {', '.join(b.tasks)}")
    wanted = set(metrics)
    pairs = [(name, metric) for name in chosen for metric in _metrics_of(a, b, members[name], wanted)]
    there = sorted({metric for name in chosen for metric in _metrics_of(a, b, members[name], set())})
    if unknown := wanted - {name for metric in there for name in (metric, metric.split(",")[0])} if there else set():
        names = ", ".join(metric.removesuffix(",none") for metric in there)
        raise ValueError(f"{min(unknown)} is no metric of {', '.join(chosen)} in both runs; they share: {names}")
    if not pairs:
        raise ValueError(f"no item of {', '.join(chosen)} has the same document in both runs and a score to compare")
    made = [_compared(a, b, name, members[name], metric, level, power, seed) for name, metric in pairs]
    corrected = holm([one.found.p for one in made])
    return [replace(one, p_corrected=p) for one, p in zip(made, corrected)]


def _members(a: SavedRun, b: SavedRun) -> dict[str, list[str]]:
    """What both runs have: groups with all their tasks, then tasks, which are groups of one."""
    shared = {name: [name] for name in a.tasks if name in b.tasks}
    groups = {
        name: inside
        for name, inside in a.groups.items()
        if name not in shared and inside and set(inside) <= shared.keys() and b.groups.get(name, inside) == inside
    }
    return groups | shared


def _outermost(members: dict[str, list[str]]) -> list[str]:
    """Groups, and tasks that are in none: 57 subjects would hide what matters."""
    grouped = {task for name, inside in members.items() if inside != [name] for task in inside}
    return [name for name, inside in members.items() if inside != [name] or name not in grouped]


def _metrics_of(a: SavedRun, b: SavedRun, inside: list[str], wanted: set[str]) -> list[str]:
    """Those that every task has in both runs, with at least one item in common, by "name" or "name,filter"."""
    names = [metric for metric in a.tasks[inside[0]].scores if not wanted or {metric, metric.split(",")[0]} & wanted]
    return [
        metric
        for metric in names
        if all(metric in run.tasks[task].scores for run in (a, b) for task in inside)
        and any(a.tasks[task].scores[metric].keys() & b.tasks[task].scores[metric].keys() for task in inside)
    ]


def _scores_of(run: SavedRun, inside: list[str], metric: str) -> dict[Item, Any]:
    return {(task, key): value for task in inside for key, value in run.tasks[task].scores[metric].items()}


def _compared(
    a: SavedRun, b: SavedRun, name: str, inside: list[str], metric: str, level: float, power: float, seed: int
) -> TaskComparison:
    scores_a, scores_b = _scores_of(a, inside, metric), _scores_of(b, inside, metric)
    items = [item for item in scores_a if item in scores_b]
    x, y = (np.array([scores[item] for item in items]) for scores in (scores_a, scores_b))
    lower = a.lower_is_better | b.lower_is_better
    is_lower = x.ndim == 2 or any((task, metric.split(",")[0]) in lower for task in inside)
    found = compare_paired(x, y, _statistic(metric, x), level=level, power=power, seed=seed)
    gain = y[:, 0] - x[:, 0] if x.ndim == 2 else (x - y if is_lower else y - x)  # a log-likelihood gains by growing
    return TaskComparison(
        task=name,
        metric=metric,
        found=found,
        p_corrected=found.p,
        higher_is_better=not is_lower,
        is_share=x.ndim == 1 and not is_lower and bool(min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) <= 1),
        only_in_a=len(scores_a) - len(items),
        only_in_b=len(scores_b) - len(items),
        n_other_prompts=sum(a.tasks[task].prompts[key] != b.tasks[task].prompts[key] for task, key in items),
        flips=tuple(items[i] for i in np.argsort(-gain, kind="stable") if gain[i] != 0),
        n_tasks=len(inside),
    )


def scores_under_seeds(runs: Sequence[SavedRun]) -> dict[tuple[str, str], npt.NDArray[np.float64]]:
    """The scores (n_items, n_runs) of items that all runs have, by task and metric: what `split_variance` takes.

    Perplexities are left out, since a score of one document is not what they are made of.
    """
    found = {}
    for name, task in runs[0].tasks.items():
        for metric in task.scores:
            scores = [run.tasks[name].scores.get(metric, {}) if name in run.tasks else {} for run in runs]
            keys = [key for key in scores[0] if all(key in one for one in scores)]
            rows = [[one[key] for one in scores] for key in keys]
            if len(rows) > 1 and not isinstance(rows[0][0], tuple):
                found[name, metric] = np.array(rows, dtype=np.float64)
    return found


def _statistic(metric: str, values: np.ndarray) -> Weighted:
    """What makes one score of the items' values."""
    if values.ndim == 1:
        return mean
    return _bits if metric.startswith("bits_per_byte,") else perplexity
