"""The drawings of the report card, by matplotlib as SVG; the same numbers give the same bytes."""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....training.curves import can_plot

__all__ = ["adherence_chart", "best_of_n_chart", "can_plot", "kl_chart", "reliability_chart", "reward_chart"]

_COLOURS = ("#1f77b4", "#d9622b", "#2a8f4f", "#8e5bb5", "#b58900", "#c2185b", "#00838f", "#5d4037", "#607d8b")
_MARKERS = "os^Dv<>PX"  # lines differ for who sees no colours, too


def reward_chart(stages: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The distribution of both rewards at every stage: boxes over the middle half, whiskers from 5 to 95 %.

    Parameters
    ----------
    stages : mapping
        By the stage's name: {"helpfulness": scores, "safety": scores}.
    """
    kinds = list(next(iter(stages.values())))
    figure, axes = _figure(1, len(kinds), (4.6 * len(kinds), 0.5 + 0.45 * len(stages) + 0.8))
    for ax, kind in zip(np.ravel(axes), kinds):
        values = [np.asarray(found[kind], np.float64) for found in stages.values()]
        boxes = ax.boxplot(
            values, orientation="horizontal", whis=(5, 95), showfliers=False, patch_artist=True, widths=0.6
        )
        for box, colour in zip(boxes["boxes"], _COLOURS * 3):
            box.set(facecolor=colour, alpha=0.5)
        for line in boxes["medians"]:
            line.set_color("black")
        ax.set_yticks(range(1, len(stages) + 1), list(stages))
        ax.invert_yaxis()
        ax.set_xlabel(f"{kind} reward (logits)")
        ax.grid(axis="x", color="#dddddd")
    return _svg(figure)


def kl_chart(rows: Sequence[Mapping[str, float]]) -> str:
    """The reward that PPO raises and the truth, both over the KL to where it began: over-optimisation.

    Parameters
    ----------
    rows : sequence of mapping
        Of the iterations that were looked at: "kl", "reward", and "truth" where the judge was asked.
    """
    figure, ax = _figure(1, 1, (6.4, 3.6))
    _line(ax, [row["kl"] for row in rows], [row["reward"] for row in rows], 0, "what PPO sees")
    ax.set(xlabel="KL to the policy before PPO, nats an answer", ylabel="reward")
    if told := [row for row in rows if "truth" in row]:
        other = ax.twinx()
        _line(other, [row["kl"] for row in told], [row["truth"] for row in told], 1, "the judge")
        other.set_ylabel("truth")
        _legend(ax, other)
    return _svg(figure)


def adherence_chart(lines: Mapping[str, Mapping[int, float]]) -> str:
    """The share of dialogues that keep their instruction at a turn, a line for each measure and model."""
    figure, ax = _figure(1, 1, (6.4, 3.4))
    for n, (name, by_turn) in enumerate(lines.items()):
        _line(ax, list(by_turn), [100 * share for share in by_turn.values()], n, name)
    ax.set(xlabel="turn", ylabel="kept, %", ylim=(-4, 104), xticks=sorted({t for line in lines.values() for t in line}))
    ax.legend(fontsize=8)
    return _svg(figure)


def reliability_chart(models: Mapping[str, Sequence[tuple[float, float, int]]]) -> str:
    """How often a reward model is right over how sure it is.

    Parameters
    ----------
    models : mapping
        By the model's name: (mean confidence, share right, pairs) of each bin.
    """
    figure, ax = _figure(1, 1, (4.6, 4.2))
    ax.plot([0.5, 1], [0.5, 1], color="#888888", linestyle="--", linewidth=0.8)
    for n, (name, bins) in enumerate(models.items()):
        filled = [one for one in bins if one[2]]
        _line(ax, [one[0] for one in filled], [one[1] for one in filled], n, name)
    ax.set(xlabel="confidence", ylabel="right", xlim=(0.48, 1.02), ylim=(-0.02, 1.02))
    ax.legend(fontsize=8)
    return _svg(figure)


def best_of_n_chart(rows: Sequence[Mapping[str, float]]) -> str:
    """The largest and the median reward of N answers over N (figure 7 of the paper), and the truth of the largest."""
    figure, ax = _figure(1, 1, (6.4, 3.4))
    n = [row["n"] for row in rows]
    _line(ax, n, [row["max"] for row in rows], 0, "largest of N")
    _line(ax, n, [row["median"] for row in rows], 1, "median of N")
    ax.set(xlabel="N, answers to a request", ylabel="reward", xticks=n)
    if all("truth" in row for row in rows):
        other = ax.twinx()
        _line(other, n, [row["truth"] for row in rows], 2, "truth of the largest")
        other.set_ylabel("truth")
        _legend(ax, other)
    else:
        ax.legend(fontsize=8)
    return _svg(figure)


def _figure(n_rows: int, n_columns: int, size: tuple[float, float]) -> tuple[Any, Any]:
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=size, facecolor="white", layout="constrained")
    return figure, figure.subplots(n_rows, n_columns)


def _line(ax: Any, x: Sequence[float], y: Sequence[float], n: int, label: str) -> None:
    marker = _MARKERS[n % len(_MARKERS)]
    ax.plot(x, y, f"{marker}-", color=_COLOURS[n % len(_COLOURS)], markersize=4, label=label)
    ax.grid(color="#dddddd")


def _legend(ax: Any, other: Any) -> None:
    """One for the lines of both axes."""
    handles = [line for axes in (ax, other) for line in axes.get_lines()]
    other.legend(handles, [line.get_label() for line in handles], fontsize=8, loc="center left")


def _svg(figure: Any) -> str:
    matplotlib = importlib.import_module("matplotlib")
    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "minillama", "svg.fonttype": "path"}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()
