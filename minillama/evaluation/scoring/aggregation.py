"""One number of all items of a task.

    mean                  sum / n
    weighted_perplexity   exp(-sum log p / sum n)   n: words or bytes of each document
    bits_per_byte         -sum log p / (sum bytes * ln 2)

Standard errors are in statistics/errors.py. Source of the formulas: lm-evaluation-harness 0.4.13, api/metrics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Weighted = Sequence[tuple[float, int]]  # (log p, words or bytes) of each document


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if len(values) else math.nan


def weighted_perplexity(items: Weighted) -> float:
    """Perplexity per word or byte of the (log p, words or bytes) of documents; NaN of nothing."""
    weights = sum(weight for _, weight in items)
    return math.exp(-sum(logprob for logprob, _ in items) / weights) if weights else math.nan


def bits_per_byte(items: Weighted) -> float:
    """Bits per byte of the (log p, bytes) of documents; NaN of nothing."""
    weights = sum(weight for _, weight in items)
    return -(sum(logprob for logprob, _ in items) / weights) / math.log(2) if weights else math.nan
