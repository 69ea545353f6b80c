"""One number of all items of a task, or of all tasks of a group, and its standard error.

    mean                  sum / n,                  stderr = sample deviation / sqrt(n)
    weighted_perplexity   exp(-sum log p / sum n)   n: words or bytes of each document
    bits_per_byte         -sum log p / (sum bytes * ln 2)
    pooled_stderr         of the mean over all items of several tasks (size-weighted, as MMLU's)
    stderr_of_equal_weights   of the plain mean of several tasks (the columns of the LLaMA papers)

Perplexities have no standard error here (statistics/intervals.py resamples documents for one). Source of the formulas:
lm-evaluation-harness 0.4.13, api/metrics.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Weighted = Sequence[tuple[float, int]]  # (log p, words or bytes) of each document


def mean(values: Sequence[float]) -> float:
    """The mean; NaN of nothing."""
    return sum(values) / len(values) if len(values) else math.nan


def mean_stderr(values: Sequence[float]) -> float:
    """The standard error of the mean, with n - 1; NaN below two values."""
    n = len(values)
    if n < 2:
        return math.nan
    centre = mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (n - 1)) / math.sqrt(n)


def weighted_perplexity(items: Weighted) -> float:
    """Perplexity per word or byte of the (log p, words or bytes) of documents; NaN of nothing."""
    weights = sum(weight for _, weight in items)
    return math.exp(-sum(logprob for logprob, _ in items) / weights) if weights else math.nan


def bits_per_byte(items: Weighted) -> float:
    """Bits per byte of the (log p, bytes) of documents; NaN of nothing."""
    weights = sum(weight for _, weight in items)
    return -(sum(logprob for logprob, _ in items) / weights) / math.log(2) if weights else math.nan


def pooled_stderr(stderrs: Sequence[float], sizes: Sequence[int]) -> float:
    """The standard error of the mean over all items of several tasks, from their pooled variance.

    Spread between tasks is not part of it: tasks are taken as given, not as a sample of possible tasks.
    NaN where a task has a single item, or none is left.
    """
    degrees = sum(sizes) - len(sizes)
    if degrees <= 0:
        return math.nan
    pairs = zip(stderrs, sizes, strict=True)
    variance = sum((size - 1) * stderr**2 * size for stderr, size in pairs) / degrees
    return math.sqrt(variance / sum(sizes))


def stderr_of_equal_weights(stderrs: Sequence[float]) -> float:
    """The standard error of the plain mean of several tasks' means; NaN of nothing."""
    return math.sqrt(sum(stderr**2 for stderr in stderrs)) / len(stderrs) if len(stderrs) else math.nan
