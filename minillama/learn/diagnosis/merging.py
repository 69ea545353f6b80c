"""What two mistakes give together, where that follows from what each gives alone.

Four ways, with the right result as the base of both: as differences that add up (two terms of a sum), as factors that
multiply, as times that add up under a rate, and as edits of a sequence at different places (what version control does
with two branches).
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

WAYS = ("sum", "product", "rates")


def merged(base: Any, a: Any, b: Any, way: str) -> Any:
    """The result with both mistakes, or None where it cannot be told.

    Parameters
    ----------
    base : the right result, no tuple
    a, b : the results with one mistake each
    way : one of WAYS; what is no number has but one
    """
    if isinstance(base, dict):
        return _merged_dicts(base, a, b, way)
    if isinstance(base, list | str | bytes):
        return _merged_sequences(base, a, b)
    if isinstance(base, bool | set | type(None)):
        return a if b == base else b if a == base else None
    return _merged_numbers(base, a, b, way)


def _merged_numbers(base: Any, a: Any, b: Any, way: str) -> Any:
    try:
        e, x, y = (np.asarray(n) for n in (base, a, b))
    except ValueError:
        return None
    if not (e.shape == x.shape == y.shape) or any(n.dtype.kind not in "fiu" for n in (e, x, y)):
        return None
    if way == "rates":
        if e.dtype.kind != "f" or any((n == 0).any() for n in (e, x, y)):
            return None
        times = [1 / n.astype(np.float64) for n in (e, x, y)]
        both: Array = 1 / (times[1] + times[2] - times[0])
    elif way == "sum":
        wide = np.float64 if e.dtype.kind == "f" else np.int64
        both = x.astype(wide) + y.astype(wide) - e.astype(wide)
    else:
        if not (_is_plain_factor(e, x) or _is_plain_factor(e, y)):
            return None
        divisor = np.where(e == 0, 1, e).astype(np.float64)
        both = np.where(e == 0, 0, x.astype(np.float64) * y / divisor)
        if e.dtype.kind != "f":
            if not np.array_equal(both, np.rint(both)):
                return None
            both = both.astype(np.int64)
    both = np.where(x == e, y, np.where(y == e, x, both))
    return both.astype(e.dtype) if e.ndim else both.astype(e.dtype)[()]


def _is_plain_factor(e: Array, x: Array) -> bool:
    """Whether one factor leads from e to x along some axis: two that differ in each number are no two scales."""
    if e.size < 2:
        return True
    factors = np.divide(x, e, out=np.full(e.shape, np.nan), where=e != 0)
    for axis in range(e.ndim):
        along = np.moveaxis(factors, axis, 0)
        along = along[:, ~np.isnan(along).any(axis=0)]
        if len(along) > 1 and along.size and np.all(np.ptp(along, axis=0) <= 1e-3 * np.abs(along).max(axis=0)):
            return True
    return False


def _merged_dicts(base: dict[Any, Any], a: Any, b: Any, way: str) -> dict[Any, Any] | None:
    if not isinstance(a, dict) or not isinstance(b, dict) or not set(base) == set(a) == set(b):
        return None
    both = {key: merged(base[key], a[key], b[key], way) for key in base}
    return None if any(value is None for value in both.values()) else both


def _merged_sequences(base: Any, a: Any, b: Any) -> Any:
    """Both edits of a list or a text, where they are at different places."""
    if type(a) is not type(base) or type(b) is not type(base):
        return None
    try:
        edits = sorted(_edits(base, a) + _edits(base, b), key=lambda edit: edit[:2])
    except TypeError:  # elements that cannot be hashed
        return None
    out, at = base[:0], 0
    for first, last, new in edits:
        if first < at:
            return None
        out = out + base[at:first] + new
        at = last
    return out + base[at:]


def _edits(base: Sequence[Any], changed: Sequence[Any]) -> list[tuple[int, int, Any]]:
    """(first, last, what stands there instead) for each difference."""
    matcher = SequenceMatcher(None, base, changed, autojunk=False)
    return [(i, j, changed[k:m]) for tag, i, j, k, m in matcher.get_opcodes() if tag != "equal"]
