"""Keys and values of the tokens already seen, so that a new token costs one token's work.

The arrays grow by doubling up to the context length of the model: a short answer does not
pay for 8192 positions. The cache takes 2 * n_layers * n_kv_heads * head_dim numbers for each
position (LLaMA 2 section 2.2 and appendix A.2.1: grouped heads make it 8 times smaller in 70B).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .config import ModelConfig

_FIRST_CAPACITY = 256


class ContextFullError(ValueError):
    """More tokens than the context of the model holds; nothing was computed or changed."""


class CacheOverflowError(ValueError):
    """A key or value is larger than float16 holds; the cache is as long as it was before."""


def check_range(largest: float, dtype: np.dtype[Any]) -> None:
    """Raise CacheOverflowError if the largest key or value of some would become infinite in the cache's dtype."""
    if dtype == np.float16 and largest > float(np.finfo(np.float16).max):
        raise CacheOverflowError(
            f"a key or value of this model is {largest:.3g}, more than float16 holds (65504): keep them in float32, "
            "with --kv-cache float32 or load(..., kv_dtype=np.float32)"
        )


class KVCache:
    """Keys (rotated) and values of `batch` sequences, each of its own length.

    Attributes
    ----------
    k, v : ndarray of shape (n_layers, B, n_kv_heads, capacity, head_dim)
        Entries past a sequence's length are zeros or stale, and never read.
    lengths : int64 ndarray of shape (B,)
        Positions of each sequence that are filled; `advance`, `truncate` and `keep_rows` change them.
    max_seq_len : int
        The limit; `reserve` refuses to pass it.
    """

    def __init__(
        self, config: ModelConfig, batch: int = 1, max_seq_len: int | None = None, dtype: DTypeLike = np.float32
    ) -> None:
        self.max_seq_len = config.max_seq_len if max_seq_len is None else max_seq_len
        if self.max_seq_len < 1:
            raise ValueError(f"max_seq_len must be positive, got {self.max_seq_len}")
        if self.max_seq_len > config.max_seq_len and config.rope_scaling and config.rope_scaling.kind == "dynamic":
            raise ValueError(
                f"max_seq_len must be at most {config.max_seq_len} with RoPE scaled by the rule 'dynamic' (beyond it "
                f"every token would change the keys of all before it), got {self.max_seq_len}"
            )
        capacity = min(_FIRST_CAPACITY, self.max_seq_len)
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_dim)
        self.k: NDArray[np.floating] = np.zeros(shape, dtype)
        self.v: NDArray[np.floating] = np.zeros(shape, dtype)
        self.lengths = np.zeros(batch, np.int64)
        self._whole: tuple[KVCache, int] | None = None  # of a `row`: the cache it belongs to, and where

    @property
    def capacity(self) -> int:
        """Positions for which there is room without another allocation."""
        return self.k.shape[3]

    @property
    def nbytes(self) -> int:
        return self.k.nbytes + self.v.nbytes

    def stored(self) -> tuple[NDArray[Any], NDArray[Any], int]:
        """`k` and `v` as kernels take them, contiguous, and which of their sequences is this cache's first.

        float16 is seen as uint16, which Numba knows.
        """
        whole, first = (self, 0) if self._whole is None else self._whole
        if self.k.dtype == np.float16:
            return whole.k.view(np.uint16), whole.v.view(np.uint16), first
        return whole.k, whole.v, first

    def reserve(self, n_tokens: int) -> None:
        """Make room for `n_tokens` more of every sequence.

        Raises
        ------
        ContextFullError
            When a sequence would pass `max_seq_len`; the cache is unchanged.
        """
        longest = max(self.lengths.tolist())
        needed = longest + n_tokens
        if needed > self.max_seq_len:
            raise ContextFullError(
                f"the context holds {self.max_seq_len} tokens: {longest} are used, {n_tokens} more do not fit; "
                "shorten the text or start a new conversation"
            )
        if needed > self.capacity:
            self._grow(min(self.max_seq_len, max(needed, 2 * self.capacity)))

    def advance(self, n_tokens: int) -> None:
        """Count `n_tokens` that were written after the last of every sequence.

        Whoever runs the model calls it last: until then an interrupt leaves the cache as it was.
        """
        self.lengths += n_tokens  # in place: a `row` of another cache counts there too

    def _grow(self, capacity: int) -> None:
        filled = self.capacity
        for name in ("k", "v"):
            old = getattr(self, name)
            new = np.zeros((*old.shape[:3], capacity, old.shape[4]), old.dtype)
            new[:, :, :, :filled] = old
            setattr(self, name, new)
        self._whole = None

    def write(
        self,
        layer: int,
        k: NDArray[np.floating],
        v: NDArray[np.floating],
        positions: NDArray[np.integer],
        *,
        as_stored: bool = False,
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Store the keys and values of one layer at `positions`; return the whole of that layer.

        Parameters
        ----------
        layer : int
        k, v : ndarray of shape (B, n_kv_heads, T, head_dim)
        positions : integer ndarray of shape (B, T)
            Neighbours, for which `reserve` has made room.
        as_stored : bool
            Return float16 as it is: for functions that know it.

        Returns
        -------
        k, v : ndarray of shape (B, n_kv_heads, capacity, head_dim), views
            Where the cache keeps fewer bits: copies in the dtype of what was given, as far as they are filled.

        Raises
        ------
        CacheOverflowError
            When a number is larger than float16 holds, in which the cache keeps it.
        """
        if self.k.dtype == np.float16:
            check_range(max(float(np.abs(a).max(initial=0)) for a in (k, v)), self.k.dtype)
        n_tokens = positions.shape[1]
        for b, first in enumerate(positions[:, 0]):
            self.k[layer, b, :, first : first + n_tokens] = k[b]
            self.v[layer, b, :, first : first + n_tokens] = v[b]
        if as_stored or self.k.dtype == k.dtype:
            return self.k[layer], self.v[layer]
        seen = slice(0, int(positions.max()) + 1)
        return self.k[layer, :, :, seen].astype(k.dtype), self.v[layer, :, :, seen].astype(v.dtype)

    def truncate(self, length: int, row: int = 0) -> None:
        """Forget the positions of one sequence from `length` on.

        Raises
        ------
        ValueError
            When the sequence is shorter than that.
        """
        if not 0 <= length <= self.lengths[row]:
            raise ValueError(f"cannot cut a sequence of {self.lengths[row]} tokens to {length}")
        self.lengths[row] = length

    def row(self, index: int) -> KVCache:
        """One sequence as a cache of its own that shares this one's memory.

        What is written to it is written here, as long as neither has to grow: `reserve` first.
        """
        view = object.__new__(KVCache)
        view.max_seq_len = self.max_seq_len
        view.k, view.v = self.k[:, index : index + 1], self.v[:, index : index + 1]
        view.lengths = self.lengths[index : index + 1]
        view._whole = (self, index) if self._whole is None else self._whole
        return view

    def keep_rows(self, rows: NDArray[np.integer]) -> None:
        """Keep only these sequences of the batch, in this order."""
        self.k, self.v = self.k.take(rows, 1), self.v.take(rows, 1)  # contiguous, which `a[:, rows]` need not be
        self.lengths, self._whole = self.lengths[rows], None
