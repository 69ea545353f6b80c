"""Which comparisons a reward model learns from (LLaMA 2 section 3.2.2, "Data composition").

    helpfulness    all helpful ones, and as many of the others                       50 / 50
    safety         all safe ones, and a ninth as many of the helpful                 90 / 10

"The others" are those of the safety set and of open data, drawn uniformly. The tenth of helpful ones helps where both
answers are safe.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

SHARES = {"helpfulness": 0.5, "safety": 0.9}
"""What the own comparisons of either model are of the mixture."""

T = TypeVar("T")


def mixed(own: Sequence[T], others: Sequence[T], share: float, seed: int) -> list[T]:
    """All of `own`, and so many of `others` that `own` are `share` of the whole.

    Drawn without putting back, and in one order of their own each; all of `others` where they are too few.

    Raises
    ------
    ValueError
        When the share is not above 0 and at most 1, or there is nothing of `own`.
    """
    if not 0 < share <= 1 or not own:
        raise ValueError(f"expected comparisons, and a share of them above 0 and at most 1; got {len(own)}, {share}")
    n = min(len(others), round(len(own) * (1 - share) / share))
    drawn = np.random.default_rng([seed, len(others), n]).permutation(len(others))[:n]
    return [*own, *(others[i] for i in sorted(drawn.tolist()))]
