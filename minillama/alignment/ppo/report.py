"""What a run shows afterwards: reward against truth and KL, and where its time went.

    every few iterations:   reward (what PPO maximises), judged (what stops it), KL, truth

The truth is asked here and nowhere else: training, early stopping and the choice of a checkpoint have not seen it. All
rows are of the same validation requests, whose answers the run has kept.
"""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...files.atomic import atomic_write
from ...training.metrics import read_metrics
from ..models import Prompt
from .stage import SECONDS
from .validation import ValidationFiles

Truth = Callable[[Prompt, str], float]
"""How good an answer really is; what a world with a judge knows."""

Rows = list[dict[str, Any]]


def over_optimisation(folder: Path, prompts: Sequence[Prompt], truth: Truth) -> Rows:
    """A row for every look at the validation requests of a run.

    Parameters
    ----------
    folder : Path
        Of the policy's run (`PPOOutcome.folder`).
    prompts : sequence of Prompt
        The validation requests.
    truth : callable

    Returns
    -------
    list of dict
        "iteration", "reward", "judged", "kl" in nats an answer, "truth", and "truth.KIND" for each kind of request.
    """
    rows = []
    by_id = {prompt.id: prompt for prompt in prompts}
    last = max((row["iteration"] for row in read_metrics(folder)), default=0)
    for look in ValidationFiles(folder / "validation").history(last):
        asked = [by_id[answer.prompt_id] for answer in look.answers]
        found = np.array([truth(prompt, answer.text) for prompt, answer in zip(asked, look.answers)], np.float64)
        kinds = np.array([prompt.kind for prompt in asked])
        row = {"iteration": look.iteration} | {name: look.figures[name] for name in ("reward", "judged", "kl")}
        row |= {"truth": float(found.mean())}
        rows.append(row | {f"truth.{kind}": float(found[kinds == kind].mean()) for kind in sorted(set(kinds))})
    return rows


def write_rows(path: Path, rows: Rows) -> None:
    """Rows as CSV, with the columns of all of them."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def draw_over_optimisation(rows: Rows, path: Path, title: str = "") -> None:
    """Reward, judgement and truth over iterations, and over KL; each scaled by what it was at the start.

    Raises
    ------
    ValueError
        When matplotlib is missing, or there are no rows.
    """
    if not rows:
        raise ValueError("there is nothing to draw: the run had no validation, or has not looked at it yet")
    try:
        figure_of = importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise ValueError("curves are drawn by matplotlib, which is missing: pip install matplotlib") from None
    figure = figure_of(figsize=(9, 4), facecolor="white", layout="constrained")
    for axes, across, label in zip(figure.subplots(1, 2), ("iteration", "kl"), ("iteration", "KL, nats an answer")):
        along = [row[across] for row in rows]
        for name, color in (("reward", "#d9622b"), ("judged", "#8e5bb5"), ("truth", "#1f77b4")):
            values = np.array([row[name] for row in rows], np.float64)
            axes.plot(along, _scaled(values), "o-", color=color, markersize=3, label=name)
        axes.set(xlabel=label, ylabel="change since the start, in ranges of the curve")
        axes.grid(color="#dddddd")
        axes.legend(fontsize=8)
    figure.suptitle(title or "what is maximised, what stops, and what is true", fontsize=11)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format="png")


def _scaled(values: np.ndarray) -> np.ndarray:
    """From 0 at the start, in units of the difference between largest and smallest."""
    span = values.max() - values.min()
    return (values - values[0]) / (span if span > 0 else 1.0)


def time_table(folder: Path, products: Mapping[str, float] | None = None) -> Rows:
    """Where a run's time went.

    Parameters
    ----------
    folder : Path
        Of the policy's run.
    products : mapping of str to float, optional
        Share of a part's time in matrix products, by its name (products.py).

    Returns
    -------
    list of dict
        "part", "seconds", "share" of the whole, "products" or None where they were not measured; last a row "all",
        whose products are those of the measured parts: at least so much.
    """
    rows = [row for row in read_metrics(folder) if SECONDS[-1] in row]
    total = {name.removeprefix("seconds."): sum(row[name] for row in rows) for name in SECONDS}
    whole, known = sum(total.values()) or 1.0, products or {}
    table: Rows = [
        {"part": name, "seconds": round(spent, 3), "share": spent / whole, "products": known.get(name)}
        for name, spent in total.items()
    ]
    in_products = sum(row["share"] * row["products"] for row in table if row["products"] is not None)
    return [*table, {"part": "all", "seconds": round(whole, 3), "share": 1.0, "products": in_products}]
