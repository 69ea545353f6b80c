"""What an iteration learns from: answers, and what was known of each of their tokens when they were sampled.

    ids           p p p p a a a $        prompt, answer, the token that ends it
    rows          p p p p a a a          what the networks read
    learned             x x x x          where a token of the answer is predicted: the place before it
    values              V V V V          read at the same places: what is to be expected before that token

Rows may stand in any order. A batch is cut into parts whose padded sizes are about the same, so that threads that share
it end together; where rows come by their lengths, a part holds rows of like length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ...compute.array_types import Float, Ints
from .advantages import Mask


class Experience(NamedTuple):
    """B answers with the ids before them.

    Attributes
    ----------
    ids : sequence of integer ndarrays
        Prompt and answer.
    n_prompt : integer ndarray of shape (B,)
        How many of them are the prompt's.
    logprobs, reference : ndarray of shape (B, A)
        Log-probability of every token of the answers when they were sampled, by the policy and by its reference; like
        the others padded to the longest answer.
    values : ndarray of shape (B, A)
    advantages, returns : ndarray of shape (B, A)
    """

    ids: Sequence[Ints]
    n_prompt: Ints
    logprobs: Float
    reference: Float
    values: Float
    advantages: Float
    returns: Float

    @property
    def n_answer(self) -> Ints:
        return np.array([len(row) for row in self.ids], np.int64) - self.n_prompt

    @property
    def mask(self) -> Mask:
        """Which places of the padded arrays are tokens of an answer, (B, A)."""
        return mask_of(self.n_answer, self.values.shape[1])

    def flat(self, name: str) -> Float:
        """An array's numbers of all answers' tokens, one answer after the other: in the order of `rows`."""
        found: Float = getattr(self, name)[self.mask]
        return found

    def rows(self) -> tuple[Ints, Ints, Ints]:
        """Tokens (B, T); which places of the flattened rows predict a token of an answer; and those tokens."""
        last = np.array([len(row) - 1 for row in self.ids], np.int64)
        tokens = np.zeros((len(self.ids), last.max()), np.int64)  # padded with an id that nothing sees
        for b, row in enumerate(self.ids):
            tokens[b, : last[b]] = row[:-1]
        places = np.arange(tokens.shape[1])
        learned = (places >= self.n_prompt[:, None] - 1) & (places < last[:, None])
        targets = np.concatenate([row[n:] for row, n in zip(self.ids, self.n_prompt)])
        return tokens, np.flatnonzero(learned), targets

    def taken(self, rows: slice | Ints) -> Experience:
        """Some of the rows."""
        chosen = np.arange(len(self.ids))[rows]
        arrays: list[Any] = [array[chosen] for array in self[1:]]
        return Experience([self.ids[i] for i in chosen], *arrays)

    def split(self, n: int) -> list[Experience]:
        return [self.taken(rows) for rows in even_parts([len(row) for row in self.ids], n)]


def mask_of(lengths: Ints, width: int) -> Mask:
    """(B, width): the first `lengths[b]` places of every row."""
    return np.arange(width) < lengths[:, None]


def blank(ids: Sequence[Ints], n_prompt: Ints, dtype: Any = np.float32) -> Experience:
    """Answers of which nothing is known yet."""
    width = max(len(row) - n for row, n in zip(ids, n_prompt))
    return Experience(ids, n_prompt, *(np.zeros((len(ids), width), dtype) for _ in range(5)))


def even_parts(lengths: Sequence[int], n: int) -> list[slice]:
    """Rows cut into at most `n` runs, none empty, whose padded sizes come near to their share of all tokens."""
    parts: list[slice] = []
    start = 0
    for left in range(min(n, len(lengths)), 1, -1):
        share, last = sum(lengths[start:]) / left, len(lengths) - left
        stop = start + 1
        while stop <= last and _area(lengths, start, stop) + _area(lengths, start, stop + 1) <= 2 * share:
            stop += 1
        parts.append(slice(start, stop))
        start = stop
    return [*parts, slice(start, len(lengths))] if lengths else []


def _area(lengths: Sequence[int], start: int, stop: int) -> int:
    """Tokens of these rows, padded."""
    return max(lengths[start:stop]) * (stop - start)


# --- on disk --------------------------------------------------------------------------------


def as_arrays(experience: Experience) -> dict[str, Any]:
    """For `numpy.savez`."""
    lengths = np.array([len(row) for row in experience.ids], np.int64)
    arrays = {name: getattr(experience, name) for name in Experience._fields[1:]}
    return {"ids": np.concatenate(experience.ids), "lengths": lengths, **arrays}


def from_arrays(arrays: Any) -> Experience:
    """What `as_arrays` gave."""
    ids = np.split(arrays["ids"], np.cumsum(arrays["lengths"])[:-1])
    return Experience(ids, *(arrays[name] for name in Experience._fields[1:]))
