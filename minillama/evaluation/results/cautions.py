"""What must be said beside a number, each in one sentence: a score is a claim, and these are its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..statistics.intervals import too_short
from ..statistics.power import items_for_interval
from .groups import GroupResult
from .scores import Score
from .task_result import TaskResult

_WIDE = 0.05  # half an interval: 5 points
_WANTED = 0.03
_MANY = 5  # tasks of a group whose cautions are put together
_NEAREST_TO_AN_END = 0.1  # a score of 0 of a few items does not say that the true one is so small


def cautions_of(results: Mapping[str, TaskResult], groups: Sequence[GroupResult]) -> list[str]:
    """The cautions of all tasks in their order; of many tasks that make up a group those of the group."""
    pools, pooled = [], set[str]()
    for group in sorted(groups, key=lambda one: -len(one.members)):
        if group.group.by_size and len(group.members) >= _MANY and not pooled & {*group.members}:
            pooled |= {*group.members}
            pools.append(group)
    found = []
    for name, result in results.items():
        found += _of_items(result) + ([] if name in pooled else _of_scores(result))
    return found + [sentence for group in pools for sentence in _of_group(group, results)]


def _of_group(group: GroupResult, results: Mapping[str, TaskResult]) -> list[str]:
    """What a mean of many tasks does not say, and what its members alone do not."""
    found = _against_baselines(group.name, list(group.scores.values()))
    scores = [score for task in group.members for score in results[task].scores.values() if score.is_share]
    unclear = {task for task in group.members if any(map(_relation, results[task].scores.values()))}
    widest = max((score.half_width or 0.0 for score in scores), default=0.0)
    found.append(
        f"{group.name}: {len(unclear)} of its {len(group.members)} tasks alone are not better than a baseline; "
        f"their intervals reach ± {100 * widest:.0f} points: quote the group's number"
    )
    return found


def task_cautions(result: TaskResult) -> list[str]:
    """What keeps a task's numbers from saying what they seem to say."""
    return [*_of_items(result), *_of_scores(result)]


def _of_items(result: TaskResult) -> list[str]:
    name, found = result.task.name, []
    if n := len(result.unscored):
        found.append(
            f"{name}: {_count(n, 'item')} cannot be scored and {_is(n)} left out: {result.unscored[0].problem}"
        )
    if n := len(result.truncated):
        found.append(f"{name}: {_count(n, 'item')} did not fit into the context and lost {_its(n)} beginning")
    return found


def _of_scores(result: TaskResult) -> list[str]:
    name, found = result.task.name, []
    shares = [score for score in result.scores.values() if score.is_share and score.n]
    if shares and (wide := max(shares, key=lambda score: score.half_width or 0)).half_width is not None:
        half = wide.half_width or 0.0
        if half > _WIDE:
            found.append(_wide(result, wide, half))
    drawn = [score.n for score in result.scores.values() if score.method == "bootstrap"]
    if drawn and (sentence := too_short(min(drawn), "bootstrap")):
        found.append(f"{name}: {sentence}")
    return found + _against_baselines(name, shares)


def _wide(result: TaskResult, score: Score, half: float) -> str:
    needed = items_for_interval(_WANTED, min(max(score.value, _NEAREST_TO_AN_END), 1 - _NEAREST_TO_AN_END))
    if score.n >= result.n_documents:
        return f"{result.task.name}: its {_count(score.n, 'item')} can say no more than ± {100 * half:.0f} points"
    more = f"± 3 points take about {needed:,} items"
    if needed > result.n_documents:
        with_all = 100 * half * math.sqrt(score.n / result.n_documents)
        more = f"the whole split of {result.n_documents:,} gives ± {with_all:.0f}"
    return f"{result.task.name}: {_count(score.n, 'item')}: ± {100 * half:.0f} points; {more}"


def _against_baselines(name: str, scores: Sequence[Score]) -> list[str]:
    """Which metrics somebody could have who does not read the questions, those with the same baseline together."""
    found: dict[str, list[str]] = {}
    for score in scores:
        if said := _relation(score):
            found.setdefault(said, []).append(f"{score.metric.name} {100 * score.value:.1f}")
    return [f"{name}: {', '.join(metrics)} {said}" for said, metrics in found.items()]


def _relation(score: Score) -> str | None:
    """Where a score stands to the first baseline that it does not clearly beat."""
    if score.interval is None:
        return None
    for what, value in (
        ("chance", score.baselines.chance),
        ("always the same place", score.baselines.majority),
        ("always the longest option", score.baselines.longest),
    ):
        if value is not None and score.interval.low <= value:
            relation = "cannot be told from" if value <= score.interval.high else "is below"
            return f"{relation} {what} ({100 * value:.1f})"
    return None


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _is(n: int) -> str:
    return "is" if n == 1 else "are"


def _its(n: int) -> str:
    return "its" if n == 1 else "their"
