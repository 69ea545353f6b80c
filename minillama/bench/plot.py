"""The roofline of a benchmark: what the machine could do, and what decoding and prefill do.

Work that does I operations for each byte it reads reaches at most I * bandwidth operations a
second, and never more than the arithmetic units give (Williams, Waterman, Patterson 2009).
Decoding reads every weight for one token and lies under the slope; a prompt shares what is read
among its tokens and lies far to the right.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .report import mean_position, traffic
from .rows import OURS, ROWS, Results

_COLOURS = ("#1f77b4", "#d9622b", "#2a8f4f", "#8e5bb5")
_MARKS = {"decode": "o", "decode-1024": "s", "prefill-512": "^"}


@dataclass(frozen=True)
class Point:
    """A row in the picture.

    Attributes
    ----------
    threads : int
    row : str
    intensity : float
        Floating-point operations of the model for each byte that must be read.
    flops_per_second : float
    """

    threads: int
    row: str
    intensity: float
    flops_per_second: float


def roofline_points(results: Results) -> list[Point]:
    """minillama's decode and prefill rows.

    A multiplication and an addition count as two operations, for each weight and in attention
    for each number of the keys and values. A prompt reads the weights once, and needs the head
    for its last position only.
    """
    points = []
    for threads in results.roofs:
        for row, mark in ((name, ROWS[name]) for name in _MARKS):
            speed = results.median(threads, row, OURS)
            if speed is None:
                continue
            found = traffic(results, threads, row)
            if found is not None:
                flops, n_bytes = _decode_flops(results.model, mean_position(row)), found.weight_bytes + found.kv_bytes
                points.append(Point(threads, row, flops / n_bytes, flops * speed))
            else:
                about, n = results.engines[OURS], mark.prompt
                flops = _prompt_flops(results.model, n)
                n_bytes = about["weight_bytes_per_token"] + about["kv_bytes_per_position"] * n
                points.append(Point(threads, row, flops / n_bytes, flops * speed / n))
    return points


def _decode_flops(model: dict[str, Any], position: float) -> float:
    weights = model["layer_weights"] + model["head_weights"]
    return float(2 * weights + model["attention_flops_per_position"] * position)


def _prompt_flops(model: dict[str, Any], n: int) -> float:
    attention = model["attention_flops_per_position"] * n * (n + 1) / 2
    return float(2 * (n * model["layer_weights"] + model["head_weights"]) + attention)


def check_plotting() -> None:
    """Raise ValueError, with what to do, where there is no matplotlib."""
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ValueError("--plot draws with matplotlib, which is not installed: pip install matplotlib") from error


def draw_roofline(results: Results, path: Path) -> None:
    """Write the picture; its own light background, so that it reads on any page.

    Raises
    ------
    ValueError
        When matplotlib is missing, or nothing was measured that could be drawn.
    """
    check_plotting()
    points = roofline_points(results)
    if not points:
        raise ValueError("there is nothing to plot: measure decode, decode-1024 or prefill-512")
    figure = importlib.import_module("matplotlib.figure").Figure(
        figsize=(8, 5), facecolor="white", layout="constrained"
    )
    axes = figure.add_subplot(facecolor="white")
    low = min(point.intensity for point in points) / 4
    high = max(point.intensity for point in points) * 4
    for colour, (threads, roofs) in zip(_COLOURS, results.roofs.items()):
        _draw_roof(axes, threads, roofs, low, high, colour)
        for point in points:
            if point.threads == threads:
                gflops = point.flops_per_second / 1e9
                label = f"{point.row}, {_threads(threads)}: {gflops:,.1f} GFLOP/s"
                axes.plot(point.intensity, gflops, _MARKS[point.row], color=colour, markersize=9, label=label)
    speeds = [point.flops_per_second / 1e9 for point in points]
    tops = [roofs["flops_per_second"] / 1e9 for roofs in results.roofs.values()]
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(min(speeds) / 8, max(speeds + tops) * 2))
    axes.set_xlabel("arithmetic intensity, FLOP per byte read")
    axes.set_ylabel("speed, GFLOP/s")
    axes.set_title(f"{results.model['name']} on {results.machine['cpu']}", fontsize=11)
    axes.grid(which="major", color="#dddddd")
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=150)


def _draw_roof(axes: Any, threads: int, roofs: dict[str, float], low: float, high: float, colour: str) -> None:
    """The slope of the memory, then the flat top of the arithmetic."""
    bandwidth, top = roofs["bytes_per_second"], roofs["flops_per_second"]
    corner = min(max(top / bandwidth, low), high)
    axes.plot(
        [low, corner, high],
        [low * bandwidth / 1e9, min(corner * bandwidth, top) / 1e9, min(high * bandwidth, top) / 1e9],
        color=colour,
        label=f"{_threads(threads)}: {bandwidth / 1e9:.1f} GB/s read; {top / 1e9:,.0f} GFLOP/s float32 (BLAS)",
    )


def _threads(n: int) -> str:
    return f"{n} thread{'' if n == 1 else 's'}"
