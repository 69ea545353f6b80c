"""Standard errors of means: by how much a score would move with other items.

`standard_error`, `pooled` and `of_equal_weights` are those of lm-evaluation-harness, so that results can be laid beside
its own. Items that belong together (a passage with five questions) tell less than as many unrelated ones: `clustered`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .intervals import cluster_numbers


def standard_error(values: npt.ArrayLike) -> float:
    """Of the mean of `values` (n,): sample standard deviation / √n; NaN below two values."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.std(ddof=1) / np.sqrt(len(array))) if len(array) > 1 else float("nan")


def pooled(errors: Sequence[float], sizes: Sequence[int]) -> float:
    """Of the mean of a group of tasks, weighted by their numbers of items, as the harness pools them.

    Differences between the tasks themselves are left out: this is the error for other items of the same tasks.
    """
    if len(errors) != len(sizes) or not sizes:
        raise ValueError(f"expected an error and a size for each task, got {len(errors)} and {len(sizes)}")
    n = np.asarray(sizes, dtype=np.float64)
    if n.sum() <= len(n):
        return float("nan")
    variance = ((n - 1) * n * np.asarray(errors, dtype=np.float64) ** 2).sum() / (n.sum() - len(n))
    return float(np.sqrt(variance / n.sum()))


def of_equal_weights(errors: Sequence[float]) -> float:
    """Of the plain mean of several tasks' means, such as the columns of the LLaMA papers; NaN of nothing."""
    array = np.asarray(errors, dtype=np.float64)
    return float(np.sqrt((array**2).sum()) / len(array)) if len(array) else float("nan")


def clustered(values: npt.ArrayLike, clusters: Sequence[Any] | npt.NDArray[Any]) -> float:
    """Of the mean of `values` (n,) whose items were drawn in clusters; NaN for a single cluster.

    √(Σ over clusters of (Σ of their deviations)²) / n (Miller 2024, "Adding error bars to evals", equation 4), with
    the factor G / (G - 1) for G clusters, so that clusters of one item give `standard_error`.
    """
    array = np.asarray(values, dtype=np.float64)
    owner = cluster_numbers(clusters, len(array))
    sums = np.bincount(owner, weights=array - array.mean())
    if len(sums) < 2:
        return float("nan")
    return float(np.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(array))
