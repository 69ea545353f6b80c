"""A token each of several sequences, one call: fused.py for B rows at once.

The weights are read once for all rows, and each row has the numbers, to the last bit, that it has alone. The
steps of a layer are those of fused.py. What that does once in every thread, because waiting for another thread
costs more, is here enough work to be shared too:

    rows:   norm, round                      → groups of 16 outputs:   [wq wk wv]
    (row, key head, part of the positions):   rope, cache, attention
    rows:   join the parts, round            → groups:                 [wo, + x]
    rows:   norm, round                      → groups:                 [gate, up]
    rows:   swiglu, round                    → groups:                 [down, + x]

Each sequence has a cache of its own, of its own length. The kernel gets a table of where they lie
(`CacheRows`), and cuts the positions of each into the parts that it would have alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float32
from ..compute.jit import helper, kernel_threads, threaded
from ..compute.pointers import array_at
from ..compute.simd import load_floats, multiply_add, splat_float, store_floats
from ..compute.team import claim, cleared_board, finish
from ..compute.threads import most_threads
from ..config import ModelConfig
from ..kv_cache import K_ADDRESS, K_SHARED_ADDRESS, N_OWN, N_SHARED, V_ADDRESS, V_SHARED_ADDRESS, as_stored, check_range
from ..layers.attention import NO_WINDOW
from ..layers.attention_kernels.few import address_of_range, scratch_size
from ..layers.rmsnorm import normalise_row_in_order
from ..layers.swiglu import gate_range_float32
from ..quantization.repacked import BLOCK, ROWS, round_up
from ..quantization.repacked_kernels import quantize_row
from ..quantization.repacked_layout import BRAINS, KIND, N_GROUPS, Planes
from ..quantization.repacked_rows import MOST_ROWS, ROWS_SCRATCH, address_of_rows_kind, multiply_group_rows
from .fused import (
    DOWN,
    GATE_UP,
    OUT,
    QKV,
    THREADED_BYTES,
    Keys,
    Model,
    Place,
    Turn,
    add_bias,
    attend,
    join_parts,
    model_arrays,
    splits_of,
)
from .repacked_model import RepackedModel

_PHASES = 9  # of a layer


class RowsDecoder:
    """The buffers of up to `MOST_ROWS` sequences, and the call that advances each of them by a token.

    Parameters
    ----------
    model : RepackedModel
    config : ModelConfig
    """

    def __init__(self, model: RepackedModel, config: ModelConfig) -> None:
        self.model, self.config = model, config
        c, n, n_threads, group = config, MOST_ROWS, most_threads(), config.n_heads // config.n_kv_heads
        qkv, gate_up = (ROWS * int(model.layouts[0, slice(*phase), N_GROUPS].sum()) for phase in (QKV, GATE_UP))
        widest = round_up(max(c.dim, c.hidden_dim, c.n_heads * c.head_dim), BLOCK)
        self._shared = _Shared(
            np.zeros((n, round_up(c.dim, ROWS)), np.float32),
            np.empty((n, qkv), np.float32),
            np.empty((n, n_threads, c.n_heads, c.head_dim), np.float32),
            np.empty((n, 2, n_threads, c.n_heads), np.float32),
            np.empty((n, gate_up), np.float32),
            np.empty((n, round_up(c.dim, ROWS)), np.float32),
            np.empty((n, 0), np.float32),
            np.empty((n, c.n_kv_heads), np.int32),
            np.empty(n * widest, np.float32),
            np.empty(n * widest, np.int8),
            np.empty(n * widest, np.int8),
            np.empty(n * widest // BLOCK, np.float32),
            np.empty((2, n * widest // BLOCK), np.float32),
            np.empty(n * widest, np.int16),
        )
        scratch = max(ROWS_SCRATCH, scratch_size(group, c.head_dim))
        self._private = (
            np.empty((n_threads, scratch), np.float32),
            np.empty((n_threads, group + 1, c.head_dim), np.float32),
        )
        self._boards: dict[int, NDArray[np.int64]] = {}
        kinds = {int(kind) for kind in (*model.layouts[..., KIND].flat, model.head[KIND])}
        products = [address_of_rows_kind(kind) if kind in kinds else 0 for kind in range(BRAINS + 1)]
        self._products = np.array(products, np.int64)  # only the kinds that there are get compiled

    def step(
        self, tokens: NDArray[np.int64], where: NDArray[np.int64], positions: NDArray[np.int64], dtype: Any, rope: Any
    ) -> Float32:
        """Run one token of each sequence, whose ids are in range, at positions for which its cache has room.

        The keys and values are written.

        Parameters
        ----------
        tokens : int64 ndarray of shape (B,), B at most `MOST_ROWS`
        where : int64 ndarray of shape (B, 6)
            Of each cache, as in `CacheRows`.
        positions : int64 ndarray of shape (B,)
        dtype : numpy dtype
            Of all keys and values.
        rope : (cos, sin)

        Returns
        -------
        logits : ndarray of shape (B, vocab_size), fresh

        Raises
        ------
        CacheOverflowError
            When a key or value is larger than the caches hold.
        """
        c, m, n = self.config, self.model, len(tokens)
        n_threads = kernel_threads() if n * m.data.size >= THREADED_BYTES else 1
        alone = kernel_threads() if m.data.size >= THREADED_BYTES else 1
        board = cleared_board(self._boards, _PHASES * c.n_layers + 2, n_threads)
        self._shared.peaks[:] = 0
        table = m.params.token_embedding
        self._shared.x[:n, : c.dim] = table[tokens] if isinstance(table, np.ndarray) else table.to_float32(tokens)
        like = as_stored(np.empty(0, dtype))
        logits = np.empty((n, round_up(c.vocab_size, ROWS)), np.float32)
        shared = self._shared.of_rows(n)._replace(logits=logits)
        _decode_rows(
            n_threads, *model_arrays(m), self._products, address_of_range(like.dtype), m.quantized,
            c.sliding_window or NO_WINDOW, where, positions, like, *rope,
            np.float32(c.norm_eps), c.n_kv_heads, c.hidden_dim, alone, *shared, *self._private, board,
            size=n * m.data.size,
        )  # fmt: skip
        check_range(float(self._shared.peaks[:n].view(np.float32).max()), np.dtype(dtype))
        return logits[:, : c.vocab_size]


class _Shared(NamedTuple):
    """What the threads read of one another, for `MOST_ROWS` rows; widths are padded to whole groups of 16."""

    x: Float32  # (N, dim) the residual stream
    qkv: Float32  # (N, …) queries, keys and values, one after another
    sums: Float32  # (N, n_splits, H, head_dim) attention over a part of the keys, to be divided by the total
    weights: Float32  # (N, 2, n_splits, H) largest score and total of each
    gate_up: Float32  # (N, …) both projections of the feed-forward layer
    products: Float32  # (N, dim) what is added to the residual stream
    logits: Float32  # (N, vocab_size), new in every step
    peaks: NDArray[np.int32]  # (N, K) largest key or value of each head, as bits
    activations: Float32  # flat: (B, C) of what is multiplied next
    high: NDArray[np.int8]  # and its planes, if matrices are quantised
    low: NDArray[np.int8]
    d: Float32  # flat: (B, C / 32)
    totals: Float32  # (2, …) sums of whole blocks, and of their halves
    words: NDArray[np.int16]  # flat: (B, C), where the CPU multiplies words

    def of_rows(self, n: int) -> _Shared:
        """The first n rows: products are made for as many as there are rows to fill."""
        by_row = "x", "qkv", "sums", "weights", "gate_up", "products"
        return self._replace(**{name: getattr(self, name)[:n] for name in by_row})


class _Rows(NamedTuple):
    """The sequences."""

    where: NDArray[np.int64]  # (B, 6) as in `CacheRows`
    positions: NDArray[np.int64]  # (B,)
    like: Any  # of the type of their keys
    n_kv_heads: int
    alone: int  # threads that one of them alone would have


class _Private(NamedTuple):
    """Of one thread."""

    scratch: Float32
    heads: Float32  # (H / K + 1, head_dim) rotated queries, and the key


# --- kernels ---------------------------------------------------------------------------


@helper(inline=True)
def _activations(shared, n_rows, width):
    """What is multiplied next and its planes, (B, C) and (B, C / 32), in the flat memory for them."""
    n, n_blocks = n_rows * width, n_rows * (width // 32)
    per_row = (n_rows, width // 32)
    planes = Planes(
        shared.high[:n].reshape((n_rows, width)),
        shared.low[:n].reshape((n_rows, width)),
        shared.d[:n_blocks].reshape(per_row),
        shared.totals[0, :n_blocks].reshape(per_row),
        shared.totals[1, :n_blocks].reshape(per_row),
        shared.words[:n].reshape((n_rows, width)),
    )
    return shared.activations[:n].reshape((n_rows, width)), planes


@helper(inline=True)
def _round(quantized, x, planes, b):
    if quantized:
        quantize_row(x[b], planes.high[b], planes.low[b], planes.d[b], planes.total[b], planes.half[b], planes.words[b])


@helper
def _norm_phase(model, turn, shared, n_rows, norm, eps):
    """Every row of the residual stream, normalised: what QKV, GATE_UP and the head are multiplied with."""
    dim, n_done = norm.size, 0
    y, planes = _activations(shared, n_rows, dim)
    b = claim(turn.board, turn.phase, turn.own, n_rows)
    while b >= 0:
        normalise_row_in_order(shared.x[b, :dim], norm, eps, y[b])
        _round(model.quantized, y, planes, b)
        n_done += 1
        b = claim(turn.board, turn.phase, turn.own, n_rows)
    finish(turn.board, turn.phase, n_done, n_rows)


@helper
def _join_phase(model, turn, shared, rows, n_rows):
    """The parts of every row's attention, joined: what OUT is multiplied with."""
    _, _, n_heads, head_dim = shared.sums.shape
    y, planes = _activations(shared, n_rows, n_heads * head_dim)
    n_done = 0
    b = claim(turn.board, turn.phase, turn.own, n_rows)
    while b >= 0:
        n_splits = splits_of(rows.positions[b], rows.n_kv_heads, rows.alone)
        join_parts(shared.sums[b], shared.weights[b], n_splits, y[b])
        _round(model.quantized, y, planes, b)
        n_done += 1
        b = claim(turn.board, turn.phase, turn.own, n_rows)
    finish(turn.board, turn.phase, n_done, n_rows)


@helper
def _gate_phase(model, turn, shared, n_rows, hidden_dim):
    """SwiGLU of every row: what DOWN is multiplied with."""
    y, planes = _activations(shared, n_rows, hidden_dim)
    padded, n_done = (hidden_dim + 15) // 16 * 16, 0  # `up` begins at the first whole group after `gate`
    b = claim(turn.board, turn.phase, turn.own, n_rows)
    while b >= 0:
        gate_range_float32(shared.gate_up[b], shared.gate_up[b, padded:], y[b], 0, hidden_dim)
        _round(model.quantized, y, planes, b)
        n_done += 1
        b = claim(turn.board, turn.phase, turn.own, n_rows)
    finish(turn.board, turn.phase, n_done, n_rows)


@helper(inline=True)
def _multiply_stack(model, layouts, first, last, x, planes, y, scratch):
    """Groups first ... last - 1 of matrices that lie one after the other, into the rows of y likewise."""
    start = 0
    for i in range(len(layouts)):
        layout = layouts[i]
        begin, end = max(first, start), min(last, start + layout[N_GROUPS])
        if begin < end:
            own = (begin - start, end - start, x, planes, y, 16 * begin, scratch)
            multiply_group_rows(model.products[layout[KIND]], (model.data, layout, *own))
        start += layout[N_GROUPS]


@helper(inline=True)
def _add_row(products, first, last, y):
    """Those of groups first ... last - 1, added to y."""
    one = splat_float(np.float32(1))
    for at in range(16 * first, 16 * last, 16):
        store_floats(y, at, multiply_add(load_floats(products, at), one, load_floats(y, at)))


@helper(inline=True)
def _chunks_of(n_groups, n_threads):
    """Fewer and larger than for one row: a chunk lays the rows down for itself, which its groups have to pay for."""
    if n_threads == 1:
        return 1
    return n_threads * max(1, min(4, n_groups // (32 * n_threads)))


@helper
def _multiply_phase(model, turn, layouts, bias, x, planes, y, sums, scratch):
    """The products of a stack of matrices with every row, into y; where the turn says so, added to sums."""
    n_groups = 0
    for i in range(len(layouts)):
        n_groups += layouts[i, N_GROUPS]
    n_chunks, n_done = _chunks_of(n_groups, turn.board.shape[1] - 1), 0
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        first, last = chunk * n_groups // n_chunks, (chunk + 1) * n_groups // n_chunks
        _multiply_stack(model, layouts, first, last, x, planes, y, scratch)
        for b in range(len(x)):
            if turn.adds:
                _add_row(y[b], first, last, sums[b])
                add_bias(bias, first, last, sums[b])
            else:
                add_bias(bias, first, last, y[b])
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(inline=True)
def _keys_of(rows, b, layer, n_layers, head_dim):
    """Keys and values of one layer of one sequence."""
    where = rows.where[b]
    own = (n_layers, rows.n_kv_heads, where[N_OWN], head_dim)
    shared = (n_layers, rows.n_kv_heads, where[N_SHARED], head_dim)
    return Keys(
        array_at(where[K_SHARED_ADDRESS], shared, rows.like)[layer],
        array_at(where[V_SHARED_ADDRESS], shared, rows.like)[layer],
        where[N_SHARED],
        array_at(where[K_ADDRESS], own, rows.like)[layer],
        array_at(where[V_ADDRESS], own, rows.like)[layer],
    )


@helper
def _attention_phase(model, turn, shared, rows, layer, place, mine):
    """Every key head of every row, in as many parts of its positions as it has alone."""
    n_layers, n_rows, n_parts = len(model.layouts), len(rows.positions), rows.n_kv_heads * rows.alone
    n_done, n_chunks, norms = 0, n_rows * n_parts, model.head_norms[layer]
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        b, part = chunk // n_parts, chunk % n_parts
        n_splits = splits_of(rows.positions[b], rows.n_kv_heads, rows.alone)
        if part < rows.n_kv_heads * n_splits:
            keys = _keys_of(rows, b, layer, n_layers, shared.sums.shape[3])
            here = Place(rows.positions[b], place.cos, place.sin, place.eps)
            qkv, sums, weights, peaks = shared.qkv[b], shared.sums[b], shared.weights[b], shared.peaks[b]
            attend(model, norms, qkv, sums, weights, peaks, keys, n_splits, part, here, mine.heads, mine.scratch)
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(inline=True)
def _walk(own, model, rows, place, hidden_dim, shared, mine, board):
    """A thread's way through the model."""
    n_rows, norms, dim, n_layers = len(rows.positions), model.norms, model.norms.shape[1], len(model.layouts)
    width = shared.sums.shape[2] * shared.sums.shape[3]
    normed, normed_planes = _activations(shared, n_rows, dim)
    attended, attended_planes = _activations(shared, n_rows, width)
    hidden, hidden_planes = _activations(shared, n_rows, hidden_dim)
    qkv = shared.qkv.shape[1]  # where the biases of each phase end
    out = qkv + shared.x.shape[1]
    gate_up = out + shared.gate_up.shape[1]
    for layer in range(n_layers):
        m, bias, phase = model.layouts[layer], model.biases[layer], _PHASES * layer
        _norm_phase(model, Turn(board, phase, own, False), shared, n_rows, norms[2 * layer], place.eps)
        _multiply_phase(
            model, Turn(board, phase + 1, own, False), m[QKV[0] : QKV[1]], bias[:qkv],
            normed, normed_planes, shared.qkv, shared.x, mine.scratch,
        )  # fmt: skip
        _attention_phase(model, Turn(board, phase + 2, own, False), shared, rows, layer, place, mine)
        _join_phase(model, Turn(board, phase + 3, own, False), shared, rows, n_rows)
        _multiply_phase(
            model, Turn(board, phase + 4, own, True), m[OUT[0] : OUT[1]], bias[qkv:out],
            attended, attended_planes, shared.products, shared.x, mine.scratch,
        )  # fmt: skip
        _norm_phase(model, Turn(board, phase + 5, own, False), shared, n_rows, norms[2 * layer + 1], place.eps)
        _multiply_phase(
            model, Turn(board, phase + 6, own, False), m[GATE_UP[0] : GATE_UP[1]], bias[out:gate_up],
            normed, normed_planes, shared.gate_up, shared.x, mine.scratch,
        )  # fmt: skip
        _gate_phase(model, Turn(board, phase + 7, own, False), shared, n_rows, hidden_dim)
        _multiply_phase(
            model, Turn(board, phase + 8, own, True), m[DOWN[0] : DOWN[1]], bias[gate_up:],
            hidden, hidden_planes, shared.products, shared.x, mine.scratch,
        )  # fmt: skip
    phase = _PHASES * n_layers
    _norm_phase(model, Turn(board, phase, own, False), shared, n_rows, norms[2 * n_layers], place.eps)
    _multiply_phase(
        model, Turn(board, phase + 1, own, False), model.head, model.biases[0, :0],
        normed, normed_planes, shared.logits, shared.x, mine.scratch,
    )  # fmt: skip


@threaded(from_size=THREADED_BYTES)
def _decode_rows(
    first, last, data, layouts, head, norms, biases, head_norms, products, attend, quantized, window,
    where, positions, like, cos, sin, eps, n_kv_heads, hidden_dim, alone,
    x, qkv, sums, weights, gate_up, out, logits, peaks, activations, high, low, d, totals, words, scratch, heads, board,
):  # fmt: skip
    """Flat at the border: arrays cross it faster one by one than inside of tuples."""
    model = Model(data, layouts, head, norms, biases, head_norms, products, attend, quantized, window)
    shared = _Shared(x, qkv, sums, weights, gate_up, out, logits, peaks, activations, high, low, d, totals, words)
    rows, place = _Rows(where, positions, like, n_kv_heads, alone), Place(0, cos, sin, eps)
    for own in range(first, last):
        _walk(own, model, rows, place, hidden_dim, shared, _Private(scratch[own], heads[own]), board)
