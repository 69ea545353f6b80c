"""The curves of a run: loss, learning rate and gradient norm over steps."""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .metrics import read_metrics

CURVES = "curves.png"
_MAX_POINTS = 4000


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError:
        return False
    return True


def draw_curves(folder: Path, *, clip_norm: float = 0.0, title: str = "") -> Path:
    """Draw curves.png from metrics.jsonl.

    Parameters
    ----------
    folder : Path
        The run.
    clip_norm : float
        Drawn as a line where it is above 0.

    Raises
    ------
    ValueError
        When matplotlib is missing, or the run has no rows.
    """
    if not can_plot():
        raise ValueError("curves are drawn by matplotlib, which is missing: pip install matplotlib")
    rows = read_metrics(folder)
    if not rows:
        raise ValueError(f"{folder} has no metrics to draw yet")
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(8, 8), facecolor="white", layout="constrained"
    )
    loss, rate, norm = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1, 1.4))
    _draw_loss(loss, rows)
    loss.set_title(title, fontsize=11)
    rate.plot(*_thin(rows, "learning_rate"), color="#2a8f4f")
    rate.set_ylabel("learning rate")
    norm.plot(*_thin(rows, "gradient_norm"), color="#8e5bb5", linewidth=0.8)
    if clip_norm > 0:
        norm.axhline(clip_norm, color="#888888", linestyle="--", linewidth=0.8, label=f"clipped at {clip_norm:g}")
        norm.legend(fontsize=8)
    norm.set(yscale="log", ylabel="gradient norm", xlabel="step")
    for axes in (loss, rate, norm):
        axes.set_facecolor("white")
        axes.grid(color="#dddddd")
    path = folder / CURVES
    _save(figure, path)
    return path


def _draw_loss(axes: Any, rows: list[dict[str, Any]]) -> None:
    steps, values = _thin(rows, "loss")
    axes.plot(steps, values, color="#1f77b4", alpha=0.35, linewidth=0.8)
    axes.plot(steps, smooth(values), color="#1f77b4", label="training (moving average)")
    validated = [row for row in rows if row.get("validation_loss") is not None]
    if validated:
        losses = [row["validation_loss"] for row in validated]
        last = f"validation (last {losses[-1]:.3f}, best {min(losses):.3f})"
        axes.plot([row["step"] for row in validated], losses, "o-", color="#d9622b", markersize=4, label=last)
    axes.set_ylabel("loss, nats a token")
    axes.legend(fontsize=8)


def smooth(values: np.ndarray) -> np.ndarray:
    """Means over a window of 2 % of the values (at least 5), narrower at both ends."""
    half = max(2, len(values) // 100)
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    places = np.arange(len(values))
    width = np.minimum(half, np.minimum(places, len(values) - 1 - places))  # symmetric: no lag, no bend at the ends
    return (sums[places + width + 1] - sums[places - width]) / (2 * width + 1)


def _thin(rows: list[dict[str, Any]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values, every k-th of a long run."""
    rows = rows[:: max(1, len(rows) // _MAX_POINTS)]
    return np.array([row["step"] for row in rows]), np.array([row[name] for row in rows], np.float64)


def _save(figure: Any, path: Path) -> None:
    """Replace the picture as a whole."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(handle)
    try:
        figure.savefig(temporary, dpi=120, format="png")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
