"""`minillama eval compare A B`: is B better than A, on the items that both were asked?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..common.output import note, write

if TYPE_CHECKING:
    from ...evaluation.statistics.comparison import TaskComparison
    from ...evaluation.statistics.saved import SavedRun

_Path = Annotated[Path, typer.Argument(help="A folder of results or a samples_*.jsonl, lm-evaluation-harness's too.")]


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(compare)


def compare(
    a: _Path,
    b: _Path,
    tasks: Annotated[str | None, typer.Option("--tasks", help="Only these, with commas.")] = None,
    metrics: Annotated[str | None, typer.Option("--metrics", help="Only these: acc,acc_norm.")] = None,
    items: Annotated[int, typer.Option("--items", min=0, help="Show so many of the items whose scores differ.")] = 0,
    difference: Annotated[
        float | None,
        typer.Option("--difference", help="Say how many items would show this difference: 0.02 for 2 points."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random draws behind interval and p.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Compare two runs item by item: difference, interval, p, and what of it is noise."""
    from ...evaluation.statistics.comparison import compare_runs
    from ...evaluation.statistics.saved import read_run

    runs = read_run(a), read_run(b)
    found = compare_runs(*runs, tasks=_names(tasks), metrics=_names(metrics), seed=seed)
    if difference is not None and abs(difference) > 1 and any(one.is_share for one in found):
        raise ValueError(f"--difference is a share, 0.02 for 2 points, and is {difference:g}")
    if as_json:
        write(json.dumps([_as_object(one, runs, items, difference) for one in found], indent=2) + "\n")
        return
    note(f"A: {a}\nB: {b}")
    write(_table(found) + "\n")
    for one in found:
        if difference is not None:
            write(f"{one.label}: {_wanted(one, difference)}\n")
    for one in found:
        if items:
            write(_flips(one, runs, items))
    for sentence in _cautions(found, runs):
        note(sentence)


def _names(given: str | None) -> list[str]:
    return [name.strip() for name in given.split(",") if name.strip()] if given else []


# --- the table -----------------------------------------------------------------------------------

_HEAD = ("task", "metric", "items", "A", "B", "B - A", "95 % interval", "p", "")


def _table(found: list[TaskComparison]) -> str:
    rows = [_HEAD, *(_row(one) for one in found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD) - 1)]
    lines = []
    for row in rows:
        cells = [
            f"{cell:<{width}}" if i < 2 else f"{cell:>{width}}" for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    corrected = f", corrected for {len(found)} comparisons (Holm)" if len(found) > 1 else ""
    return "\n".join([*lines, "", f"p: how often equal models would differ as much{corrected}"])


def _row(one: TaskComparison) -> tuple[str, ...]:
    found = one.found
    scale, digits = (100, 1) if one.is_share else (1, 3)
    low, high = (f"{scale * end:+.{digits}f}" for end in found.interval)
    return (
        one.task,
        one.metric.removesuffix(",none"),
        f"{found.n:,}",
        f"{scale * found.a:.{digits}f}",
        f"{scale * found.b:.{digits}f}",
        f"{scale * found.difference:+.{digits}f}",
        f"{low} to {high}",
        "< 0.001" if one.p_corrected < 0.001 else f"{one.p_corrected:.3f}",
        one.verdict,
    )


def _wanted(one: TaskComparison, difference: float) -> str:
    needed = one.found.needed_for(difference)
    if needed is None:
        return "how many items a difference takes cannot be told from items that do not differ"
    what = f"{100 * difference:g} points" if one.is_share else f"a difference of {difference:g}"
    return f"{what} would be seen on {needed:,} items, four times of five"


def _cautions(found: list[TaskComparison], runs: tuple[SavedRun, SavedRun]) -> list[str]:
    sentences = _together([sentence for one in found for sentence in one.cautions])
    for label, run in zip("AB", runs):
        for name, task in run.tasks.items():
            if n := task.n_unscored:
                sentences.append(f"{name}: {n} lines of {label} have a metric that is not one number an item, left out")
    for label, run, other in zip("AB", runs, runs[::-1]):
        if alone := [name for name in run.tasks if name not in other.tasks]:
            sentences.append(f"only {label} has {', '.join(alone[:8])}{' …' if len(alone) > 8 else ''}")
    return list(dict.fromkeys(sentences))


def _together(sentences: list[str]) -> list[str]:
    """Sentences "task metric: what to say", each once for all of whom the same is to be said."""
    labels: dict[str, list[str]] = {}
    for sentence in dict.fromkeys(sentences):
        label, _, text = sentence.partition(": ")
        labels.setdefault(text, []).append(label)
    return [f"{_some(names)}: {text}" for text, names in labels.items()]


def _some(names: list[str], n: int = 4) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")


# --- items ---------------------------------------------------------------------------------------


def _flips(one: TaskComparison, runs: tuple[SavedRun, SavedRun], n: int) -> str:
    """The items whose scores differ, as many of one direction as of the other where there are so many."""
    from ...evaluation.statistics.saved import answer_of, line_at, prompt_of

    found = one.found
    lines = [f"\n{one.label}: {found.n_differing} of {found.n} items differ"]
    if found.only_a is not None:
        lines[0] += f", {found.only_a} that only A has right, {found.only_b} that only B has right"
    for task, key in _from_both_ends(one.flips, n):
        saved = [run.tasks[task] for run in runs]
        rows = [line_at(of, key, one.metric) for of in saved]
        a, b = (of.scores[one.metric][key] for of in saved)
        where = f"{task}, doc_id" if one.n_tasks > 1 else "doc_id"
        lines.append(f"\n--- {where} {saved[0].places[key].doc_id}, A {_score(a)}, B {_score(b)} ---")
        lines.append(prompt_of(rows[0]))
        lines += [
            f"({label} wrote: {text!r})" for label, row in zip("AB", rows) if (text := answer_of(row)) is not None
        ]
        lines.append(f"(target: {rows[0].get('target')})")
    return "\n".join(lines) + "\n"


def _from_both_ends(flips: tuple[Any, ...], n: int) -> tuple[Any, ...]:
    return flips if len(flips) <= n else flips[: (n + 1) // 2] + flips[len(flips) - n // 2 :]


def _score(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else " / ".join(f"{one:g}" for one in value)


# --- for programs --------------------------------------------------------------------------------


def _as_object(
    one: TaskComparison, runs: tuple[SavedRun, SavedRun], n_items: int, difference: float | None
) -> dict[str, Any]:
    found = one.found
    return {
        "task": one.task,
        "metric": one.metric,
        "n": found.n,
        "a": found.a,
        "b": found.b,
        "difference": found.difference,
        "interval_95": list(found.interval),
        "test": found.test,
        "p": found.p,
        "p_corrected": one.p_corrected,
        "higher_is_better": one.higher_is_better,
        "only_a": found.only_a,
        "only_b": found.only_b,
        "n_differing": found.n_differing,
        "n_needed": found.n_needed,
        **({} if difference is None else {"n_needed_for": {str(difference): found.needed_for(difference)}}),
        "only_in_a": one.only_in_a,
        "only_in_b": one.only_in_b,
        "n_other_prompts": one.n_other_prompts,
        "verdict": one.verdict,
        "cautions": list(one.cautions),
        "flips": [_flip(one, runs, *item) for item in _from_both_ends(one.flips, n_items)],
    }


def _flip(one: TaskComparison, runs: tuple[SavedRun, SavedRun], task: str, key: Any) -> dict[str, Any]:
    scores = {label: run.tasks[task].scores[one.metric][key] for label, run in zip("ab", runs)}
    return {"task": task, "doc_id": runs[0].tasks[task].places[key].doc_id, "doc_hash": key[0], **scores}
