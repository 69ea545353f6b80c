"""`minillama eval seeds RUN RUN …`: what of a few-shot score is due to the draw of its shots."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from ..common.output import note, write


def register(app: typer.Typer) -> None:
    """Add to the command line."""
    app.command()(seeds)


def seeds(
    runs: Annotated[list[Path], typer.Argument(help="Folders of results (or samples_*.jsonl), one for each seed.")],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Split the variance of runs that differ in their --seed: into items, and the draw of shots."""
    from ...evaluation.statistics.comparison import scores_under_seeds
    from ...evaluation.statistics.saved import read_run
    from ...evaluation.statistics.seeds import split_variance

    if len(runs) < 2:
        raise ValueError(f"expected the results of at least 2 seeds, got {len(runs)}")
    _check_settings(runs)
    found = {
        name: split_variance(scores) for name, scores in scores_under_seeds([read_run(run) for run in runs]).items()
    }
    if not found:
        raise ValueError(
            "the runs have no two items of a task in common with a score each (a perplexity's documents have none)"
        )
    if as_json:
        rows = [
            {"task": task, "metric": metric, **asdict(one), "error_of_items": one.error_of_items}
            | {"error_of_shots": one.error_of_shots, "interval_95_of_mean": list(one.interval())}
            for (task, metric), one in found.items()
        ]
        write(json.dumps(rows, indent=2) + "\n")
        return
    for (task, metric), one in found.items():
        write(f"{task} {metric.removesuffix(',none')}: {one}\n")
    note("the interval of a single run leaves out what its draw of shots does to all items alike")


def _check_settings(runs: list[Path]) -> None:
    """Where the folders say what was run: it must be one model, and each time another draw."""
    files = [run / "settings.json" for run in runs if (run / "settings.json").is_file()]
    settings = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    if len({one["model"].get("sha256", one["model"].get("name")) for one in settings}) > 1:
        raise ValueError("these are runs of different models: compare those with `minillama eval compare A B`")
    seeds = [one["asking"]["seed"] for one in settings]
    if twice := next((seed for seed in seeds if seeds.count(seed) > 1), None):
        raise ValueError(f"expected runs with different seeds, found --seed {twice} more than once")
