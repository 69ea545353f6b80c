"""Where an array is wrong, in the words of its axes, and as a picture of blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCKS = " ░▒▓█"  # from all right to all wrong


def names_of(axes: Sequence[str], ndim: int) -> list[str]:
    """Names for all axes: the given ones belong to the last axes if there are fewer or more."""
    given = list(axes)[-ndim:] if ndim else []
    return [f"axis {i}" for i in range(ndim - len(given))] + given


def share_of(bad: Array) -> str:
    return f"{100 * bad.mean():.1f} % of the elements" if bad.size > 8 else f"{int(bad.sum())} of {bad.size} elements"


def where(wrong: Array, names: list[str]) -> str:
    slices = wrong_slices(wrong, names)
    return f"wrong: {share_of(wrong)}{'; ' + slices if slices else ''}"


def wrong_slices(bad: Array, names: list[str]) -> str:
    """Along which axes only some slices are bad, in words."""
    triangle = _triangle(bad, names) if bad.ndim >= 2 and bad.any() else ""
    if triangle:
        return triangle
    parts = []
    for axis, name in enumerate(names):
        n = bad.shape[axis]
        if n < 2:
            continue
        along = np.asarray(bad.any(axis=tuple(i for i in range(bad.ndim) if i != axis)) if bad.ndim > 1 else bad)
        text = _indices(along, name)
        if text:
            parts.append(text)
    return ", ".join(parts)


def _indices(along: Array, name: str) -> str | None:
    n, index = len(along), np.flatnonzero(along)
    if len(index) in (0, n):
        return None
    good = np.flatnonzero(~along)
    if len(index) == 1:
        return f"only the last {name}" if index[0] == n - 1 else f"only {name} {index[0]}"
    if len(good) == 1:
        return f"every {name} but {'the last' if good[0] == n - 1 else good[0]}"
    if np.array_equal(index, np.arange(index[0], n)):
        return f"from {name} {index[0]} on"
    if np.array_equal(index, np.arange(index[-1] + 1)):
        return f"up to {name} {index[-1]}"
    for start, word in ((0, "even"), (1, "odd")):
        if np.array_equal(index, np.arange(start, n, 2)):
            return f"every {word} {name}"
    shown = ", ".join(map(str, index[:6]))
    return f"{name} {shown}{' …' if len(index) > 6 else ''}"


def _triangle(bad: Array, names: list[str]) -> str:
    """Whether all that is wrong lies on one side of the diagonal of the last two axes, and fills it."""
    plane = np.asarray(bad.reshape(-1, *bad.shape[-2:]).any(axis=0))
    if min(plane.shape) < 3:
        return ""
    rows, columns = np.indices(plane.shape)
    for side, text in ((columns > rows, "above"), (columns < rows, "below"), (columns == rows, "on")):
        if plane[side].mean() > 0.9 and not plane[~side].any():
            return f"only {text} the diagonal of ({names[-2]}, {names[-1]})"
    return ""


def first_wrong(wrong: Array) -> tuple[int, ...]:
    """The index of the first wrong element."""
    return tuple(int(i) for i in np.argwhere(wrong)[0]) if wrong.ndim else ()


def heat_map(wrong: Array, axes: Sequence[str], width: int = 48, height: int = 6) -> tuple[list[str], str]:
    """Lines of blocks, darker where more is wrong, over two axes; and what they show.

    The last axis runs to the right, the longest of the others downwards.
    """
    if wrong.size < 2 or wrong.ndim == 0:
        return [], ""
    names = names_of(axes, wrong.ndim)
    if wrong.ndim == 1:
        plane, label = wrong[None].astype(float), names[0]
    else:
        down = max(range(wrong.ndim - 1), key=lambda i: (wrong.shape[i], i))
        others = tuple(i for i in range(wrong.ndim - 1) if i != down)
        plane = wrong.mean(axis=others)
        label = f"{names[-1]} to the right, {names[down]} down"
    rows = [part.mean(axis=0) for part in np.array_split(plane, min(height, len(plane)))]
    lines = []
    for row in rows:
        cells = [float(part.mean()) for part in np.array_split(row, min(width, row.size))]
        wide = 1 if len(cells) > 24 else 2
        lines.append("".join(BLOCKS[math.ceil(cell * (len(BLOCKS) - 1))] * wide for cell in cells))
    return lines, label
