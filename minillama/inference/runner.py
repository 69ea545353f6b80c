"""Who runs the model: chosen once, and held as a value.

A runner continues the sequences of a cache by some ids. There are two:

    LayerRunner   layer by layer, with any table of functions and any number of sequences
    FusedRunner   the package's own functions on repacked matrices: a token of one sequence, or a token each of
                  many, is a single kernel (fused.py, fused_rows.py); a prompt goes through the layers

`runner_for` is the one place that chooses. A model, a session and a batch hold what it gave them, and never
ask again. Because the fused kernel is taken for the untouched table alone, a replaced function always
really runs.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float
from ..compute.forking import one_at_a_time
from ..compute.threads import one_blas_thread
from ..config import ModelConfig
from ..kv_cache import CacheRows, KVCache, where_of
from ..layers.linear import SharedRounding
from ..model import extend_cached, output_head, rotation_table
from ..ops import FAST, Ops, untouched
from ..params import Params
from ..quantization.repacked import RepackedMatrix
from .branches import Branch, BranchesTogether, Fill, fill_of
from .fused import Decoder
from .fused_rows import MOST_ROWS, RowsDecoder
from .repacked_model import MATRICES, RepackedModel, repack_model
from .together import CachesTogether, PromptsTogether

Ids = NDArray[np.int64]  # (B, T), every one in the vocabulary

# Up to this many tokens are decoded one by one: the layers as separate calls have not paid for themselves yet.
FEW_TOKENS = 6


class Runner(Protocol):
    """What runs a model.

    Attributes
    ----------
    config : ModelConfig
    ops : Ops
        The table of functions that run.
    repacked : RepackedModel or None
        The matrices rearranged for the CPU, if it runs on them.
    rows_alone : bool
        Whether products of any number of rows are the package's own: a row's results then have the same bits whatever
        rows are beside it. Of BLAS they have not.
    in_integers : bool
        Whether these are integer products.
    """

    config: ModelConfig
    ops: Ops
    repacked: RepackedModel | None
    rows_alone: bool
    in_integers: bool

    def extend(self, ids: Ids, cache: KVCache, *, all_logits: bool = False) -> Float:
        """Continue every sequence of the cache by T tokens: reserve room, run, advance the cache.

        Parameters
        ----------
        ids : int64 ndarray of shape (B, T)
            Checked by whoever took them in.
        cache : KVCache
            Of B sequences. It holds as many tokens as before if anything is raised, an interrupt too.
        all_logits : bool
            Logits of all T positions, not of the last alone.

        Returns
        -------
        logits : ndarray of shape (B, vocab_size), or (B, T, vocab_size) with `all_logits`
            Fresh.

        Raises
        ------
        ContextFullError
            When the tokens do not fit.
        """
        ...

    def step_rows(self, ids: NDArray[np.int64], rows: CacheRows, places: NDArray[np.int64]) -> Float:
        """Continue several sequences by a token each: reserve room, run, advance their caches.

        Parameters
        ----------
        ids : int64 ndarray of shape (B,)
            Checked by whoever took them in.
        rows : CacheRows
            They hold as many tokens as before if anything is raised, an interrupt too.
        places : int64 ndarray of shape (B,)
            Where in `rows` the sequences are.

        Returns
        -------
        logits : ndarray of shape (B, vocab_size)
            Fresh.

        Raises
        ------
        ContextFullError
            When a sequence is full.
        """
        ...

    def extend_each(self, ids: Sequence[Ids], caches: Sequence[KVCache]) -> Float:
        """Continue several sequences, each in a cache of its own, by tokens of any number: `extend` for each.

        Together where that is faster and gives the same bits. Returns fresh logits (B, vocab_size).
        """
        ...

    def extend_branches(self, branches: Sequence[Branch], cache: KVCache) -> Float:
        """Run branches of a tree one after another in a single feed; the cache holds the path of the last one then.

        Parameters
        ----------
        branches : sequence of Branch
            The first leaves the path that the cache holds.
        cache : KVCache
            Of one sequence without a beginning. After an interrupt or an error it holds what all of them share.

        Returns
        -------
        logits : ndarray of shape (W, vocab_size)
            After the tokens of all branches for which they are wanted, in their order. Fresh. A token's have the
            same bits whatever else is in the feed.

        Raises
        ------
        ContextFullError
            When a path does not fit.
        """
        ...


class RopeTable:
    """RoPE's table, grown by doubling as far as positions are used."""

    def __init__(self, config: ModelConfig) -> None:
        self._config = config
        self._table = rotation_table(config, 0)

    def reach(self, n_positions: int) -> tuple[Float, Float]:
        """(cos, sin) with at least so many rows."""
        n_rows = len(self._table[0])
        if n_positions > n_rows:
            self._table = rotation_table(self._config, max(n_positions, 2 * n_rows, 256))
        return self._table


class LayerRunner:
    """Layer by layer, as model.py says.

    Parameters
    ----------
    params : Params
        As stored; or those of `repacked`.
    config : ModelConfig
    ops : Ops
    repacked : RepackedModel, optional
    """

    def __init__(
        self, params: Params, config: ModelConfig, ops: Ops = FAST, repacked: RepackedModel | None = None
    ) -> None:
        self.params, self.config, self.ops, self.repacked = params, config, ops, repacked
        self.rope = RopeTable(config)
        matrices = [getattr(layer, name) for layer in params.layers for name in MATRICES] + [output_head(params)]
        self.rows_alone = ops == FAST and all(isinstance(m, RepackedMatrix) and m.beats_blas for m in matrices)
        self.in_integers = self.rows_alone and matrices[-1].is_quantized

    def extend(self, ids: Ids, cache: KVCache, *, all_logits: bool = False) -> Float:
        """See `Runner.extend`."""
        end = min(max(cache.lengths.tolist()) + ids.shape[1], cache.max_seq_len)
        with one_at_a_time():
            rope = self.rope.reach(end)
            return extend_cached(self.params, self.config, ids, cache, rope, self.ops, all_logits=all_logits)

    def step_rows(self, ids: NDArray[np.int64], rows: CacheRows, places: NDArray[np.int64]) -> Float:
        """See `Runner.step_rows`."""
        with one_at_a_time():
            rows.reserve(places)
            rope = self.rope.reach(int(rows.lengths[places].max()) + 1)
            together, new = CachesTogether(rows, places), ids[:, None]
            return extend_cached(self.params, self.config, new, together, rope, self.ops, all_logits=False)

    def extend_each(self, ids: Sequence[Ids], caches: Sequence[KVCache]) -> Float:
        """See `Runner.extend_each`."""
        return np.concatenate([self.extend(*pair) for pair in zip(ids, caches)])

    def extend_branches(self, branches: Sequence[Branch], cache: KVCache) -> Float:
        """See `Runner.extend_branches`."""
        cache.truncate(branches[0].start)
        cache.truncate(min(branch.start for branch in branches))  # what an interrupt leaves
        fill = Fill() if self.rows_alone else fill_of(self.config)
        together = BranchesTogether(cache, branches, self.ops.attention_forward, fill=fill)
        ops = _for_one_run(self.ops)._replace(attention_forward=together.attend)
        with one_at_a_time(), one_blas_thread() if self.rows_alone else nullcontext():
            rope, ids = self.rope.reach(max(branch.end for branch in branches)), together.ids()
            logits = extend_cached(self.params, self.config, ids, together, rope, ops, all_logits=False)
        return logits[: together.n_wanted]


class FusedRunner:
    """The package's own functions on repacked matrices.

    Parameters
    ----------
    repacked : RepackedModel
    config : ModelConfig
    """

    def __init__(self, repacked: RepackedModel, config: ModelConfig) -> None:
        self.config, self.ops = config, FAST
        self.repacked: RepackedModel | None = repacked
        self._decoder, self._layers = Decoder(repacked, config), LayerRunner(repacked.params, config)
        self.rows_alone, self.in_integers = self._layers.rows_alone, self._layers.in_integers

    def extend(self, ids: Ids, cache: KVCache, *, all_logits: bool = False) -> Float:
        """See `Runner.extend`."""
        with one_at_a_time():
            if len(ids) == 1 and ids.shape[1] <= FEW_TOKENS:
                return self._one_by_one(ids[0].tolist(), cache, all_logits)
            rope = self._layers.rope.reach(min(int(cache.lengths.max()) + ids.shape[1], cache.max_seq_len))
            with one_blas_thread() if self.rows_alone else nullcontext():
                return extend_cached(
                    self._layers.params, self.config, ids, cache, rope, _for_one_run(FAST), all_logits=all_logits
                )

    def _one_by_one(self, tokens: list[int], cache: KVCache, all_logits: bool) -> Float:
        """A few tokens of one sequence, each through the fused kernel."""
        cache.reserve(len(tokens))
        first = int(cache.lengths[0])
        rope = self._layers.rope.reach(first + len(tokens))
        if cache.beginning is None:
            logits = [self._decoder.step(token, first + i, cache, rope) for i, token in enumerate(tokens)]
        else:
            where, dtype = np.array([where_of(cache)], np.int64), cache.k.dtype
            each = [(np.array([token]), where, np.array([first + i]), dtype, rope) for i, token in enumerate(tokens)]
            logits = [self._rows_decoder.step(*token)[0] for token in each]
        cache.advance(len(tokens))  # last, so that an interrupt leaves the cache as it was
        return np.stack(logits)[None] if all_logits else logits[-1][None]

    @functools.cached_property
    def _rows_decoder(self) -> RowsDecoder:
        """Made, and its kernels compiled, when there are several rows for the first time."""
        return RowsDecoder(self._decoder.model, self.config)

    def step_rows(self, ids: NDArray[np.int64], rows: CacheRows, places: NDArray[np.int64]) -> Float:
        """See `Runner.step_rows`."""
        with one_at_a_time():
            rows.reserve(places)
            positions = rows.lengths[places]
            rope = self._layers.rope.reach(int(positions.max()) + 1)
            first = rows.only(int(places[0]))
            if len(places) == 1 and first.beginning is None:
                logits = self._decoder.step(int(ids[0]), int(positions[0]), first, rope)[None]
            else:
                parts = [slice(at, at + MOST_ROWS) for at in range(0, len(places), MOST_ROWS)]
                where, step = rows.where[places], self._rows_decoder.step
                each = [(ids[part], where[part], positions[part], first.k.dtype, rope) for part in parts]
                logits = step(*each[0]) if len(each) == 1 else np.concatenate([step(*part) for part in each])
            rows.advance(places)  # last, so that an interrupt leaves the caches as they were
            return logits

    def extend_each(self, ids: Sequence[Ids], caches: Sequence[KVCache]) -> Float:
        """See `Runner.extend_each`."""
        n_tokens = [part.shape[1] for part in ids]
        if not self.rows_alone or len(ids) == 1 or min(n_tokens) <= FEW_TOKENS:
            return np.concatenate([self.extend(*pair) for pair in zip(ids, caches)])
        together = PromptsTogether(caches, n_tokens, FAST.attention_forward)
        ops, layers = _for_one_run(FAST)._replace(attention_forward=together.attend), self._layers
        with one_at_a_time(), one_blas_thread():
            rope = layers.rope.reach(max(int(cache.lengths[0]) + n for cache, n in zip(caches, n_tokens)))
            new = np.concatenate(ids, axis=1)
            return extend_cached(layers.params, self.config, new, together, rope, ops, all_logits=False)

    def extend_branches(self, branches: Sequence[Branch], cache: KVCache) -> Float:
        """See `Runner.extend_branches`."""
        return self._layers.extend_branches(branches, cache)


def _for_one_run(ops: Ops) -> Ops:
    """The table; the package's own product keeps what it rounds for one matrix for the next."""
    return ops._replace(linear_forward=SharedRounding()) if untouched(ops, "linear_forward") else ops


def runner_for(
    params: Params, config: ModelConfig, ops: Ops = FAST, *, exact: bool = False, earlier: Runner | None = None
) -> Runner:
    """Choose what runs a model.

    Parameters
    ----------
    params, config, ops
        As in `model.forward`.
    exact : bool
        Run on the weights as they are stored, with all arithmetic in float32.
    earlier : Runner, optional
        One of the same parameters, whose repacked matrices are used again if there are any.

    Returns
    -------
    Runner
    """
    if exact or ops.linear_forward is not FAST.linear_forward:
        return LayerRunner(params, config, ops)  # only the package's own product knows repacked matrices
    repacked = None if earlier is None else earlier.repacked
    repacked = repack_model(params) if repacked is None else repacked
    if repacked is None:
        return LayerRunner(params, config, ops)
    if ops == FAST:
        return FusedRunner(repacked, config)
    return LayerRunner(repacked.params, config, ops, repacked)
