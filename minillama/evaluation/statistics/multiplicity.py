"""Several comparisons at once: of twenty tasks one differs at p < 0.05 though the models are equal."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected so that the chance of any false claim among them stays below the level, in their order.

    Holm 1979, "A simple sequentially rejective multiple test procedure": the smallest of m is multiplied by m, the
    next by m - 1, and none may be below the one before. It holds however the tests depend on each other.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p values are between 0 and 1, got {list(p_values)}")
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected
