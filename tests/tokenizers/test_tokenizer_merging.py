"""The merge loop against its definition."""

import random
from itertools import pairwise

from minillama.tokenizers.bpe.merging import WordCache, merge_symbols


def merge_slowly(symbols, rank):
    """The definition: look through all pairs before every merge."""
    symbols = list(symbols)
    while True:
        ranked = [(rank(a, b), i) for i, (a, b) in enumerate(pairwise(symbols)) if rank(a, b) is not None]
        if not ranked:
            return symbols
        i = min(ranked)[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def test_heap_equals_definition():
    """Random rules over a small alphabet, with many equal ranks."""
    rng = random.Random(0)
    for _ in range(2000):
        pieces = {"".join(rng.choices("abc", k=rng.randint(2, 5))): rng.randint(0, 6) for _ in range(12)}
        rank = lambda left, right, pieces=pieces: pieces.get(left + right)
        text = "".join(rng.choices("abc", k=rng.randint(0, 20)))
        assert merge_symbols(text, rank) == merge_slowly(text, rank)


def test_leftmost_of_equal_pairs_merges_first():
    assert merge_symbols("aaa", lambda left, right: {("a", "a"): 0}.get((left, right))) == ["aa", "a"]


def test_cache_is_bounded():
    calls = []
    cache = WordCache(lambda word: calls.append(word) or [len(word)], max_words=3, max_length=4)
    assert [cache("a"), cache("a"), cache("longer"), cache("longer")] == [[1], [1], [6], [6]]
    assert calls == ["a", "longer", "longer"]
    for n in range(100):
        cache(str(n))
    assert len(cache._ids) <= 3
