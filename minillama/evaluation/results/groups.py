"""One number for several tasks: MMLU and its four areas, and the columns of the LLaMA 2 paper.

By size, as lm-evaluation-harness has it for MMLU: the mean over all questions. Its standard error is the pooled one of
the tasks; its interval is Wilson's over all questions. By members, as the paper has it: the plain mean of benchmarks,
whose interval is 1.96 standard errors. A column of the paper is given only where all its benchmarks were run with the
paper's number of shots: a mean of some of them would be another number under the same name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..common.task import Metric
from ..scoring.aggregation import mean
from ..statistics.errors import of_equal_weights, pooled
from ..statistics.intervals import Interval, normal_quantile, wilson
from ..tasks.groups import Group, Member
from .baselines import Baselines
from .scores import Method, Score

_LEVEL = 0.95


@dataclass(frozen=True)
class GroupResult:
    """The scores of several tasks as one.

    Attributes
    ----------
    group : Group
    members : tuple of str
        Tasks that were run.
    missing : tuple of str
        What belongs to it and was not run, or not with the paper's number of shots, in words.
    scores : dict of str to Score
        By `Metric.key`; empty for a column of the paper that lacks a member.
    """

    group: Group
    members: tuple[str, ...]
    missing: tuple[str, ...]
    scores: dict[str, Score] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.group.name


def group_result(group: Group, results: Mapping[str, Any]) -> GroupResult:
    """Put together what was found of a group.

    Parameters
    ----------
    group : Group
    results : mapping of task to TaskResult
    """
    members = tuple(task for task in group.tasks if task in results)
    missing = tuple(text for member in group.members if (text := _missing(group, member, results)))
    scores = [results[task].scores for task in members]
    if group.by_size:
        keys = [key for key in scores[0] if all(key in one for one in scores)] if scores else []
        combined = {key: _by_size([one[key] for one in scores]) for key in keys}
        return GroupResult(group, members, missing, {key: score for key, score in combined.items() if score})
    whole = None if missing else _by_members([results[str(m.task)].scores[m.metric] for m in group.members])
    return GroupResult(group, members, missing, {} if whole is None else {whole.metric.key: whole})


def _missing(group: Group, member: Member, results: Mapping[str, Any]) -> str:
    """Why a member does not count, or nothing."""
    if member.task is None or member.task not in results:
        return member.title if not group.by_size else str(member.task)
    n_shots = results[member.task].n_shots
    if member.n_shots not in (-1, n_shots):
        return f"{member.title} with {member.n_shots} shots (run with {n_shots})"
    return ""


def _by_size(scores: Sequence[Score]) -> Score | None:
    """The mean over the items of all; None for numbers that are no means (perplexity)."""
    scores = [score for score in scores if score.n]
    if not scores or not all(score.is_mean for score in scores):
        return None
    sizes = [score.n for score in scores]
    total = sum(sizes)
    value = math.fsum(score.value * score.n for score in scores) / total
    stderr = _known(pooled([math.nan if s.stderr is None else s.stderr for s in scores], sizes))
    if all(score.method == "wilson" for score in scores):
        interval = wilson(round(value * total), total)
        return _score(scores, scores[0].metric, value, stderr, interval, "wilson")
    return _score(scores, scores[0].metric, value, stderr, *_normal(value, stderr))


def _by_members(scores: Sequence[Score]) -> Score | None:
    """The plain mean of several tasks; None where one of them has no value."""
    if not all(score.n for score in scores):
        return None
    value = mean([score.value for score in scores])
    stderr = _known(of_equal_weights([math.nan if s.stderr is None else s.stderr for s in scores]))
    return _score(scores, Metric("mean", mean), value, stderr, *_normal(value, stderr))


def _score(
    scores: Sequence[Score],
    metric: Metric,
    value: float,
    stderr: float | None,
    interval: Interval | None,
    method: Method,
) -> Score:
    total = sum(score.n for score in scores)
    chances = [score.baselines.chance for score in scores]
    chance = None if None in chances else sum((c or 0.0) * score.n for c, score in zip(chances, scores)) / total
    is_pooled = metric is scores[0].metric
    return Score(metric, value, total, True, stderr, interval, method, Baselines(chance if is_pooled else None))


def _normal(value: float, stderr: float | None) -> tuple[Interval | None, Method]:
    if stderr is None:
        return None, "none"
    reach = normal_quantile(_LEVEL) * stderr
    return Interval(value - reach, value + reach), "normal"


def _known(number: float) -> float | None:
    return None if math.isnan(number) else number
