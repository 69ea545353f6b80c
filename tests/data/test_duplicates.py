"""Exact duplicates, MinHash at known similarities, clusters."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minillama.data.duplicates.clusters import as_pairs, exact_duplicates, near_duplicates, text_hash
from minillama.data.duplicates.minhash import MinHash, jaccard
from minillama.data.duplicates.minhash_kernels import multiply_add

PRIME = (1 << 61) - 1
BELOW = st.integers(0, PRIME - 1) | st.sampled_from([0, 1, PRIME - 1, 1 << 60, (1 << 32) - 1, (1 << 32)])


@settings(max_examples=500, deadline=None)
@given(BELOW, BELOW, BELOW)
def test_arithmetic_modulo_the_prime_is_exact(a, x, b):
    assert int(multiply_add(np.uint64(a), np.uint64(x), np.uint64(b))) == (a * x + b) % PRIME


def test_the_published_probabilities():
    """facts 5.3: s=.5 .053, .6 .211, .7 .565, .75 .772, .8 .924, .85 .988, .9 .9996."""
    published = {0.5: 0.053, 0.6: 0.211, 0.7: 0.565, 0.75: 0.772, 0.8: 0.924, 0.85: 0.988, 0.9: 0.9996}
    for similarity, probability in published.items():
        assert MinHash().probability(similarity) == pytest.approx(probability, abs=6e-4)
    assert 0.5 < MinHash().probability(0.719) < 0.75


def test_signatures_are_the_same_everywhere():
    """Written down once; files of hashes of several machines must go together."""
    signature = MinHash().signature("One two three four five six.")
    assert signature.shape == (112,)
    assert signature[:2].tolist() == [869722764503725259, 748836206593873198]
    assert text_hash("One  TWO\n").hex() == text_hash("one two").hex() == "7689d1ceb0c156d213d3370ce8c62d22"


def test_a_signature_is_the_smallest_value_of_each_function():
    from minillama.data.rules.word_kernels import window_hashes
    from minillama.data.rules.words import normal_words

    text = "a b c d e f g h"
    shingles = [int(h) % PRIME for h in window_hashes(normal_words(text), 5)]
    assert len(shingles) == 4
    factors, summands = MinHash().functions
    expected = [min((int(a) * x + int(b)) % PRIME for x in shingles) for a, b in zip(factors, summands)]
    assert MinHash().signature(text).tolist() == expected
    assert len(set(factors.tolist())) == 112


def test_short_texts_equal_nothing():
    assert MinHash().signature("one two three four") is None
    bands = np.array([MinHash().band_hashes(text) for text in ("one two", "one two", "one two three")])
    assert not bands.any()
    assert near_duplicates(bands).tolist() == [0, 1, 2]


def test_normalised_texts_have_one_signature():
    first = MinHash().band_hashes("The café, in 1999: five MORE words here!")
    assert np.array_equal(first, MinHash().band_hashes("the cafe in 2024 five more words   here"))


def pair(similarity, n_together, rng):
    """Two texts whose shingle sets have exactly this Jaccard similarity: a run of words in common.

    With m words in common at the beginning and t other words after them in each, m - 4 shingles are
    common and t differ on each side.
    """
    n_common = round(similarity * n_together)
    n_other = (n_together - n_common) // 2
    word = lambda: "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9))
    common = [word() for _ in range(n_common + 4)]
    return tuple(" ".join(common + [word() for _ in range(n_other)]) for _ in range(2))


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9])
def test_recall_is_that_of_theory(similarity):
    rng = random.Random(f"pairs of {similarity}")
    minhash, n, found = MinHash(), 1500, 0
    for i in range(n):
        first, second = pair(similarity, 200, rng)
        if i < 3:
            assert jaccard(first, second) == similarity
        found += bool((minhash.band_hashes(first) == minhash.band_hashes(second)).any())
    expected = minhash.probability(similarity)
    assert abs(found / n - expected) < 4 * np.sqrt(expected * (1 - expected) / n) + 1e-3
    assert abs(found / n - expected) < 0.045


def test_another_seed_gives_other_functions():
    text = "one two three four five six seven"
    assert not np.array_equal(MinHash(seed=1).signature(text), MinHash(seed=2).signature(text))
    with pytest.raises(ValueError, match="rows of MinHash must be at least 1, got 0"):
        MinHash(rows=0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30))
def test_exact_duplicates_keep_the_first(kinds):
    hashes = as_pairs(b"".join(text_hash(f"text {kind}") for kind in kinds))
    assert exact_duplicates(hashes).tolist() == [kinds.index(kind) for kind in kinds]


def test_what_counts_as_the_same_text():
    assert text_hash("A  b\nC") == text_hash("a b c ")
    assert text_hash("e\u0301") == text_hash("\u00e9")
    assert text_hash("page 1") != text_hash("page 2")
    assert text_hash("a.b") != text_hash("a b")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(0, 8), min_size=3, max_size=3), max_size=20), st.data())
def test_clusters_are_connected_components(rows, data):
    bands = np.array(rows, dtype=np.uint64).reshape(-1, 3)
    active = np.array([data.draw(st.booleans()) for _ in rows], dtype=bool)
    clusters = [{i} for i in range(len(rows))]
    for i, row in enumerate(rows):
        for j in range(i):
            if active[i] and active[j] and any(x == y != 0 for x, y in zip(row, rows[j])):
                joined = clusters[i] | clusters[j]
                for member in joined:
                    clusters[member] = joined
    assert near_duplicates(bands, active).tolist() == [min(cluster) for cluster in clusters]


def test_shapes_are_checked():
    with pytest.raises(ValueError, match=r"\(n, 2\), got \(3,\)"):
        exact_duplicates(np.zeros(3, np.uint64))
    with pytest.raises(ValueError, match=r"n_bands\), got \(3,\)"):
        near_duplicates(np.zeros(3, np.uint64))
    assert near_duplicates(np.zeros((0, 14), np.uint64)).tolist() == []
    assert exact_duplicates(np.zeros((0, 2), np.uint64)).tolist() == []
