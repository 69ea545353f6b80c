"""Keys and values of the tokens already seen, so that a new token costs one token's work.

The arrays grow by doubling up to the context length of the model: a short answer does not
pay for 8192 positions. The cache takes 2 * n_layers * n_kv_heads * head_dim numbers for each
position (LLaMA 2 section 2.2 and appendix A.2.1: grouped heads make it 8 times smaller in 70B).

Several sequences may begin with the same tokens. Then those keys and values exist once, as a
`Beginning` that the cache of each refers to; a cache of its own keeps what comes after.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

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


class LayerCache(Protocol):
    """What running layer by layer asks of a `KVCache`, or of what stands for several."""

    def reserve(self, n_tokens: int) -> None: ...
    def positions(self, n_tokens: int) -> NDArray[np.int64]: ...
    def write(self, layer: int, k: Any, v: Any, positions: Any, *, as_stored: bool = False) -> tuple[Any, Any]: ...
    def ends(self) -> tuple[Any, ...]: ...
    def advance(self, n_tokens: int) -> None: ...


class Beginning(NamedTuple):
    """Keys and values of the first tokens of several sequences; nobody writes to them.

    Attributes
    ----------
    k, v : ndarray of shape (n_layers, 1, n_kv_heads, n, head_dim)
    """

    k: NDArray[np.floating]
    v: NDArray[np.floating]

    @property
    def n_tokens(self) -> int:
        return self.k.shape[3]

    @property
    def nbytes(self) -> int:
        return self.k.nbytes + self.v.nbytes


class KVCache:
    """Keys (rotated) and values of `batch` sequences, each of its own length.

    Parameters
    ----------
    beginning : Beginning, optional
        What one sequence has in common with others; it counts as filled.

    Attributes
    ----------
    k, v : ndarray of shape (n_layers, B, n_kv_heads, S, head_dim)
        From the end of the beginning on. Entries past a sequence's length are zeros or stale, and never read.
    lengths : int64 ndarray of shape (B,)
        Positions of each sequence that are filled; `advance` and `truncate` change them.
    max_seq_len : int
        The limit; `reserve` refuses to pass it.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int = 1,
        max_seq_len: int | None = None,
        dtype: DTypeLike = np.float32,
        beginning: Beginning | None = None,
    ) -> None:
        self.max_seq_len = config.max_seq_len if max_seq_len is None else max_seq_len
        if self.max_seq_len < 1:
            raise ValueError(f"max_seq_len must be positive, got {self.max_seq_len}")
        if self.max_seq_len > config.max_seq_len and config.rope_scaling and config.rope_scaling.kind == "dynamic":
            raise ValueError(
                f"max_seq_len must be at most {config.max_seq_len} with RoPE scaled by the rule 'dynamic' (beyond it "
                f"every token would change the keys of all before it), got {self.max_seq_len}"
            )
        self.beginning = beginning
        self.n_shared = 0 if beginning is None else beginning.n_tokens
        capacity = min(_FIRST_CAPACITY, self.max_seq_len - self.n_shared)
        shape = (config.n_layers, batch, config.n_kv_heads, capacity, config.head_dim)
        self.k: NDArray[np.floating] = np.zeros(shape, dtype)
        self.v: NDArray[np.floating] = np.zeros(shape, dtype)
        self.lengths = np.full(batch, self.n_shared, np.int64)

    @property
    def capacity(self) -> int:
        """Positions for which there is room without another allocation."""
        return self.n_shared + self.k.shape[3]

    @property
    def nbytes(self) -> int:
        """Bytes of its own keys and values; those of a beginning are others' too."""
        return self.k.nbytes + self.v.nbytes

    def stored(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """`k` and `v` as kernels take them, float16 seen as uint16, which Numba knows."""
        return as_stored(self.k), as_stored(self.v)

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
            own = max(needed - self.n_shared, 2 * self.k.shape[3])
            self._grow(min(self.max_seq_len - self.n_shared, own))

    def positions(self, n_tokens: int) -> NDArray[np.int64]:
        """Those of the next tokens of every sequence, (B, T)."""
        return self.lengths[:, None] + np.arange(n_tokens)

    def ends(self) -> tuple[Any, ...]:
        """Which of the tokens (B, T) that were run is the last of each sequence, as an index that keeps both axes."""
        return slice(None), slice(-1, None)

    def advance(self, n_tokens: int) -> None:
        """Count `n_tokens` that were written after the last of every sequence.

        Whoever runs the model calls it last: until then an interrupt leaves the cache as it was.
        """
        self.lengths += n_tokens  # in place: among `CacheRows` they are counted there too

    def _grow(self, n_positions: int) -> None:
        larger_k, larger_v = with_room(self.k, n_positions), with_room(self.v, n_positions)
        self.k, self.v = larger_k, larger_v  # both at once, for an interrupt

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
            Where the cache keeps fewer bits (without `as_stored`), or has a beginning: copies, as far as they are
            filled.

        Raises
        ------
        CacheOverflowError
            When a number is larger than float16 holds, in which the cache keeps it.
        """
        self.store(layer, k, v, positions)
        return self.read(layer, int(positions.max()) + 1, self.k.dtype if as_stored else k.dtype)

    def store(
        self, layer: int, k: NDArray[np.floating], v: NDArray[np.floating], positions: NDArray[np.integer]
    ) -> None:
        """The first half of `write`."""
        if self.k.dtype == np.float16:
            check_range(max(float(np.abs(a).max(initial=0)) for a in (k, v)), self.k.dtype)
        n_tokens = positions.shape[1]
        for b, first in enumerate(positions[:, 0] - self.n_shared):
            self.k[layer, b, :, first : first + n_tokens] = k[b]
            self.v[layer, b, :, first : first + n_tokens] = v[b]

    def read(self, layer: int, n_positions: int, dtype: DTypeLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The second half of `write`: the keys and values of a layer, of which `n_positions` are filled."""
        if self.k.dtype == dtype and self.beginning is None:
            return self.k[layer], self.v[layer]
        own = slice(0, n_positions - self.n_shared)
        keys, values = self.k[layer, :, :, own], self.v[layer, :, :, own]
        if self.beginning is not None:
            keys = np.concatenate((self.beginning.k[layer], keys), axis=2)
            values = np.concatenate((self.beginning.v[layer], values), axis=2)
        return keys.astype(dtype, copy=False), values.astype(dtype, copy=False)

    def truncate(self, length: int, row: int = 0) -> None:
        """Forget the positions of one sequence from `length` on.

        Raises
        ------
        ValueError
            When the sequence is shorter than that, or what it has in common with others is longer.
        """
        if not self.n_shared <= length <= self.lengths[row]:
            shared = f", {self.n_shared} of them shared with others," if self.n_shared else ""
            raise ValueError(f"cannot cut a sequence of {self.lengths[row]} tokens{shared} to {length}")
        self.lengths[row] = length

    def as_beginning(self) -> Beginning:
        """What one sequence holds, for others to begin with; nothing may be written to this cache afterwards.

        Raises
        ------
        ValueError
            When it has a beginning itself, or more room than it uses, which would be kept along with it.
        """
        if self.beginning is not None or self.lengths.tolist() != [self.capacity]:
            raise ValueError(f"a beginning is one sequence that fills its cache, got {self.lengths} of {self.capacity}")
        return Beginning(self.k, self.v)

    def beginning_of(self, length: int) -> Beginning:
        """A copy of the first `length` tokens of this one sequence, which has no beginning, for others."""
        return Beginning(self.k[:, :, :, :length].copy(), self.v[:, :, :, :length].copy())

    def fork(self, length: int, beginning: Beginning | None = None) -> KVCache:
        """A cache of its own for a sequence that has the first `length` tokens in common with this one sequence.

        Parameters
        ----------
        length : int
        beginning : Beginning, optional
            What this sequence begins with, made by `beginning_of`, if it has no beginning yet: it is not copied again.
        """
        other = copy.copy(self)
        other.lengths = np.array([length], np.int64)
        before = self.n_shared
        if beginning is not None:
            other.beginning, other.n_shared = beginning, beginning.n_tokens
        own = slice(other.n_shared - before, length - before)
        n_positions = max(length - other.n_shared, min(_FIRST_CAPACITY, self.max_seq_len - other.n_shared))
        other.k, other.v = (with_room(array[:, :, :, own], n_positions) for array in (self.k, self.v))
        return other


def with_room(array: NDArray[np.floating], n_positions: int) -> NDArray[np.floating]:
    """A copy of keys or values (n_layers, B, n_kv_heads, S, head_dim) for more positions; zeros after them."""
    larger = np.zeros((*array.shape[:3], n_positions, array.shape[4]), array.dtype)
    larger[:, :, :, : array.shape[3]] = array
    return larger


def as_stored(array: NDArray[np.floating]) -> NDArray[Any]:
    """An array as kernels take it: float16 seen as uint16."""
    return array.view(np.uint16) if array.dtype == np.float16 else array


# The fields of `CacheRows.where`.
K_ADDRESS, V_ADDRESS, N_OWN, K_SHARED_ADDRESS, V_SHARED_ADDRESS, N_SHARED = range(6)


class CacheRows:
    """Sequences that are continued together, each in a cache of its own, with a place for each.

    Joining and leaving copies nothing: a kernel takes the numbers of the places that are in use, and
    finds at each where the keys of that sequence lie.

    Attributes
    ----------
    caches : list of KVCache or None
        The one at each place; None where a place is free.
    lengths : int64 ndarray of shape (n_places,)
        Positions of each sequence that are filled; the caches count in it.
    where : int64 ndarray of shape (n_places, 6)
        Of each cache the address of its keys and of its values, the positions that these have room for, and the same
        of its beginning.
    """

    def __init__(self, n_places: int) -> None:
        self.caches: list[KVCache | None] = [None] * n_places
        self.lengths = np.zeros(n_places, np.int64)
        self.where = np.zeros((n_places, 6), np.int64)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A deep copy has its keys elsewhere, which `reserve` looks up, and counts for itself."""
        self.__dict__.update(state)
        self.where = np.zeros_like(self.where)
        for place, cache in enumerate(self.caches):
            if cache is not None:
                cache.lengths = self.lengths[place : place + 1]

    @property
    def n_free(self) -> int:
        return self.caches.count(None)

    @property
    def nbytes(self) -> int:
        """Bytes of all keys and values; those of a beginning count once."""
        caches = [cache for cache in self.caches if cache is not None]
        beginnings = {id(cache.beginning.k): cache.beginning for cache in caches if cache.beginning is not None}
        return sum(cache.nbytes for cache in caches) + sum(beginning.nbytes for beginning in beginnings.values())

    def join(self, cache: KVCache) -> int:
        """Give the cache of one sequence a free place, and return its number."""
        if None not in self.caches:
            raise ValueError(f"all {len(self.caches)} places are taken: wait until a sequence leaves")
        place = self.caches.index(None)
        self.lengths[place] = cache.lengths[0]
        self.where[place] = 0
        counted_here = self.lengths[place : place + 1]
        self.caches[place], cache.lengths = cache, counted_here  # both at once, for an interrupt
        return place

    def leave(self, place: int) -> None:
        """Free a place; whoever holds the cache can go on with it."""
        cache = self.only(place)
        own_count = cache.lengths.copy()
        self.caches[place], cache.lengths = None, own_count

    def reserve(self, places: NDArray[np.int64], n_tokens: int = 1) -> None:
        """Make room for `n_tokens` more of the sequences at these places.

        Raises
        ------
        ContextFullError
            When one of them would pass its `max_seq_len`.
        """
        where = self.where[places]
        short = self.lengths[places] + n_tokens > where[:, N_OWN] + where[:, N_SHARED]
        for place in places[short].tolist():
            self.where[place] = 0  # an interrupt leaves no address of what is gone
            cache = self.only(place)
            cache.reserve(n_tokens)
            self.where[place] = where_of(cache)

    def advance(self, places: NDArray[np.int64], n_tokens: int = 1) -> None:
        """Count `n_tokens` that were written to these places: all of them, or with an interrupt none."""
        self.lengths[places] += n_tokens

    def only(self, place: int) -> KVCache:
        """The cache at one place."""
        cache = self.caches[place]
        if cache is None:
            raise ValueError(f"place {place} is free: no sequence has joined there")
        return cache


def where_of(cache: KVCache) -> tuple[int, ...]:
    """A row of `CacheRows.where`; without a beginning the cache's own address stands for it, never read."""
    own = cache.k.ctypes.data, cache.v.ctypes.data
    shared = own if cache.beginning is None else (cache.beginning.k.ctypes.data, cache.beginning.v.ctypes.data)
    return (*own, cache.k.shape[3], *shared, cache.n_shared)
