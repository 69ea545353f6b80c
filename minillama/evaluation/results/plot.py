"""Two small drawings as SVG text: the reliability plot, and a score with its interval on a line from 0 to 100.

Drawn here and not by matplotlib, which is an extra: this page needs nothing installed, its colours follow the reader's
light or dark setting (they are the page's CSS variables), and the same numbers give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .calibration import Bin
from .scores import Score

_SIZE, _LEFT, _TOP, _COUNTS = 220, 40, 10, 50  # the plot's square, its margins, the bars below


def reliability_plot(bins: Sequence[Bin], label: str) -> str:
    """Accuracy over confidence, a dot a bin with its 95 % interval; below, how many items each bin has."""
    width, height = _LEFT + _SIZE + 12, _TOP + _SIZE + 16 + _COUNTS + 34
    parts = [
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="reliability of {escape(label)}">',
        *_axes(),
        f'<line class="ideal" x1="{_x(0)}" y1="{_y(0)}" x2="{_x(1)}" y2="{_y(1)}"/>',
        *(part for one in bins if one.n for part in _dot(one)),
        *_counts(bins),
        f'<text x="{_x(0.5)}" y="{height - 4}" text-anchor="middle">confidence of the chosen option</text>',
        "</svg>",
    ]
    return "".join(parts)


def interval_line(score: Score) -> str:
    """A share from 0 to 100 with its interval, and a tick where chance is."""
    if not score.is_share or score.interval is None:
        return ""
    low, high, value = (_percent(x) for x in (*score.interval, score.value))
    chance = score.baselines.chance
    tick = (
        ""
        if chance is None
        else f'<line class="chance" x1="{_percent(chance)}" x2="{_percent(chance)}" y1="1" y2="13"/>'
    )
    return (
        '<svg class="line" viewBox="-2 0 104 14" aria-hidden="true"><line class="axis" x1="0" x2="100" y1="7" y2="7"/>'
        f'{tick}<line class="range" x1="{low}" x2="{high}" y1="7" y2="7"/>'
        f'<circle class="dot" cx="{value}" cy="7" r="2.6"/></svg>'
    )


def _axes() -> list[str]:
    parts = [f'<rect class="frame" x="{_LEFT}" y="{_TOP}" width="{_SIZE}" height="{_SIZE}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<text x="{_LEFT - 6}" y="{_y(tick) + 4}" text-anchor="end">{tick:g}</text>')
        parts.append(
            f'<text x="{_x(tick)}" y="{_TOP + _SIZE + 16 + _COUNTS + 14}" text-anchor="middle">{tick:g}</text>'
        )
    return parts


def _dot(one: Bin) -> list[str]:
    x, low, high = _x(one.confidence), _y(one.interval.low), _y(one.interval.high)
    title = f"{one.n} items from {one.low:g} to {one.high:g}: right {100 * one.accuracy:.0f} %"
    return [
        f'<line class="range" x1="{x}" x2="{x}" y1="{low}" y2="{high}"/>',
        f'<circle class="dot" cx="{x}" cy="{_y(one.accuracy)}" r="4"><title>{title}</title></circle>',
    ]


def _counts(bins: Sequence[Bin]) -> list[str]:
    most = max((one.n for one in bins), default=0) or 1
    base, parts = _TOP + _SIZE + 16 + _COUNTS, []
    for one in bins:
        height = round((_COUNTS - 12) * one.n / most, 1)
        x, wide = _x(one.low) + 1, round(_SIZE * (one.high - one.low) - 2, 1)
        parts.append(f'<rect class="bar" x="{x}" y="{base - height}" width="{wide}" height="{height}"/>')
        if one.n:
            middle, above = round(x + wide / 2, 1), round(base - height - 2, 1)
            parts.append(f'<text class="count" x="{middle}" y="{above}" text-anchor="middle">{one.n}</text>')
    return parts


def _x(share: float) -> float:
    return round(_LEFT + _SIZE * share, 1)


def _y(share: float) -> float:
    return round(_TOP + _SIZE * (1 - share), 1)


def _percent(share: float) -> float:
    return round(100 * share, 2)
