"""Several sequences, each in a cache of its own, as one for running layer by layer: see `model.extend_cached`.

CachesTogether    a token each of B sequences; for tables of functions that the fused kernels are not for
PromptsTogether   prompts of any lengths one after another: the products are those of one long prompt, and
                  only attention goes from sequence to sequence
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float, Ints
from ..kv_cache import CacheRows, KVCache
from ..ops import READS_FLOAT16


class CachesTogether:
    """Some of `CacheRows`, which all go on by one token."""

    def __init__(self, rows: CacheRows, places: NDArray[np.int64]) -> None:
        self._rows, self._places = rows, places
        self._caches = [rows.only(place) for place in places.tolist()]

    def reserve(self, n_tokens: int) -> None:
        """See `KVCache.reserve`."""
        self._rows.reserve(self._places, n_tokens)

    def positions(self, n_tokens: int) -> NDArray[np.int64]:
        """See `KVCache.positions`."""
        return self._rows.lengths[self._places][:, None] + np.arange(n_tokens)

    def ends(self) -> tuple[Any, ...]:
        """See `KVCache.ends`."""
        return slice(None), slice(-1, None)

    def advance(self, n_tokens: int) -> None:
        """See `KVCache.advance`."""
        self._rows.advance(self._places, n_tokens)

    def write(self, layer: int, k: Float, v: Float, positions: Ints, *, as_stored: bool = False) -> tuple[Float, Float]:
        """See `KVCache.write`; returns copies, as far as the longest sequence is filled."""
        shape = (len(self._caches), k.shape[1], int(positions.max()) + 1, k.shape[3])
        all_k, all_v = np.zeros((2, *shape), self._caches[0].k.dtype if as_stored else k.dtype)
        for b, cache in enumerate(self._caches):
            own = slice(b, b + 1)
            own_k, own_v = cache.write(layer, k[own], v[own], positions[own], as_stored=as_stored)
            n = int(positions[b, -1]) + 1
            all_k[b, :, :n], all_v[b, :, :n] = own_k[0, :, :n], own_v[0, :, :n]
        return all_k, all_v


class PromptsTogether:
    """The next tokens of several sequences, one after another as if they were one: arrays are (1, T, …).

    Parameters
    ----------
    caches : sequence of KVCache
        Of one sequence each.
    n_tokens : sequence of int
        How many of the T tokens are each one's.
    attention : callable
        `Ops.attention_forward`; `attend` takes its place in the table that runs.
    """

    def __init__(self, caches: Sequence[KVCache], n_tokens: Sequence[int], attention: Callable[..., Any]) -> None:
        borders = np.concatenate(([0], np.cumsum(n_tokens))).tolist()
        self._caches, self._attention = caches, attention
        self._parts = [slice(first, last) for first, last in pairwise(borders)]
        self._layer = 0

    def reserve(self, n_tokens: int) -> None:
        """See `KVCache.reserve`: here room for each one's own."""
        for cache, part in zip(self._caches, self._parts):
            cache.reserve(part.stop - part.start)

    def positions(self, n_tokens: int) -> NDArray[np.int64]:
        """Each token's in its own sequence, (1, T)."""
        each = [cache.positions(part.stop - part.start) for cache, part in zip(self._caches, self._parts)]
        return np.concatenate(each, axis=1)

    def ends(self) -> tuple[Any, ...]:
        """See `KVCache.ends`."""
        return slice(None), [part.stop - 1 for part in self._parts]

    def advance(self, n_tokens: int) -> None:
        """See `KVCache.advance`."""
        for cache, part in zip(self._caches, self._parts):
            cache.advance(part.stop - part.start)

    def write(self, layer: int, k: Float, v: Float, positions: Ints, *, as_stored: bool = False) -> tuple[Float, Float]:
        """Store each one's keys and values; `attend`, which comes next, reads them there."""
        for cache, part in zip(self._caches, self._parts):
            cache.store(layer, k[:, :, part], v[:, :, part], positions[:, part])
        self._layer = layer
        return k, v

    def attend(self, q: Float, k: Float, v: Float, positions: Ints, *window: int) -> tuple[Float, Any]:
        """`Ops.attention_forward` of each sequence over what it has in its cache; nothing is kept for a way back.

        q is of all T tokens, or of the last of each sequence.
        """
        y, n = np.empty_like(q), positions.shape[1]  # (1, H, n, head_dim)
        parts = self._parts if n == self._parts[-1].stop else [slice(i, i + 1) for i in range(n)]
        for cache, part in zip(self._caches, parts):
            dtype = cache.k.dtype if self._attention in READS_FLOAT16 else q.dtype
            keys_and_values = cache.read(self._layer, int(positions[0, part.stop - 1]) + 1, dtype)
            y[:, :, part], _ = self._attention(q[:, :, part], *keys_and_values, positions[:, part], *window)
        return y, None
