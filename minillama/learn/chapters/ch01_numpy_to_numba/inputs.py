"""Arguments and shapes that several exercises of the chapter share."""

from __future__ import annotations

import time
import weakref
from typing import Any

import numpy as np

LARGE = 30_000  # elements: smaller arrays are done before a second thread has begun
SECONDS = 0.1
RACING: weakref.WeakSet[Any] = weakref.WeakSet()


def in_threads(function, args):
    """What the function returns; where runs on the same arguments differ, the reason is said.

    Small arrays run on one thread: a race that shows itself once in a thousand runs helps nobody. Large ones
    run on all threads, again and again for a moment. Who has raced once is told so in every later run.
    """
    import numba

    large = max(a.size for a in args if isinstance(a, np.ndarray)) >= LARGE
    before = numba.get_num_threads()
    if not large:
        numba.set_num_threads(1)
    try:
        result = function(*args)
    finally:
        numba.set_num_threads(before)
    learners = getattr(function, "__module__", "") != __name__
    if large and learners and (function in RACING or not repeats(function, args, result)):
        RACING.add(function)
        raise RuntimeError(
            "runs on the same arguments gave different results: a data race. Two threads add to one place in "
            "memory, and one of the two additions is lost"
        )
    return result


def repeats(function, args, result):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if not nearly(result, function(*args)):
            return False
    return True


def nearly(a: Any, b: Any) -> bool:
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray) or a.dtype.kind != "f":
        return True
    with np.errstate(all="ignore"):
        size = float(np.abs(a).max(initial=0.0))
        return not np.isfinite(size) or (a.shape == b.shape and bool(np.all(np.abs(a - b) <= 1e-3 * size)))
