"""Two saved runs, task by task: which items they share, who is better, and what of that is noise."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .multiplicity import holm
from .paired import Paired, compare_paired
from .resampled import Weighted, mean, perplexity, ratio_of_sums
from .saved import Key, SavedRun, SavedTask

_bits = Weighted(lambda values, counts: -ratio_of_sums.of_counts(values, counts) / math.log(2), "bits")


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
    flips : tuple of Key
        Items whose scores differ, those first that the second run does better.
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
    flips: tuple[Key, ...]

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
        found = [f"{self.task} {self.metric}: {sentence}" for sentence in self.found.cautions]
        if self.only_in_a or self.only_in_b:
            found.append(
                f"{self.task} {self.metric}: left out {self.only_in_a} items that only A has and {self.only_in_b} "
                f"that only B has"
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
    """Compare every metric of every task that both runs have, or those that are named.

    Raises
    ------
    ValueError
        A named task or metric is not in both, or nothing is.
    """
    shared = [name for name in a.tasks if name in b.tasks]
    chosen = list(tasks) or shared
    if missing := [name for name in chosen if name not in shared]:
        raise ValueError(f"{missing[0]} is not in both runs; they share: {', '.join(shared) or 'no task'}")
    if not chosen:
        raise ValueError(f"no task is in both runs: A has {', '.join(a.tasks)}; B has {', '.join(b.tasks)}")
    pairs = [(name, metric) for name in chosen for metric in _metrics_of(a.tasks[name], b.tasks[name], set(metrics))]
    if not pairs:
        raise ValueError(f"no item of {', '.join(chosen)} has the same document in both runs and a score to compare")
    made = [_compared(a, b, name, metric, level, power, seed) for name, metric in pairs]
    corrected = holm([one.found.p for one in made])
    return [TaskComparison(**{**vars(one), "p_corrected": p}) for one, p in zip(made, corrected)]


def _metrics_of(a: SavedTask, b: SavedTask, wanted: set[str]) -> list[str]:
    """Those with an item in both, by "name" or "name,filter"."""
    shared = [metric for metric in a.scores if a.scores[metric].keys() & b.scores.get(metric, {}).keys()]
    return [metric for metric in shared if not wanted or {metric, metric.split(",")[0]} & wanted]


def _compared(
    a: SavedRun, b: SavedRun, name: str, metric: str, level: float, power: float, seed: int
) -> TaskComparison:
    first, second = a.tasks[name], b.tasks[name]
    scores_a, scores_b = first.scores[metric], second.scores[metric]
    keys = [key for key in scores_a if key in scores_b]
    x, y = (np.array([scores[key] for key in keys]) for scores in (scores_a, scores_b))
    is_lower = (name, metric.split(",")[0]) in a.lower_is_better | b.lower_is_better or x.ndim == 2
    found = compare_paired(x, y, _statistic(metric, x), level=level, power=power, seed=seed)
    gain = (y - x if x.ndim == 1 else y[:, 0] - x[:, 0]) * (-1 if is_lower and x.ndim == 1 else 1)
    order = np.argsort(-gain, kind="stable")
    return TaskComparison(
        task=name,
        metric=metric,
        found=found,
        p_corrected=found.p,
        higher_is_better=not is_lower,
        is_share=x.ndim == 1 and not is_lower and bool(min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) <= 1),
        only_in_a=len(scores_a) - len(keys),
        only_in_b=len(scores_b) - len(keys),
        n_other_prompts=sum(first.prompts[key] != second.prompts[key] for key in keys),
        flips=tuple(keys[i] for i in order if gain[i] != 0),
    )


def _statistic(metric: str, values: np.ndarray) -> Weighted:
    """What makes one score of the items' values."""
    if values.ndim == 1:
        return mean
    return _bits if metric.startswith("bits_per_byte,") else perplexity
