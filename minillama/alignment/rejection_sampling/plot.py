"""Reward of the best of N answers as a picture (LLaMA 2, figures 7 and 8)."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from .order_statistics import BestOfN

_COLORS = ("#2a6fbb", "#d1652a", "#2a8f4f", "#8e5bb5", "#b03060", "#7a6a20", "#3a8f9f", "#555555")


def draw_best_of_n(
    curves: Mapping[str, BestOfN],
    path: Path,
    *,
    title: str = "",
    ylabel: str = "reward",
    truth_label: str = "truth of the chosen answer",
) -> Path:
    """Draw curves over N, written as PNG.

    One curve is figure 7: maximum and median, and in a second panel the truth of the chosen answer if it is known.
    Several, by temperature or by model, are figure 8: maxima as lines, medians dashed.

    Parameters
    ----------
    curves : mapping of str to BestOfN
    path : Path

    Raises
    ------
    ValueError
        When there is nothing to draw, or matplotlib is missing.
    """
    if not curves:
        raise ValueError("there are no curves to draw")
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError("the picture is drawn by matplotlib, which is missing: pip install matplotlib") from error
    with_truth = any(curve.truth is not None for curve in curves.values())
    figure = figures.Figure(figsize=(6.4, 6.6 if with_truth else 4.2), facecolor="white", layout="constrained")
    axes = figure.subplots(1 + with_truth, 1, sharex=True, squeeze=False, height_ratios=(3, 2)[: 1 + with_truth])[:, 0]
    for color, (label, curve) in zip(_COLORS * len(curves), curves.items()):
        name = f"{label}, " if label else ""
        _draw(axes[0], curve.n, curve.maximum, curve.maximum_interval, color, f"{name}maximum", "-")
        _draw(axes[0], curve.n, curve.median, curve.median_interval, color, f"{name}median", "--")
        if curve.truth is not None:
            _draw(axes[1], curve.n, curve.truth, curve.truth_interval, color, label or truth_label, "-")
    axes[0].set(title=title, ylabel=ylabel)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=4)
    if with_truth:
        axes[1].set_ylabel(truth_label)
    _number_axis(axes[-1], max(int(curve.n[-1]) for curve in curves.values()))
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
    return path


def _draw(axis: Any, n: Any, values: Any, interval: Any, color: str, label: str, style: str) -> None:
    axis.plot(n, values, style, color=color, label=label, linewidth=1.6)
    axis.fill_between(n, interval[:, 0], interval[:, 1], color=color, alpha=0.13, linewidth=0)
    axis.grid(alpha=0.25)


def _number_axis(axis: Any, most: int) -> None:
    """Powers of two: what the next answer adds shrinks with how many there are."""
    axis.set_xscale("log", base=2)
    ticks = [2**i for i in range(most.bit_length())]
    axis.set_xticks(ticks, [str(tick) for tick in ticks])
    axis.set_xlabel("N, answers to a prompt")
