"""How often MinHash finds pairs of a known Jaccard similarity, beside the theory 1 - (1 - s^8)^14.

    python benchmarks/minhash_recall.py [--pairs 5000] [--shingles 200]

Two texts share their first words and differ in all that follow, so that the similarity of their sets
of shingles is exact. The standard error of 5,000 pairs at s = 0.8 is 0.004.
"""

from __future__ import annotations

import argparse
import random

import numpy as np

from minillama.data.duplicates.minhash import MinHash, jaccard


def pair(similarity: float, n_together: int, rng: random.Random, shingle_words: int = 5) -> tuple[str, str]:
    """Two texts of random words with this similarity (to the nearest whole number of shingles)."""
    n_common = round(similarity * n_together)
    n_other = (n_together - n_common) // 2

    def words(n: int) -> list[str]:
        return ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(n)]

    common = words(n_common + shingle_words - 1)
    return " ".join(common + words(n_other)), " ".join(common + words(n_other))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5000)
    parser.add_argument("--shingles", type=int, default=200, help="different ones of a pair together")
    given = parser.parse_args()
    minhash = MinHash()
    print("Jaccard   found  theory  difference  standard error")
    for wanted in (0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9):
        rng = random.Random(f"{wanted}")
        similarity = jaccard(*pair(wanted, given.shingles, rng))
        found = 0
        for _ in range(given.pairs):
            first, second = pair(wanted, given.shingles, rng)
            found += bool((minhash.band_hashes(first) == minhash.band_hashes(second)).any())
        share, theory = found / given.pairs, minhash.probability(similarity)
        error = np.sqrt(theory * (1 - theory) / given.pairs)
        print(f"{similarity:7.3f} {share:7.4f} {theory:7.4f} {share - theory:+11.4f} {error:15.4f}")


if __name__ == "__main__":
    main()
