"""Pictures: safety data against both rewards and both rates, and what a gate's threshold trades for what."""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...files.atomic import atomic_write
from .gate import IN_PPO, UNSAFE, GatePoint
from .outcomes import ADVERSARIAL, BENIGN, BORDERLINE, FALSE_REFUSALS, VIOLATIONS
from .scaling import ScalingRow

_SAFETY, _HELP, _BORDER = "#c0392b", "#1f77b4", "#d98a3d"


def draw_scaling(rows: Sequence[ScalingRow], path: Path) -> Path:
    """Mean rewards (figure 14) at the left, violations and false refusals at the right, over the share of safety data.

    Raises
    ------
    ValueError
        Where matplotlib is not installed.
    """
    figure = _figure((11, 4.4))
    left, right = figure.subplots(1, 2)
    places = list(range(len(rows)))  # one step a share: 1 and 10 % would lie on each other on a straight scale
    _errors(left, places, [row.safety for row in rows], [row.safety_interval for row in rows], _SAFETY, "safety")
    left.set(ylabel="mean p(safe), adversarial requests", ylim=(0, 1))
    left.yaxis.label.set_color(_SAFETY)
    other = left.twinx()
    means, intervals = [row.helpfulness for row in rows], [row.helpfulness_interval for row in rows]
    _errors(other, places, means, intervals, _HELP, "helpfulness")
    middle = sum(means) / len(means)
    reach = max(1.0, 1.5 * max(abs(end - middle) for interval in intervals for end in interval))
    other.set(ylabel="mean helpfulness score, other requests", ylim=(middle - reach, middle + reach))
    other.yaxis.label.set_color(_HELP)
    left.set_title("mean reward of both models", fontsize=11)
    for group, measure, colour in _SHOWN:
        name = f"{measure}, {group}"
        found = [(x, row.rates[name]) for x, row in zip(places, rows) if name in row.rates]
        if found:
            at, rates = [x for x, _ in found], [rate for _, rate in found]
            values, ends = [100 * r[0] for r in rates], [(100 * r[1], 100 * r[2]) for r in rates]
            _errors(right, at, values, ends, colour, name)
    right.set(ylabel="%", ylim=(0, 100))
    right.set_title("violations and false refusals, with 95 % intervals", fontsize=11)
    right.legend(fontsize=8)
    for axes in (left, right):
        axes.set_xticks(places, [f"{100 * row.share:g}" for row in rows])
        axes.set_xlabel("safety data, % of all of it")
        axes.grid(color="#dddddd")
    return _saved(figure, path)


_SHOWN = (
    (ADVERSARIAL, VIOLATIONS, _SAFETY),
    (BORDERLINE, FALSE_REFUSALS, _BORDER),
    (BENIGN, FALSE_REFUSALS, _HELP),
)


def draw_gate(points: Sequence[GatePoint], path: Path) -> Path:
    """Violations and false refusals over the gate's threshold.

    Raises
    ------
    ValueError
        Where matplotlib is not installed.
    """
    figure = _figure((6.5, 4.4))
    axes = figure.subplots()
    for group, measure, colour in _SHOWN:
        values = [(point.threshold, 100 * point.share(measure, group)) for point in points]
        kept = [(x, y) for x, y in values if y == y]
        if kept:
            axes.plot([x for x, _ in kept], [y for _, y in kept], "-", color=colour, label=f"{measure}, {group}")
    for threshold in (IN_PPO, UNSAFE):
        axes.axvline(threshold, color="#888888", linestyle="--", linewidth=0.8)
        above = {"xytext": (0, 3), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        axes.annotate(f"{threshold:g}", (threshold, 100), annotation_clip=False, **above)
    axes.set(xlabel="threshold: an answer with a smaller p(safe) is not given", ylabel="%", xlim=(0, 1), ylim=(0, 100))
    axes.set_title("A gate trades violations for false refusals", fontsize=11, pad=16)
    axes.grid(color="#dddddd")
    axes.legend(fontsize=8)
    return _saved(figure, path)


def _errors(
    axes: Any, places: Sequence[int], values: Sequence[float], intervals: Sequence[Any], colour: str, label: str
) -> None:
    below = [max(0.0, value - interval[0]) for value, interval in zip(values, intervals)]
    above = [max(0.0, interval[1] - value) for value, interval in zip(values, intervals)]
    axes.errorbar(places, values, yerr=[below, above], fmt="o-", color=colour, capsize=3, markersize=4, label=label)


def _figure(size: tuple[float, float]) -> Any:
    try:
        kind = importlib.import_module("matplotlib.figure").Figure
    except ImportError as error:
        raise ValueError("pictures are drawn by matplotlib, which is missing: pip install matplotlib") from error
    return kind(figsize=size, facecolor="white", layout="constrained")


def _saved(figure: Any, path: Path) -> Path:
    picture = io.BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(picture.getvalue())
    return path
