"""The results as a table of plain text: scores, intervals and what they must be held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .cautions import cautions_of
from .groups import GroupResult
from .scores import Score
from .task_result import TaskResult

HEADINGS = ("task", "metric", "score", "±se", "95 %", "n", "shots", "chance", "majority", "longest")


def as_text(results: Mapping[str, TaskResult], groups: Sequence[GroupResult]) -> str:
    """The table, groups below it, then the cautions."""
    lines = aligned([HEADINGS, *rows_of(results, groups)], left=2)
    lines.insert(1, "-" * max(map(len, lines)))
    if cautions := cautions_of(results, groups):
        lines += ["", *cautions]
    return "\n".join(lines) + "\n"


def rows_of(results: Mapping[str, TaskResult], groups: Sequence[GroupResult]) -> list[tuple[str, ...]]:
    """A row for each metric of each task, then of each group that is whole or says what it lacks."""
    rows = []
    for name, result in results.items():
        for i, score in enumerate(result.scores.values()):
            rows.append(_row("" if i else name, score, str(result.n_shots)))
    for group in groups:
        lacks = f" ({len(group.members)} of {len(group.members) + len(group.missing)} tasks)" if group.missing else ""
        for i, score in enumerate(group.scores.values()):
            rows.append(_row("" if i else f"= {group.name}{lacks}", score, ""))
    return rows


def _row(name: str, score: Score, n_shots: str) -> tuple[str, ...]:
    filter_ = "" if score.metric.filter == "none" else f" ({score.metric.filter})"
    b = score.baselines
    return (
        name,
        score.metric.name + filter_,
        number(score, score.value),
        "" if score.stderr is None else number(score, score.stderr),
        interval_text(score),
        f"{score.n:,}",
        n_shots,
        *(("" if value is None else number(score, value)) for value in (b.chance, b.majority, b.longest)),
    )


def number(score: Score, value: float) -> str:
    """A value of this score's kind: shares in per cent, others as they are."""
    if math.isnan(value):
        return "—"
    return f"{100 * value:.1f}" if score.is_share else f"{value:.4g}"


def interval_text(score: Score) -> str:
    """Its two ends, or nothing."""
    if score.interval is None or any(math.isnan(end) for end in score.interval):
        return ""
    return f"{number(score, score.interval.low)} – {number(score, score.interval.high)}"


def aligned(rows: Sequence[tuple[str, ...]], left: int) -> list[str]:
    """Rows as lines with columns of equal width, the first `left` of them flush left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width) for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
