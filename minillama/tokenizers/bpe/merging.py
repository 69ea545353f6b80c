"""The merge loop of byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909).

    start with single characters (or bytes)
    while some two neighbours may merge:
        merge the best such pair, the leftmost if several are equally good

    l o w e r      "e r" is the best pair
    l o w er       "l o" next
    lo w er        …
    low er

Looking through all pairs before every merge costs O(n²). Here every pair that may merge waits in a
heap, the best on top, and a merge adds at most two new pairs: O(n log n). Pairs are not taken out of
the heap when one of their sides merges elsewhere; they are recognised as outdated when they come up.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence


def merge_symbols(symbols: Sequence[str], rank: Callable[[str, str], float | None]) -> list[str]:
    """Merge neighbours until no two of them may merge.

    Parameters
    ----------
    symbols : sequence of str
        The text, cut into its smallest parts; none of them empty.
    rank : callable
        `rank(left, right)` says how early two neighbours merge, the smallest number first; None when
        they do not.

    Returns
    -------
    list of str
        The merged symbols; put together they are the same text.
    """
    merged, n = list(symbols), len(symbols)
    # A linked list: merging takes one symbol out of the row without moving the others.
    before, after = list(range(-1, n - 1)), list(range(1, n + 1))
    waiting: list[tuple[float, int, int, int]] = []  # (rank, left position, right position, length of the result)

    def consider(left: int, right: int) -> None:
        value = rank(merged[left], merged[right])
        if value is not None:
            heapq.heappush(waiting, (value, left, right, len(merged[left]) + len(merged[right])))

    for left in range(n - 1):
        consider(left, left + 1)

    while waiting:
        _, left, right, length = heapq.heappop(waiting)
        outdated = not merged[left] or not merged[right] or len(merged[left]) + len(merged[right]) != length
        if outdated:  # one side has grown, or was swallowed by a neighbour, since the pair was added
            continue
        merged[left] += merged[right]
        merged[right] = ""
        after[left] = after[right]
        if after[left] < n:
            before[after[left]] = left
        if before[left] >= 0:
            consider(before[left], left)
        if after[left] < n:
            consider(left, after[left])
    return [symbol for symbol in merged if symbol]


class WordCache:
    """Remembers the ids of words that were encoded before; text repeats few words very often.

    Parameters
    ----------
    encode : callable
        The work to be saved: word to ids.
    max_words, max_length : int
        The bound of its memory: it starts over when full, and longer words are not kept.
    """

    def __init__(self, encode: Callable[[str], list[int]], max_words: int = 1 << 16, max_length: int = 48) -> None:
        self._encode, self._max_words, self._max_length = encode, max_words, max_length
        self._ids: dict[str, list[int]] = {}

    def __call__(self, word: str) -> list[int]:
        """The ids of `word`; not to be changed."""
        ids = self._ids.get(word)
        if ids is None:
            ids = self._encode(word)
            if len(word) <= self._max_length:
                if len(self._ids) >= self._max_words:
                    self._ids.clear()
                self._ids[word] = ids
        return ids
