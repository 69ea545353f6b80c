"""The paper's tables about reward models, on any chat model and any comparisons.

    table 7     models by test set: accuracy
    table 8     models and test sets by strength
    table 28    margin none, small, large by strength
    table 29    without and with the auxiliary loss: average, bins of safety, recall of "unsafe" at 0.5

Each run is a run of the trainer in a folder of its own: an ablation that was stopped goes on where it was, and one that
is done is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...config import ModelConfig
from ...training.run_folder import RunFolder
from ...training.trainer import Observer, train
from .measures import AVERAGE, Report, Share, report
from .model import RewardModel, read_reward_model
from .objective import MARGINS
from .scorer import pair_scores
from .token_pairs import TokenPair
from .training import RewardSettings, RewardTraining

TableRow = tuple[str, dict[str, Share]]
"""What a row is about, and its figures by column."""

MakeStage = Callable[[RewardSettings], RewardTraining]
"""The stage for settings: model, pairs and validation are the caller's."""


def trained(
    stage: RewardTraining, folder: Path, observer: Observer, *, threads: int | None = None
) -> tuple[ModelConfig, RewardModel]:
    """Train to the last step, or go on to it, and read what the run ended with."""
    outcome = train(stage, RunFolder(folder), observer, threads=threads, resume=True)
    return read_reward_model(outcome.checkpoint, stage.config)


def measured(model: RewardModel, config: ModelConfig, pairs: Sequence[TokenPair]) -> Report:
    """A model on pairs that it has not learned from."""
    strengths, safe = [pair.strength for pair in pairs], np.array([pair.safe for pair in pairs])
    return report(pair_scores(model, config, pairs), strengths, safe)


def margin_ablation(
    make: MakeStage, settings: RewardSettings, test: Sequence[TokenPair], folder: Path, observer: Observer
) -> list[TableRow]:
    """Table 28: a model with each margin, by strength."""
    rows = []
    for margin in MARGINS:
        stage = make(replace(settings, margin=margin))
        config, model = trained(stage, folder / f"margin-{margin}", observer)
        rows.append((f"margin {margin}", dict(measured(model, config, test).strength)))
    return rows


def auxiliary_ablation(
    make: MakeStage,
    settings: RewardSettings,
    test: Sequence[TokenPair],
    folder: Path,
    observer: Observer,
    weights: Sequence[float] = (0.0, 1.0),
) -> list[TableRow]:
    """Table 29: a model with each weight of the auxiliary loss, on pairs whose safety is known."""
    rows = []
    for weight in weights:
        stage = make(replace(settings, auxiliary=weight))
        config, model = trained(stage, folder / f"auxiliary-{weight:g}", observer)
        rows.append((f"auxiliary {weight:g}", table29_columns(measured(model, config, test))))
    return rows


def table29_columns(found: Report) -> dict[str, Share]:
    """Average, bins, and the recall of unsafe answers at 0.5."""
    recall = {"recall of unsafe at 0.5": found.unsafe[0].recall} if found.unsafe else {}
    return {AVERAGE: found.accuracy, **found.bins, **recall}


def by_test_set(reports: Mapping[str, Mapping[str, Report]]) -> list[TableRow]:
    """Table 7 from {model: {test set: report}}: accuracies."""
    return [(model, {name: found.accuracy for name, found in sets.items()}) for model, sets in reports.items()]


def by_strength_and_set(reports: Mapping[str, Mapping[str, Report]]) -> list[TableRow]:
    """Table 8 from {model: {test set: report}}: a row for each test set and model."""
    names = {name: None for sets in reports.values() for name in sets}
    return [
        (f"{name}: {model}", dict(sets[name].strength))
        for name in names
        for model, sets in reports.items()
        if name in sets
    ]


def as_markdown(rows: Sequence[TableRow]) -> str:
    """A table in per cent, with 95 % intervals and the number of pairs under each column's name."""
    columns = list({name: None for _, figures in rows for name in figures})
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, figures in rows:
        lines.append(f"| {name} | " + " | ".join(_cell(figures.get(column)) for column in columns) + " |")
    return "\n".join(lines) + "\n"


def _cell(found: Share | None) -> str:
    if found is None or not found.n:
        return "–"
    low, high = found.interval
    return f"{found.value:.1%} ({low:.1%} to {high:.1%}, n = {found.n})"
