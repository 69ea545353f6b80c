"""Pairs that share a band."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise


def make_bands(rng: np.random.Generator, documents: int, bands: int, rows: int) -> tuple[Any, ...]:
    if documents < 2:
        raise ValueError("one document has no pairs")
    signatures = rng.integers(1, 5 if rows == 1 else 4 if rows == 2 else 3, (documents, bands * rows))
    if documents > 6:
        signatures[-1] = signatures[0]  # one pair agrees in all bands
    return signatures, bands


def sorted_pairs(function: Function, args: tuple[Any, ...]) -> Any:
    """Pairs as tuples in order; a pair that comes twice stays twice."""
    found = function(*args)
    kinds = list | tuple | set | np.ndarray
    if not isinstance(found, kinds) or not all(hasattr(p, "__len__") and len(p) == 2 for p in found):
        return found
    return sorted(tuple(pair) for pair in found)


@exercise(
    title="Pairs that share a band",
    difficulty=2,
    minutes=15,
    make=make_bands,
    shapes=(
        {"documents": 2, "bands": 1, "rows": 1},
        {"documents": 4, "bands": 3, "rows": 2},
        {"documents": 6, "bands": 2, "rows": 3},
        {"documents": 9, "bands": 4, "rows": 3},
        {"documents": 12, "bands": 3, "rows": 2},
    ),
    exact=True,
    observe=sorted_pairs,
    hints=(
        "A signature of bands · rows values is cut in bands of neighbouring values. Each band has a table of its own.",
        "Two loops over pairs will do; for millions of documents a dict for each band, from its values to the "
        "documents that have them. A pair counts once, even if it agrees in two bands.",
        "cut = signatures.reshape(len(signatures), bands, -1)\n"
        "pairs (i, j), i < j, with (cut[i] == cut[j]).all(axis=1).any()",
    ),
    why=(
        "A band counts only as a whole and at its own place, so the values are cut as (document, band, row), with all "
        "over the rows and any over the bands. Combinations give each pair once, the smaller number first. With "
        "millions of documents one looks bands up in tables instead of comparing all pairs, and finds the same."
    ),
)
def band_candidates(signatures, bands):
    """All pairs of documents whose signatures agree in at least one whole band.

    Parameters
    ----------
    signatures : int array (n_documents, bands * rows)
        Band k is the values k * rows to (k + 1) * rows - 1.
    bands : int

    Returns
    -------
    list of (int, int)
        Pairs i < j of document numbers, each once, in any order.
    """
    cut = signatures.reshape(len(signatures), bands, -1)
    return [(i, j) for i, j in combinations(range(len(cut)), 2) if (cut[i] == cut[j]).all(axis=1).any()]


def candidates(agree: Callable[[Any, Any, int, int], bool]) -> Function:
    def pairs(signatures, bands):
        rows = signatures.shape[1] // bands
        return [
            (i, j)
            for i, j in combinations(range(len(signatures)), 2)
            if agree(signatures[i], signatures[j], bands, rows)
        ]

    return pairs


def any_place(x: Any, y: Any, bands: int, rows: int) -> bool:
    """One table for all bands: a band equals another one in another place."""
    return bool({tuple(b) for b in x.reshape(bands, -1).tolist()} & {tuple(b) for b in y.reshape(bands, -1).tolist()})


band_candidates.mistake(
    "Your function lets bands overlap: it compares every window of `rows` values.",
    "Bands stand side by side: values 0 to rows - 1, rows to 2 rows - 1 and so on.",
    candidates(lambda x, y, b, r: any((x[i : i + r] == y[i : i + r]).all() for i in range(len(x) - r + 1))),
)

band_candidates.mistake(
    "Your function puts every `bands`-th value in a band.",
    "Values of a band are neighbours: reshape to (bands, rows), not (rows, bands).",
    candidates(lambda x, y, b, r: any((x[i::b] == y[i::b]).all() for i in range(b))),
)

band_candidates.mistake(
    "Your function counts equal values, wherever they stand.",
    "As many equal values as a band has rows are not enough: they must fill one band.",
    candidates(lambda x, y, b, r: int((x == y).sum()) >= r),
)

band_candidates.mistake(
    "Your function takes one equal value as enough.",
    "All rows of the band must agree; that is what makes the curve steep.",
    candidates(lambda x, y, b, r: bool((x == y).any())),
)

band_candidates.mistake(
    "Your function asks that all bands agree.",
    "One is enough. Equal signatures come from nearly equal texts only.",
    candidates(lambda x, y, b, r: bool((x == y).all())),
)

band_candidates.mistake(
    "Your function has one table for all bands.",
    "Equal values in different bands come from different hash functions and mean nothing: make the band's "
    "number part of the key.",
    candidates(any_place),
)


@band_candidates.mistake(
    "Your function returns a pair once for every band in which it agrees.",
    "A pair is a candidate or is not: collect them in a set.",
)
def returns_pair_once_for_every_band(signatures, bands):
    return [pair for part in np.split(signatures, bands, axis=1) for pair in band_candidates(part, 1)]
