"""Figure 10: the same dialogue before Ghost Attention and after it, side by side."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...files.atomic import atomic_write
from .attention import SystemAttention

_MOST_ROWS, _MOST_COLUMNS = 80, 40


def draw_attention(found: Mapping[str, SystemAttention], path: Path, *, title: str = "") -> Path:
    """Draw what models look at in the system message, one panel each, and the largest weight of every turn below.

    Parameters
    ----------
    found : mapping
        By the name of the model: the same dialogue, or at least the same system message.
    path : Path
        A PNG.

    Raises
    ------
    ValueError
        When matplotlib is missing, or there is nothing to draw.
    """
    if not found:
        raise ValueError("there is nothing to draw: give what system_attention found for one model or more")
    try:
        Figure = importlib.import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ValueError("the picture is drawn by matplotlib, which is missing: pip install matplotlib") from error
    figure = Figure(figsize=(4.2 * max(2, len(found)), 7.5), facecolor="white", layout="constrained")
    grid = figure.add_gridspec(2, len(found), height_ratios=(3, 1.2))
    largest = max(float(each.seen.max()) for each in found.values())
    for n, (name, each) in enumerate(found.items()):
        axes = figure.add_subplot(grid[0, n])
        image = _draw_map(axes, each, largest)
        axes.set_title(name, fontsize=11)
        if n == 0:
            axes.set_ylabel("turn of the dialogue")
    figure.colorbar(image, ax=figure.axes, shrink=0.8, label="largest attention over layers and heads")
    _draw_turns(figure.add_subplot(grid[1, :]), found)
    if title:
        figure.suptitle(title, fontsize=11)
    with atomic_write(path) as file:
        figure.savefig(file, dpi=120, format="png")
    return path


def _draw_map(axes: Any, each: SystemAttention, largest: float) -> Any:
    """Bins of the dialogue downwards, bins of the system message to the right; a line between turns."""
    n_tokens, n_system = each.seen.shape
    image = axes.imshow(
        each.binned(_MOST_ROWS, _MOST_COLUMNS),
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=largest,
        extent=(0, n_system, n_tokens, 0),
        interpolation="nearest",
    )
    step = max(1, len(each.turns) // 10)
    shown = range(0, len(each.turns), step)
    axes.set_yticks([np.mean(each.turns[i]) for i in shown], [str(i + 1) for i in shown])
    for first, _ in each.turns[1:]:
        axes.axhline(first, color="white", linewidth=0.3, alpha=0.6)
    axes.set_xlabel("token of the system message")
    return image


def _draw_turns(axes: Any, found: Mapping[str, SystemAttention]) -> None:
    for (name, each), colour in zip(found.items(), ("#888888", "#d9622b", "#2f6fb5", "#2a8f4f")):
        by_turn = each.by_turn()
        axes.plot(np.arange(1, len(by_turn) + 1), by_turn, "o-", color=colour, markersize=4, label=name)
    axes.set(xlabel="turn", ylabel="largest weight", ylim=(0, None))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(color="#dddddd")
    axes.legend(fontsize=8)
