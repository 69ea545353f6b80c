"""How likely is a candidate?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ....data.duplicates.minhash import MinHash
from ...exercises.exercise import exercise


def plain_candidate_probability(similarity: Any, bands: int, rows: int) -> Any:
    """How probably documents of a Jaccard similarity agree in at least one band."""
    minhash = MinHash(bands=bands, rows=rows)
    return np.array([minhash.probability(s) for s in np.asarray(similarity, np.float64)])


def make_similarity(rng: np.random.Generator, n: int, bands: int, rows: int) -> tuple[Any, ...]:
    return np.sort(rng.uniform(0.1, 0.95, n)).astype(np.float32), bands, rows


@exercise(
    title="How likely is a candidate?",
    task="The probability that two documents of similarity s agree in a whole band.",
    difficulty=1,
    minutes=8,
    reference=plain_candidate_probability,
    make=make_similarity,
    axes=("similarity",),
    shapes=(
        {"n": 1, "bands": 1, "rows": 2},
        {"n": 3, "bands": 3, "rows": 2},
        {"n": 5, "bands": 2, "rows": 5},
        {"n": 9, "bands": 14, "rows": 8},
        {"n": 40, "bands": 20, "rows": 5},
    ),
    hints=(
        "One value of the signature agrees with probability s. What is the probability that all rows of a band do?",
        "It is s**rows. That none of the bands agrees has the probability (1 - s**rows)**bands.",
        "return 1 - (1 - s**rows) ** bands",
    ),
    why=(
        'A band agrees if all its rows do, which independence makes a power, and "at least one" is what is left when '
        "none does, a power again. The curve is an S, steep near (1 / bands) ** (1 / rows). Choosing the two numbers "
        "therefore means choosing a threshold."
    ),
)
def candidate_probability(similarity, bands, rows):
    """The probability that two documents agree in at least one whole band of their signatures.

    Each of the bands * rows values agrees with the probability s, independently of the others.

    Parameters
    ----------
    similarity : float array (n,)
        Values of s.
    bands, rows : int

    Returns
    -------
    float array (n,)
    """
    return 1 - (1 - similarity**rows) ** bands


@candidate_probability.mistake(
    "Your function has rows and bands exchanged.",
    "All rows of one band must agree, s**rows; one of the bands must, so it is the bands that are the outer exponent.",
)
def has_rows_and_bands_exchanged(similarity, bands, rows):
    return 1 - (1 - similarity**bands) ** rows


@candidate_probability.mistake(
    "Your function gives the probability that no band agrees.",
    "A pair becomes a candidate when at least one band agrees: one minus that.",
)
def gives_probability_that_no_band_agrees(similarity, bands, rows):
    return (1 - similarity**rows) ** bands


@candidate_probability.mistake(
    "Your function gives the probability that all bands agree.",
    "That would need equal signatures. One band is enough.",
)
def gives_probability_that_all_bands_agree(similarity, bands, rows):
    return similarity ** (rows * bands)


@candidate_probability.mistake(
    "Your function adds the probabilities of the bands.",
    "The sum counts pairs that agree in two bands twice, and exceeds 1. Go by the probability that none agrees.",
)
def adds_probabilities_of_bands(similarity, bands, rows):
    return bands * similarity**rows


@candidate_probability.mistake(
    "Your function looks for one value that agrees, not for a whole band.",
    "1 - (1 - s)^(rows · bands) is close to 1 for all texts: a band counts only when all its rows agree.",
)
def looks_for_one_value_that_agrees(similarity, bands, rows):
    return 1 - (1 - similarity) ** (rows * bands)
