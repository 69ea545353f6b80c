"""Scores on items that the training data holds, and on those that it does not: LLaMA 2's appendix A.6, table 51.

How much of an item is in the training data is measured by minillama/data/rules/contamination.py. Here its share, 0 to
1, meets the item's score. If a model has learnt items by heart, dirty ones score above the mean and clean ones below
it; if all four subsets are off by more than 2 standard errors, the paper calls the benchmark affected. What this cannot
tell: whether dirty items are simply easier.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...data.rules.contamination import Contamination, TokenContamination

NO_TEXT = frozenset({"id", "ind", "source_id", "split", "split_type", "category", "url", "answerKey", "idx"})
"""Fields of benchmarks that hold no text: names and letters would only thin the share."""

SHORTEST = 11
"""Tokens of the shortest match; a shorter item is never contaminated."""


class Subset(NamedTuple):
    """A row of the table."""

    name: str
    """"clean" (below 20 % of its tokens), "not clean", "not dirty" (below 80 %) or "dirty"."""
    n: int
    share: float
    """Mean contaminated share of its items; NaN where it is empty, as the two that follow."""
    mean: float
    """Its mean score."""
    z: float
    """By how many standard errors that is off the mean of all items."""


class ContaminationTable(NamedTuple):
    """The four subsets, which overlap, beside all items."""

    n: int
    mean: float
    rows: tuple[Subset, ...]

    @property
    def is_affected(self) -> bool:
        """All four subsets are off by more than 2, which the paper takes for sufficient evidence."""
        return all(abs(row.z) > 2 for row in self.rows)  # NaN is not


def contamination_table(shares: npt.ArrayLike, scores: Sequence[float] | npt.NDArray[np.float64]) -> ContaminationTable:
    """The table for items with contaminated `shares` (n,), 0 to 1, and `scores` (n,)."""
    found = Contamination(np.asarray(shares, dtype=np.float64))
    values = np.asarray(scores, dtype=np.float64)
    if not len(values):
        raise ValueError("expected scores of at least 1 item, got none")
    z_scores = found.z_scores(values.tolist())
    rows = []
    for name, members in found.subsets.items():
        n = int(members.sum())
        share, mean = (float(of[members].mean()) if n else float("nan") for of in (found.shares, values))
        rows.append(Subset(name, n, share, mean, z_scores[name]))
    return ContaminationTable(len(values), float(values.mean()), tuple(rows))


def contaminated_shares(
    samples: Sequence[Sequence[int]], documents: Iterable[Sequence[int] | npt.NDArray[np.integer]], *, length: int = 10
) -> npt.NDArray[np.float64]:
    """What part of the tokens of each sample (n,) lies in a match of at least `length` with a training document.

    Documents are read once and may be of any number; `length` is the L of the paper, which reports 10 to 50.
    """
    index = TokenContamination(samples)
    for document in documents:
        index.add(document)
    return index.result(length).shares


def text_of(document: Mapping[str, Any], fields: Collection[str] | None = None) -> str:
    """A benchmark's document as one text: its strings at any depth, line by line, or those of `fields` alone.

    Without `fields`, those in `NO_TEXT` are left out.
    """
    if fields is not None and (missing := [name for name in fields if name not in document]):
        raise ValueError(f"a document has no field {missing[0]!r}; it has {', '.join(map(str, document))}")
    chosen = [name for name in document if (name not in NO_TEXT if fields is None else name in fields)]
    return "\n".join(text for name in chosen for text in _strings(document[name]))


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    if isinstance(value, Mapping):
        return [text for key, one in value.items() if key not in NO_TEXT for text in _strings(one)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in _strings(one)]
    return []
