"""Copies of copies."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_clusters(rng: np.random.Generator, documents: int, pairs: int) -> tuple[Any, ...]:
    if documents < 2 or pairs > documents * (documents - 1) // 2:
        raise ValueError("more pairs than there are")
    possible = list(combinations(range(documents), 2))
    chosen = [possible[i] for i in rng.choice(len(possible), pairs, replace=False)]
    return documents, [pair if rng.random() < 0.6 else pair[::-1] for pair in chosen]


@exercise(
    title="Copies of copies",
    task="For every document the first of its cluster, clusters being what pairs connect.",
    difficulty=2,
    minutes=15,
    make=make_clusters,
    shapes=(
        {"documents": 2, "pairs": 1},
        {"documents": 4, "pairs": 2},
        {"documents": 7, "pairs": 5},
        {"documents": 12, "pairs": 9},
        {"documents": 30, "pairs": 26},
        {"documents": 12, "pairs": 20},
    ),
    exact=True,
    hints=(
        "If 0 and 4 are a pair and 4 and 2 are a pair, all three are one cluster, whatever the order of the pairs.",
        "Let every document point at another one, at first at itself. The root is where pointing ends. Join a pair by "
        "letting the larger root point at the smaller.",
        "def root(i):\n"
        "    while parents[i] != i: i = parents[i]\n"
        "    return i\n"
        "for i, j in pairs: a, b = root(i), root(j); parents[max(a, b)] = min(a, b)\n"
        "return [root(i) for i in range(n)]",
    ),
    why=(
        "If a copy of a copy is a copy too, one document of a whole chain is enough. Each document points to another "
        "of its cluster, and joining the two roots, not the two documents, connects all that hangs on them. The "
        "smaller root stays one, so every root is the first of its cluster, in whatever order the pairs come."
    ),
)
def duplicate_clusters(n, pairs):
    """The first document of every document's cluster.

    Documents that a chain of pairs connects are one cluster.

    Parameters
    ----------
    n : int
        Documents 0 to n - 1.
    pairs : list of (int, int)
        In any order, also within a pair.

    Returns
    -------
    list of int
        For each document the smallest number in its cluster; its own where it is alone.
    """
    parents = list(range(n))

    def root(i):
        while parents[i] != i:
            i = parents[i]
        return i

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return [root(i) for i in range(n)]


@duplicate_clusters.mistake(
    "Your function knows direct pairs only, not copies of copies.",
    "The first of a cluster may not be a partner of a document but a partner of its partner: follow the pointers.",
)
def clusters_direct(n, pairs):
    firsts = list(range(n))
    for i, j in pairs:
        firsts[max(i, j)] = min(firsts[max(i, j)], min(i, j))
    return firsts


@duplicate_clusters.mistake(
    "Your function goes through the pairs once, so that the result depends on their order.",
    "When two clusters meet, all members of one must change: join roots, not members, and look the roots up "
    "at the end.",
)
def clusters_one_pass(n, pairs):
    firsts = list(range(n))
    for i, j in pairs:
        firsts[i] = firsts[j] = min(firsts[i], firsts[j])
    return firsts


@duplicate_clusters.mistake(
    "Your function overwrites what a document pointed at before.",
    "A pair (2, 4) after (0, 4) must not forget 0: let the root of 4 point at the root of 2, or the other way.",
)
def clusters_no_roots(n, pairs):
    parents = list(range(n))
    for i, j in pairs:
        parents[max(i, j)] = min(i, j)  # what it pointed to before is forgotten
    for i in range(n):
        parents[i] = parents[parents[i]]
    return parents


@duplicate_clusters.mistake(
    "Your function returns the pointers, which do not all lead to the first member yet.",
    "At the end, replace every pointer by its root.",
)
def clusters_unsettled(n, pairs):
    parents = list(range(n))

    def root(i):
        return i if parents[i] == i else root(parents[i])

    for i, j in pairs:
        a, b = root(i), root(j)
        parents[max(a, b)] = min(a, b)
    return parents


@duplicate_clusters.mistake(
    "Your function gives the last member of each cluster.",
    "The first is kept: let the larger root point at the smaller.",
)
def clusters_last(n, pairs):
    firsts = duplicate_clusters(n, pairs)
    return [max(j for j in range(n) if firsts[j] == first) for first in firsts]


@duplicate_clusters.mistake(
    "Your function numbers the clusters.",
    "The number of a document is asked for: that of the first member, which is the one that stays.",
)
def clusters_numbered(n, pairs):
    numbers: dict[int, int] = {}
    return [numbers.setdefault(first, len(numbers)) for first in duplicate_clusters(n, pairs)]
