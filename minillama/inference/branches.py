"""Sequences that begin alike, in one feed: what several have in common runs once, and each leaves it as a branch.

    the header | question 1 | A               the first branch, from position 0
                            | B               leaves it after question 1
               | question 2 | A               leaves it after the header
                            | B

Products of matrices are those of one long prompt, and only attention goes from branch to branch: depth first, in
one cache that holds the path from the root to where it stands. A branch writes its keys over those of the branch
before, from the position on at which it leaves; what it shares is still there, in every layer. So a tree of any size
takes the memory of its longest path, and nothing is copied. Sorted by their tokens, sequences form such a tree.

Where products are integer ones the logits of a token are those that it has alone, to the last bit. Those of BLAS
depend on how many rows there are: a feed that is filled up to whole tiles of rows gives the same bits whatever
else is in it. That holds for OpenBLAS's kernels for AVX-512; those for AVX2 take the rest of a product otherwise, in
attention too, so that there the last digits (1e-5 of a logit) depend on what else is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float, Ints
from ..config import ModelConfig
from ..kv_cache import KVCache
from ..ops import READS_FLOAT16

# A number of rows that fills whole tiles of every BLAS.
TILE_ROWS = 64
# Products of fewer multiplications have kernels of their own in OpenBLAS: small matrices take more rows, up to 1024.
_SMALL_PRODUCT, _MOST_TILES = 1_000_000, 16


class Branch(NamedTuple):
    """The next tokens of a path.

    Attributes
    ----------
    start : int
        Where it leaves the path of the branch before, which is forgotten from there on.
    ids : int64 ndarray of shape (T,)
        Checked by whoever took them in.
    wanted : int64 ndarray of shape (W,)
        The tokens among them, from 0, after which logits are wanted.
    """

    start: int
    ids: NDArray[np.int64]
    wanted: NDArray[np.int64]

    @property
    def end(self) -> int:
        return self.start + len(self.ids)


class Fill(NamedTuple):
    """A multiple of how many rows runs: the last token again and again. 1 and 1 fill nothing.

    Attributes
    ----------
    rows : int
        Through the layers.
    wanted : int
        Through the output head.
    """

    rows: int = 1
    wanted: int = 1


def fill_of(config: ModelConfig) -> Fill:
    """Whole tiles of every product of a model."""
    narrowest = min(config.n_kv_heads * config.head_dim, config.dim, config.hidden_dim)
    return Fill(_whole_tiles(config.dim * narrowest), _whole_tiles(config.dim * config.vocab_size))


def _whole_tiles(multiplications: int) -> int:
    """Rows, by the multiplications that each takes."""
    return TILE_ROWS * min(_MOST_TILES, -(-_SMALL_PRODUCT // (TILE_ROWS * multiplications)))


class BranchesTogether:
    """Branches one after another as if they were one sequence, see `model.extend_cached`: arrays are (1, T, …).

    Parameters
    ----------
    cache : KVCache
        Of one sequence: the path.
    branches : sequence of Branch
    attention : callable
        `Ops.attention_forward`; `attend` takes its place in the table that runs.
    fill : Fill
    """

    def __init__(
        self, cache: KVCache, branches: Sequence[Branch], attention: Callable[..., Any], *, fill: Fill
    ) -> None:
        self._cache, self._branches, self._attention, self._fill = cache, branches, attention, fill
        self._firsts = list(accumulate([len(branch.ids) for branch in branches], initial=0))
        self._layer = 0
        self._positions: Ints = np.empty((1, 0), np.int64)
        self._wanted = np.concatenate([first + branch.wanted for first, branch in zip(self._firsts, branches)])
        self.n_wanted = len(self._wanted)

    def ids(self) -> NDArray[np.int64]:
        """The tokens that run, (1, T)."""
        return _filled(np.concatenate([branch.ids for branch in self._branches]), self._fill.rows)[None]

    def reserve(self, n_tokens: int) -> None:
        """See `KVCache.reserve`: here room for the longest path."""
        longest = max(branch.end for branch in self._branches)
        self._cache.reserve(max(0, longest - int(self._cache.lengths[0])))

    def positions(self, n_tokens: int) -> NDArray[np.int64]:
        """Each token's on its path, (1, T)."""
        each = [np.arange(branch.start, branch.end) for branch in self._branches]
        return _filled(np.concatenate(each), self._fill.rows)[None]

    def ends(self) -> tuple[Any, ...]:
        """The tokens after which logits are wanted; one at least."""
        wanted = self._wanted if self.n_wanted else np.array([self._firsts[-1] - 1])
        return slice(None), _filled(wanted, self._fill.wanted)

    def advance(self, n_tokens: int) -> None:
        """The cache holds the last path."""
        self._cache.lengths[0] = self._branches[-1].end

    def write(self, layer: int, k: Float, v: Float, positions: Ints, *, as_stored: bool = False) -> tuple[Float, Float]:
        """Keys and values are stored by `attend`, which comes next, branch by branch."""
        self._layer, self._positions = layer, positions
        return k, v

    def attend(self, q: Float, k: Float, v: Float, positions: Ints, *window: int) -> tuple[Float, Any]:
        """`Ops.attention_forward` of each branch over its path; nothing is kept for a way back."""
        y = np.zeros_like(q)  # (1, H, n, head_dim)
        dtype = self._cache.k.dtype if self._attention in READS_FLOAT16 else q.dtype
        for first, branch, asked in zip(self._firsts, self._branches, self._asked_of_each()):
            part = slice(first, first + len(branch.ids))
            self._cache.store(self._layer, k[:, :, part], v[:, :, part], self._positions[:, part])
            if asked.start < asked.stop:
                keys_and_values = self._cache.read(self._layer, branch.end, dtype)
                y[:, :, asked], _ = self._attention(q[:, :, asked], *keys_and_values, positions[:, asked], *window)
        return y, None

    def _asked_of_each(self) -> list[slice]:
        """Which of the queries are each branch's: of the last layer, those after which logits are wanted."""
        if self._layer + 1 < len(self._cache.k):
            counts = [len(branch.ids) for branch in self._branches]
        else:
            counts = [len(branch.wanted) for branch in self._branches]
        borders = accumulate(counts, initial=0)
        return [slice(first, last) for first, last in pairwise(borders)]


def _filled(row: NDArray[np.int64], multiple: int) -> NDArray[np.int64]:
    return np.pad(row, (0, -len(row) % multiple), mode="edge")
