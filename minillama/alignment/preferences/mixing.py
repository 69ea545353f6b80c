"""Which comparisons a reward model learns from (LLaMA 2 section 3.2.2, "Data composition").

    helpfulness    all helpful ones, and as many of the others                       50 / 50
    safety         all safe ones, and a ninth as many of the helpful                 90 / 10

"The others" are those of the safety set and of open data, drawn uniformly. The tenth of helpful ones helps where both
answers are safe.

The paper's two sets have prompts of their own. Where one pair of answers was compared twice, once for each set, the
mixture would hold both verdicts, and where a helpful answer is an unsafe one, a third of the time, they contradict each
other. `about` leaves the second one out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

import numpy as np

SHARES = {"helpfulness": 0.5, "safety": 0.9}
"""What the own comparisons of either model are of the mixture."""

T = TypeVar("T")


def mixed(
    own: Sequence[T], others: Sequence[T], share: float, seed: int, *, about: Callable[[T], Hashable] | None = None
) -> list[T]:
    """All of `own`, and so many of `others` that `own` are `share` of the whole.

    Drawn without putting back, and in one order of their own each; all of `others` where they are too few.

    Parameters
    ----------
    about : callable, optional
        What a comparison is of, its prompt for instance: `others` of the same as one of `own` are left out.

    Raises
    ------
    ValueError
        When the share is not above 0 and at most 1, or there is nothing of `own`.
    """
    if not 0 < share <= 1 or not own:
        raise ValueError(f"expected comparisons, and a share of them above 0 and at most 1; got {len(own)}, {share}")
    if about is not None:
        known = set(map(about, own))
        others = [other for other in others if about(other) not in known]
    n = min(len(others), round(len(own) * (1 - share) / share))
    drawn = np.random.default_rng([seed, len(others), n]).permutation(len(others))[:n]
    return [*own, *(others[i] for i in sorted(drawn.tolist()))]
