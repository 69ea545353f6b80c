"""One token, one call: the whole model over repacked matrices as a single kernel.

From Python a token is some four hundred calls of layer functions, each of which allocates its
result and wakes the threads. Here the same steps, in the same order as in model.py, run inside
one compiled function on buffers that are made once:

    norm → [wq wk wv] → rope, cache → attention → [wo, + x] → norm → [gate, up, swiglu] → [down, + x]

What stands in brackets, and attention, is shared among the threads: groups of 16 rows, and key heads
or parts of their positions. The rest is small, and each thread does it for itself rather than wait
for another (team.py has the rules). The function is taken only when the table of operations is
untouched, so that your own function always really runs (runner.py).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..compute.array_types import Float32
from ..compute.jit import helper, kernel_threads, threaded
from ..compute.simd import load_floats, multiply_add, splat_float, store_floats, store_number
from ..compute.team import claim, cleared_board, finish
from ..compute.threads import most_threads
from ..config import ModelConfig
from ..kv_cache import KVCache, check_range
from ..layers.attention import NO_WINDOW
from ..layers.attention_kernels.few import address_of_range, attend_range_at, largest_bits, scratch_size
from ..layers.rmsnorm import normalise_row_in_order
from ..layers.rope import rotate_row
from ..layers.swiglu import gate_range_float32
from ..quantization.repacked import BLOCK, ROWS, round_up
from ..quantization.repacked_kernels import address_of_kind, multiply_groups, quantize_row
from ..quantization.repacked_layout import BRAINS, KIND, N_GROUPS, Planes
from .repacked_model import RepackedModel

# Those that are multiplied with the same row, in one phase.
QKV, OUT, GATE_UP, DOWN = (0, 3), (3, 4), (4, 6), (6, 7)
# Positions from which the threads also share those of one head, where heads alone do not divide evenly.
_SPLIT_POSITIONS = 128
# Bytes of weights from which a second thread saves more than it costs.
THREADED_BYTES = 1 << 20
_PHASES = 5  # of a layer: QKV, attention, OUT, GATE_UP, DOWN


class Decoder:
    """The buffers of one sequence, and the call that advances it by a token.

    Parameters
    ----------
    model : RepackedModel
    config : ModelConfig
    """

    def __init__(self, model: RepackedModel, config: ModelConfig) -> None:
        self.model, self.config = model, config
        c, n_threads, group = config, most_threads(), config.n_heads // config.n_kv_heads
        groups = [int(model.layouts[0, slice(*phase), N_GROUPS].sum()) for phase in (QKV, GATE_UP)]
        widest = round_up(max(c.dim, c.hidden_dim, c.n_heads * c.head_dim), BLOCK)
        self._shared = _Shared(
            np.zeros(round_up(c.dim, ROWS), np.float32),
            np.empty(ROWS * groups[0], np.float32),
            np.empty((n_threads, c.n_heads, c.head_dim), np.float32),
            np.empty((2, n_threads, c.n_heads), np.float32),
            np.empty(ROWS * groups[1], np.float32),
            np.empty(round_up(c.vocab_size, ROWS), np.float32),
            np.zeros(c.n_kv_heads, np.int32),
        )
        self._private = _Private(
            np.empty((n_threads, widest), np.float32),
            np.empty((n_threads, widest), np.int8),
            np.empty((n_threads, widest), np.int8),
            np.empty((n_threads, widest // BLOCK), np.float32),
            np.empty((n_threads, 2, widest // BLOCK), np.float32),
            np.empty((n_threads, max(scratch_size(group, c.head_dim), round_up(c.dim, ROWS))), np.float32),
            np.empty((n_threads, group + 1, c.head_dim), np.float32),
            np.empty((n_threads, widest), np.int16),
        )
        self._boards: dict[int, NDArray[np.int64]] = {}
        kinds = {int(kind) for kind in (*model.layouts[..., KIND].flat, model.head[KIND])}
        products = [address_of_kind(kind) if kind in kinds else 0 for kind in range(BRAINS + 1)]
        self._products = np.array(products, np.int64)  # only the kinds that there are get compiled

    def step(self, token: int, position: int, cache: KVCache, rope: tuple[Any, Any]) -> Float32:
        """Run one token, whose id is in range, at a position for which the cache of one sequence has room.

        The keys and values are written. Returns fresh logits (vocab_size,).

        Raises
        ------
        CacheOverflowError
            When a key or value is larger than the cache holds.
        """
        c, m = self.config, self.model
        n_threads = kernel_threads() if m.data.size >= THREADED_BYTES else 1
        board = cleared_board(self._boards, _PHASES * c.n_layers + 1, n_threads)
        self._shared.peaks[:] = 0
        keys_and_values = cache.stored()
        table = m.params.token_embedding
        if isinstance(table, np.ndarray):
            self._shared.x[: c.dim] = table[token]
        else:
            self._shared.x[: c.dim] = table.to_float32(slice(token, token + 1))[0]
        _decode(
            n_threads, *model_arrays(m), self._products, address_of_range(keys_and_values[0].dtype), m.quantized,
            c.sliding_window or NO_WINDOW, *keys_and_values, *rope, position, np.float32(c.norm_eps), c.hidden_dim,
            *self._shared, *self._private, board, size=m.data.size,
        )  # fmt: skip
        check_range(float(self._shared.peaks.view(np.float32).max()), cache.k.dtype)
        return self._shared.logits[: c.vocab_size].copy()


def model_arrays(m: RepackedModel) -> tuple[NDArray[Any], ...]:
    """The first fields of `Model`."""
    return m.data, m.layouts, m.head[None], m.norms, m.biases, m.head_norms


class _Shared(NamedTuple):
    """What the threads read of one another, each after the phase in which it was written."""

    x: Float32  # (dim,) the residual stream; all of these are padded to whole groups of 16
    qkv: Float32  # queries, keys and values of the token, one after another
    sums: Float32  # (n_splits, H, head_dim) attention over a part of the keys, to be divided by the total
    weights: Float32  # (2, n_splits, H) largest score and total of each
    gate_up: Float32  # both projections of the feed-forward layer
    logits: Float32  # (vocab_size,)
    peaks: NDArray[np.int32]  # (K,) largest key or value of each head, as bits


class Model(NamedTuple):
    """What the threads read of the model; see `RepackedModel`."""

    data: NDArray[np.uint8]
    layouts: NDArray[np.int64]
    head: NDArray[np.int64]  # (1, 8)
    norms: Float32
    biases: Float32
    head_norms: Float32
    products: NDArray[np.int64]  # for every kind of matrix the address of its kernel
    attend: int  # the address of `attend_range` for what the cache holds
    quantized: bool
    window: int


class Place(NamedTuple):
    """Where in its text the token stands."""

    position: int
    cos: Float32  # (S, head_dim / 2)
    sin: Float32
    eps: np.float32


class Keys(NamedTuple):
    """Keys and values of one layer of one sequence, (n_kv_heads, S, head_dim); see `attend_range`."""

    k_shared: Any  # those before n_shared, which it has in common with other sequences
    v_shared: Any
    n_shared: int
    k: Any  # and its own from there on
    v: Any


class Turn(NamedTuple):
    """Whose turn it is at which phase; see team.py."""

    board: NDArray[np.int64]
    phase: int
    own: int
    adds: bool  # products are added to what is there


class _Private(NamedTuple):
    """A row of each for every thread; in `_walk` those of one thread."""

    activations: Float32  # (n_threads, widest) what is multiplied next
    high: NDArray[np.int8]  # and its planes, if matrices are quantised
    low: NDArray[np.int8]
    d: Float32
    totals: Float32  # (n_threads, 2, widest / 32) sums of whole blocks, and of their halves
    scratch: Float32
    heads: Float32  # (n_threads, H / K + 1, head_dim) rotated queries, and the key
    words: NDArray[np.int16]  # (n_threads, widest) see `Planes`


# --- kernels ---------------------------------------------------------------------------


@helper(inline=True)
def _chunks_of(n_groups, n_threads):
    """Into how many chunks to cut a phase: a stretch of memory each, and enough of them to share evenly."""
    if n_threads == 1:
        return 1
    return n_threads * max(1, min(16, n_groups // (8 * n_threads)))


@helper(inline=True)
def _multiply_stack(model, layouts, first, last, x, planes, y):
    """Groups first ... last - 1 of matrices that lie one after the other, into y likewise."""
    start = 0
    for i in range(len(layouts)):
        layout = layouts[i]
        begin, end = max(first, start), min(last, start + layout[N_GROUPS])
        if begin < end:
            product = model.products[layout[KIND]]
            multiply_groups(product, (model.data, layout, begin - start, end - start, x, planes, y, 16 * begin))
        start += layout[N_GROUPS]


@helper(inline=True)
def _add_product(model, layout, first, last, x, planes, scratch, y):
    """Groups first ... last - 1 of one matrix, added to y."""
    multiply_groups(model.products[layout[KIND]], (model.data, layout, first, last, x, planes, scratch, 0))
    one = splat_float(np.float32(1))
    for i in range(0, 16 * (last - first), 16):
        at = 16 * first + i
        store_floats(y, at, multiply_add(load_floats(scratch, i), one, load_floats(y, at)))


@helper
def add_bias(bias, first, last, y):
    """Those of groups first ... last - 1, added to y; a model without biases brings none."""
    for i in range(16 * first, min(16 * last, bias.size)):
        y[i] += bias[i]


@helper
def _multiply_phase(model, turn, layouts, bias, x, mine, y):
    """One phase: the products of a stack of matrices with a row, into y or added to it."""
    n_groups = 0
    for i in range(len(layouts)):
        n_groups += layouts[i, N_GROUPS]
    n_chunks, n_done = _chunks_of(n_groups, turn.board.shape[1] - 1), 0
    if model.quantized:
        quantize_row(x, mine.high, mine.low, mine.d[: x.size // 32], mine.totals[0], mine.totals[1], mine.words)
    planes = Planes(mine.high, mine.low, mine.d, mine.totals[0], mine.totals[1], mine.words)
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        first, last = chunk * n_groups // n_chunks, (chunk + 1) * n_groups // n_chunks
        if turn.adds:
            _add_product(model, layouts[0], first, last, x, planes, mine.scratch, y)
        else:
            _multiply_stack(model, layouts, first, last, x, planes, y)
        add_bias(bias, first, last, y)
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(inline=True)
def _rotate_head(qkv, at, norm, place, head):
    """One head of the token's queries or keys, normalised if the model does so, and rotated."""
    numbers, cos, sin = qkv[at : at + head.size], place.cos[place.position], place.sin[place.position]
    if norm.size:
        normalise_row_in_order(numbers, norm, place.eps, head)
        rotate_row(head, cos, sin, head)
    else:
        rotate_row(numbers, cos, sin, head)


@helper(inline=True)
def splits_of(position, n_kv_heads, n_threads):
    """Into how many parts the positions of a head are cut, for the threads to share."""
    if position >= _SPLIT_POSITIONS and n_kv_heads % n_threads and n_kv_heads < 4 * n_threads:
        return n_threads
    return 1


@helper(inline=True)
def attend(model, norms, qkv, sums, weights, peaks, keys, n_splits, chunk, place, heads, scratch):
    """One key head's queries over one part of the positions; the last part gets the new key first."""
    k, v, position, n_heads = keys.k, keys.v, place.position, sums.shape[1]
    n_kv_heads, head_dim, new = len(k), k.shape[2], position - keys.n_shared
    group, width = n_heads // n_kv_heads, n_heads * head_dim
    h, split = chunk // n_splits, chunk % n_splits
    for r in range(group):
        at = (h * group + r) * head_dim
        _rotate_head(qkv, at, norms[0], place, heads[r])
    if split == n_splits - 1:
        k_at = (width + 15) // 16 * 16 + h * head_dim
        v_at = k_at + (n_kv_heads * head_dim + 15) // 16 * 16
        _rotate_head(qkv, k_at, norms[1], place, heads[group])
        for j in range(head_dim):
            store_number(k[h, new], j, heads[group, j])
            store_number(v[h, new], j, qkv[v_at + j])
        for numbers in (heads[group], qkv[v_at : v_at + head_dim]):
            peaks[h] = max(peaks[h], largest_bits(numbers))
    start = max(0, position + 1 - model.window)
    n_keys = position + 1 - start
    first, last = start + split * n_keys // n_splits, start + (split + 1) * n_keys // n_splits
    own = slice(h * group, (h + 1) * group)
    parts = sums[split, own], weights[0, split, own], weights[1, split, own]
    shared = keys.k_shared[h], keys.v_shared[h], keys.n_shared
    attend_range_at(model.attend, (heads[:group], *shared, k[h], v[h], first, last, *parts, scratch))


@helper(inline=True)
def _attention_phase(model, norms, shared, turn, keys, n_splits, place, mine):
    n_done, n_chunks = 0, len(keys.k) * n_splits
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        qkv, sums, weights, peaks = shared.qkv, shared.sums, shared.weights, shared.peaks
        attend(model, norms, qkv, sums, weights, peaks, keys, n_splits, chunk, place, mine.heads, mine.scratch)
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(exact=True)
def join_parts(sums, weights, n_splits, y):
    """Softmax over all positions from the parts of it; y is flat."""
    _, n_heads, head_dim = sums.shape
    for h in range(n_heads):
        largest, total = weights[0, 0, h], np.float32(0)
        for split in range(1, n_splits):
            largest = max(largest, weights[0, split, h])
        head = y[h * head_dim : (h + 1) * head_dim]
        head[:] = 0
        for split in range(n_splits):
            factor = np.exp(weights[0, split, h] - largest)
            total += factor * weights[1, split, h]
            for j in range(head_dim):
                head[j] += factor * sums[split, h, j]
        for j in range(head_dim):
            head[j] /= total


@helper(inline=True)
def _walk(own, model, k_cache, v_cache, place, hidden_dim, shared, mine, board):
    """A thread's way through the model: before each phase it prepares the activations for itself."""
    n_layers, _, n_kv_heads, _, head_dim = k_cache.shape
    norms, dim = model.norms, model.norms.shape[1]
    n_heads, n_threads = shared.sums.shape[1], board.shape[1] - 1
    x, normed = shared.x[:dim], mine.activations[:dim]
    attended, hidden = mine.activations[: n_heads * head_dim], mine.activations[:hidden_dim]
    padded = (hidden_dim + 15) // 16 * 16  # `up` begins at the first whole group after `gate`
    n_splits = splits_of(place.position, n_kv_heads, n_threads)
    qkv = shared.qkv.size  # where the biases of each phase end
    out = qkv + shared.x.size
    gate_up = out + shared.gate_up.size
    phase = 0
    for layer in range(n_layers):
        m, bias = model.layouts[layer], model.biases[layer]
        normalise_row_in_order(x, norms[2 * layer], place.eps, normed)
        turn = Turn(board, phase, own, False)
        _multiply_phase(model, turn, m[QKV[0] : QKV[1]], bias[:qkv], normed, mine, shared.qkv)
        phase += 1
        k, v = k_cache[layer, 0], v_cache[layer, 0]
        keys = Keys(k, v, 0, k, v)
        turn = Turn(board, phase, own, False)
        _attention_phase(model, model.head_norms[layer], shared, turn, keys, n_splits, place, mine)
        phase += 1
        join_parts(shared.sums, shared.weights, n_splits, attended)
        turn = Turn(board, phase, own, True)
        _multiply_phase(model, turn, m[OUT[0] : OUT[1]], bias[qkv:out], attended, mine, shared.x)
        phase += 1
        normalise_row_in_order(x, norms[2 * layer + 1], place.eps, normed)
        turn = Turn(board, phase, own, False)
        _multiply_phase(model, turn, m[GATE_UP[0] : GATE_UP[1]], bias[out:gate_up], normed, mine, shared.gate_up)
        phase += 1
        gate_range_float32(shared.gate_up, shared.gate_up[padded:], hidden, 0, hidden_dim)
        turn = Turn(board, phase, own, True)
        _multiply_phase(model, turn, m[DOWN[0] : DOWN[1]], bias[gate_up:], hidden, mine, shared.x)
        phase += 1
    normalise_row_in_order(x, norms[2 * n_layers], place.eps, normed)
    turn = Turn(board, phase, own, False)
    _multiply_phase(model, turn, model.head, model.biases[0, :0], normed, mine, shared.logits)


@threaded(from_size=THREADED_BYTES)
def _decode(
    first, last, data, layouts, head, norms, biases, head_norms, products, attend, quantized, window,
    k_cache, v_cache, cos, sin, position, eps, hidden_dim,
    x, qkv, sums, weights, gate_up, logits, peaks, activations, high, low, d, totals, scratch, heads, words, board,
):  # fmt: skip
    """Flat at the border: arrays cross it faster one by one than inside of tuples."""
    model = Model(data, layouts, head, norms, biases, head_norms, products, attend, quantized, window)
    shared, place = _Shared(x, qkv, sums, weights, gate_up, logits, peaks), Place(position, cos, sin, eps)
    for own in range(first, last):
        mine = _Private(
            activations[own], high[own], low[own], d[own], totals[own], scratch[own], heads[own], words[own]
        )
        _walk(own, model, k_cache, v_cache, place, hidden_dim, shared, mine, board)
