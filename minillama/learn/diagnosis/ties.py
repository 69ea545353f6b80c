"""Whether two results are the same but for ties: a property, which holds whatever a sort makes of equal numbers.

An unstable sort, or a reversed one, leaves equals in an order that no function of fixed results has. What can be said
is that both results treat every *value* alike: where an argument has one value, they hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def tied_argument(args: Mapping[str, Any], expected: Any, got: Any) -> str:
    """The name of the argument whose equal numbers explain every difference, or nothing."""
    for name, a in args.items():
        is_row = isinstance(a, np.ndarray) and a.ndim == 1 and a.dtype.kind in "fiu"
        if is_row and len(np.unique(a)) < len(a) and _same_by_value(a, expected, got):
            return name
    return ""


def _same_by_value(a: Array, expected: Any, got: Any) -> bool:
    if isinstance(expected, tuple):
        return (
            isinstance(got, tuple | list)
            and len(got) == len(expected)
            and all(_same_by_value(a, *two) for two in zip(expected, got))
        )
    try:
        e, g = np.asarray(expected), np.asarray(got)
    except ValueError:
        return False
    if e.ndim != 1 or e.shape != g.shape or any(x.dtype.kind not in "fiub" for x in (e, g)):
        return False
    if len(e) == len(a) and e.dtype.kind in "fb":
        return bool(np.array_equal(_by_value(a, e), _by_value(a, g), equal_nan=e.dtype.kind == "f"))
    if e.dtype.kind not in "iu" or g.dtype.kind not in "iu" or not len(e):
        return False
    if min(e.min(), g.min()) < 0 or max(e.max(), g.max()) >= len(a) or len(np.unique(g)) < len(np.unique(e)):
        return False
    return bool(np.array_equal(np.sort(a[e]), np.sort(a[g])))


def _by_value(a: Array, result: Array) -> Array:
    """A result in the order of the values of `a`; among equals in its own."""
    return np.asarray(result[np.lexsort((result, a))])
