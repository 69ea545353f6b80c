"""MinHash: near-duplicates of a collection without comparing all pairs.

Two documents that share the fraction s of their shingles (Jaccard similarity of the sets of 5-word
windows) agree in a value of their signatures with probability s. The 112 values are cut into 14 bands
of 8; documents that agree in one whole band become candidates, with probability 1 - (1 - s^8)^14:
0.05 at s = 0.5, 0.56 at 0.7, 0.92 at 0.8, 0.9996 at 0.9. Candidates are not compared again.

Sources: Broder 1997; the settings are FineWeb's (arXiv:2406.17557, datatrove's `minhash.py`), its
normalisation included. datatrove lets the products overflow 64 bits before it takes them modulo
2^61 - 1; here the arithmetic is exact, as in the definition of a universal family.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..rules.words import Hashes, normal_words
from .minhash_kernels import band_hashes, signature

_PRIME = (1 << 61) - 1


@dataclass(frozen=True)
class MinHash:
    """Signatures of documents; equal settings give equal signatures on every machine."""

    bands: int = 14
    rows: int = 8
    """Values of a band."""
    shingle_words: int = 5
    seed: int = 1
    functions: tuple[Hashes, Hashes] = field(init=False, repr=False, compare=False)
    """The factors and summands of the bands * rows functions, each below 2^61 - 1."""

    def __post_init__(self) -> None:
        for name in ("bands", "rows", "shingle_words"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} of MinHash must be at least 1, got {getattr(self, name)}")
        numbers = _random_numbers(self.seed, 2 * self.bands * self.rows)
        half = len(numbers) // 2
        object.__setattr__(self, "functions", (numbers[:half] % (_PRIME - 1) + 1, numbers[half:] % _PRIME))

    def signature(self, text: str) -> Hashes | None:
        """(bands * rows,) uint64; None where the text has fewer words than a shingle."""
        words = normal_words(text)
        if len(words) < self.shingle_words:
            return None
        found: Hashes = signature(words, self.shingle_words, *self.functions)
        return found

    def band_hashes(self, text: str) -> Hashes:
        """(bands,) uint64 that `near_duplicates` compares; zeros, which equal nothing, for a short text."""
        values = self.signature(text)
        if values is None:
            return np.zeros(self.bands, dtype=np.uint64)
        found: Hashes = band_hashes(values, self.bands)
        return found

    def probability(self, similarity: float) -> float:
        """How probably two documents of this Jaccard similarity become candidates."""
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def jaccard(first: str, second: str, shingle_words: int = 5) -> float:
    """The share of the two texts' normalised shingles that they have in common."""
    sets = []
    for text in (first, second):
        words = normal_words(text).tolist()
        sets.append({tuple(words[i : i + shingle_words]) for i in range(len(words) - shingle_words + 1)})
    together = len(sets[0] | sets[1])
    return len(sets[0] & sets[1]) / together if together else 0.0


def _random_numbers(seed: int, count: int) -> Hashes:
    """splitmix64: numbers that no version of NumPy changes."""
    found, state, mask = [], seed, (1 << 64) - 1
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        found.append(z ^ (z >> 31))
    return np.array(found, dtype=np.uint64)
