"""Limits of time that hold on any machine: seconds of a quick CPU, stretched where this one is slower.

A test of bounded time guards against work that grows with the square of its input, which takes minutes instead of
seconds. On a machine that is slow, or shared with others, the same honest work may take a few times as long.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

# What `_work` takes on the CPU for which the limits in the tests are written (4 GHz, CPython 3.11).
_SECONDS_THERE = 0.02


def _work() -> int:
    total = 0
    for i in range(600_000):
        total += i & 7
    return total


def slowness() -> float:
    """How many times longer this machine takes now; at least 1."""
    start = time.process_time()
    _work()
    return max(1.0, (time.process_time() - start) / _SECONDS_THERE)


@contextmanager
def within_seconds(limit: float) -> Iterator[None]:
    """The block takes at most `limit` seconds of the processor, by the clock of a quick CPU."""
    start = time.process_time()
    yield
    seconds = time.process_time() - start
    if seconds > limit:  # slow work, or a slow machine?
        factor = slowness()
        assert seconds <= limit * factor, f"took {seconds:.1f} s, allowed are {limit} s times {factor:.1f}"
