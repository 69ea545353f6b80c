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
from ..compute.simd_bytes import DOT4
from ..compute.team import claim, finish, new_board
from ..compute.threads import most_threads
from ..config import ModelConfig
from ..kv_cache import KVCache
from ..layers.attention_kernels.few import SCRATCH, address_of_range, attend_range_at
from ..layers.rmsnorm import normalise_row
from ..layers.rope import rotate_row
from ..layers.swiglu import gate_range_float32
from ..model import output_head
from ..params import Params
from ..quantization.formats import format_name
from ..quantization.repacked import (
    BLOCK,
    ROWS,
    RepackedMatrix,
    aligned_bytes,
    release_pages,
    repack,
    repacked_bytes,
    round_up,
)
from ..quantization.repacked_kernels import address_of_kind, multiply_groups, quantize_row
from ..quantization.repacked_layout import BRAINS, KIND, N_GROUPS, Planes

_MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
# Those that are multiplied with the same row, in one phase.
_QKV, _OUT, _GATE_UP, _DOWN = (0, 3), (3, 4), (4, 6), (6, 7)
# Bytes of float matrices up to which a model is copied; a larger one is read where it is mapped.
_MOST_FLOATS = 1 << 30
# Positions from which the threads also share those of one head, where heads alone do not divide evenly.
_SPLIT_POSITIONS = 128
# Bytes of weights from which a second thread saves more than it costs.
_THREADED_BYTES = 1 << 20
_PHASES = 5  # of a layer: QKV, attention, OUT, GATE_UP, DOWN


class RepackedModel(NamedTuple):
    """A model whose matrices all lie repacked in one stretch of memory.

    Attributes
    ----------
    params : Params
        Of RepackedMatrix; `output` is there even when the head is tied, `token_embedding`
        stays packed, because rows of it are looked up.
    data : uint8 ndarray
    layouts : int64 ndarray of shape (n_layers, 7, 8)
        A `MatrixLayout` for each of wq, wk, wv, wo, w_gate, w_up, w_down.
    head : int64 ndarray of shape (8,)
    norms : float32 ndarray of shape (2 * n_layers + 1, dim)
    quantized : bool
        Whether any matrix has integer products.
    """

    params: Params
    data: NDArray[np.uint8]
    layouts: NDArray[np.int64]
    head: NDArray[np.int64]
    norms: Float32
    quantized: bool


def repack_model(params: Params, *, anyway: bool = False) -> RepackedModel | None:
    """Rearrange every matrix of a model.

    Returns None when one of them has another format, when quantised ones would need an
    instruction that this CPU does not have (unpacking is faster then), or when float ones are so
    large that a second copy may not fit in memory. `anyway` leaves the last two reasons aside.
    """
    matrices = [getattr(layer, name) for layer in params.layers for name in _MATRICES] + [output_head(params)]
    sizes = [repacked_bytes(matrix) for matrix in matrices]
    in_floats = [format_name(matrix) in ("F32", "F16", "BF16") for matrix in matrices]
    if any(size is None for size in sizes):
        return None
    bytes_of_floats = sum(size or 0 for size, is_float in zip(sizes, in_floats) if is_float)
    if not anyway and ((not all(in_floats) and DOT4 == "portable") or bytes_of_floats > _MOST_FLOATS):
        return None
    data = aligned_bytes(sum(size or 0 for size in sizes))
    arrays: list[RepackedMatrix] = []
    at = 0
    for matrix, size in zip(matrices, sizes):
        arrays.append(repack(matrix, data, at))
        release_pages(matrix)
        at += size or 0
    rearranged = iter(arrays)
    layers = [layer._replace(**{name: next(rearranged) for name in _MATRICES}) for layer in params.layers]
    layouts = np.array([array.layout for array in arrays], np.int64)
    norms = [norm for layer in params.layers for norm in (layer.attention_norm, layer.ffn_norm)]
    return RepackedModel(
        Params(params.token_embedding, tuple(layers), params.final_norm, arrays[-1]),
        data,
        layouts[:-1].reshape(len(layers), len(_MATRICES), -1),
        layouts[-1],
        np.stack([*norms, params.final_norm]).astype(np.float32),
        any(array.is_quantized for array in arrays),
    )


class Decoder:
    """The buffers of one sequence, and the call that advances it by a token.

    Parameters
    ----------
    model : RepackedModel
    config : ModelConfig
    """

    def __init__(self, model: RepackedModel, config: ModelConfig) -> None:
        self.model, self.config = model, config
        c, n_threads = config, most_threads()
        groups = [int(model.layouts[0, slice(*phase), N_GROUPS].sum()) for phase in (_QKV, _GATE_UP)]
        widest = round_up(max(c.dim, c.hidden_dim, c.n_heads * c.head_dim), BLOCK)
        self._shared = _Shared(
            np.zeros(round_up(c.dim, ROWS), np.float32),
            np.empty(ROWS * groups[0], np.float32),
            np.empty((n_threads, c.n_heads, c.head_dim), np.float32),
            np.empty((2, n_threads, c.n_heads), np.float32),
            np.empty(ROWS * groups[1], np.float32),
            np.empty(round_up(c.vocab_size, ROWS), np.float32),
        )
        self._private = _Private(
            np.empty((n_threads, widest), np.float32),
            np.empty((n_threads, widest), np.int8),
            np.empty((n_threads, widest), np.int8),
            np.empty((n_threads, widest // BLOCK), np.float32),
            np.empty((n_threads, 2, widest // BLOCK), np.float32),
            np.empty((n_threads, max(SCRATCH, round_up(c.dim, ROWS))), np.float32),
            np.empty((n_threads, c.n_heads // c.n_kv_heads + 1, c.head_dim), np.float32),
        )
        self._boards: dict[int, NDArray[np.int64]] = {}
        kinds = {int(kind) for kind in (*model.layouts[..., KIND].flat, model.head[KIND])}
        products = [address_of_kind(kind) if kind in kinds else 0 for kind in range(BRAINS + 1)]
        self._products = np.array(products, np.int64)  # only the kinds that there are get compiled

    def step(self, token: int, position: int, cache: KVCache, rope: tuple[Any, Any]) -> Float32:
        """Run one token, whose id is in range, at a position for which the cache of one sequence has room.

        The keys and values are written. Returns fresh logits (vocab_size,).
        """
        c, m = self.config, self.model
        n_threads = kernel_threads() if m.data.size >= _THREADED_BYTES else 1
        board = self._boards.get(n_threads)
        if board is None:
            board = self._boards[n_threads] = new_board(_PHASES * c.n_layers + 1, n_threads)
        board[:] = 0
        stored = cache.stored()
        table = m.params.token_embedding
        if isinstance(table, np.ndarray):
            self._shared.x[: c.dim] = table[token]
        else:
            self._shared.x[: c.dim] = table.to_float32(slice(token, token + 1))[0]
        _decode(
            n_threads, m.data, m.layouts, m.head[None], m.norms, self._products, address_of_range(stored[0].dtype),
            m.quantized, *stored, *rope, position, np.float32(c.norm_eps), c.hidden_dim, *self._shared, *self._private,
            board, size=m.data.size,
        )  # fmt: skip
        return self._shared.logits[: c.vocab_size].copy()


class _Shared(NamedTuple):
    """What the threads read of one another, each after the phase in which it was written."""

    x: Float32  # (dim,) the residual stream; all of these are padded to whole groups of 16
    qkv: Float32  # queries, keys and values of the token, one after another
    sums: Float32  # (n_splits, H, head_dim) attention over a part of the keys, to be divided by the total
    weights: Float32  # (2, n_splits, H) largest score and total of each
    gate_up: Float32  # both projections of the feed-forward layer
    logits: Float32  # (vocab_size,)


class _Model(NamedTuple):
    """What the threads read of the model; see `RepackedModel`."""

    data: NDArray[np.uint8]
    layouts: NDArray[np.int64]
    head: NDArray[np.int64]  # (1, 8)
    norms: Float32
    products: NDArray[np.int64]  # for every kind of matrix the address of its kernel
    attend: int  # the address of `attend_range` for what the cache holds
    quantized: bool


class _Turn(NamedTuple):
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
def _multiply_phase(model, turn, layouts, x, mine, y):
    """One phase: the products of a stack of matrices with a row, into y or added to it."""
    n_groups = 0
    for i in range(len(layouts)):
        n_groups += layouts[i, N_GROUPS]
    n_chunks, n_done = _chunks_of(n_groups, turn.board.shape[1] - 1), 0
    if model.quantized:
        quantize_row(x, mine.high, mine.low, mine.d[: x.size // 32], mine.totals[0], mine.totals[1])
    planes = Planes(mine.high, mine.low, mine.d, mine.totals[0], mine.totals[1])
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        first, last = chunk * n_groups // n_chunks, (chunk + 1) * n_groups // n_chunks
        if turn.adds:
            _add_product(model, layouts[0], first, last, x, planes, mine.scratch, y)
        else:
            _multiply_stack(model, layouts, first, last, x, planes, y)
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(inline=True)
def _attend(attend, shared, k, v, n_splits, chunk, cos, sin, position, heads, scratch):
    """One key head's queries over one part of the positions; the last part gets the new key first."""
    n_kv_heads, head_dim = len(k), k.shape[2]
    qkv, n_heads = shared.qkv, shared.sums.shape[1]
    group, width = n_heads // n_kv_heads, n_heads * head_dim
    h, split = chunk // n_splits, chunk % n_splits
    for r in range(group):
        at = (h * group + r) * head_dim
        rotate_row(qkv[at : at + head_dim], cos[position], sin[position], heads[r])
    if split == n_splits - 1:
        k_at = (width + 15) // 16 * 16 + h * head_dim
        v_at = k_at + (n_kv_heads * head_dim + 15) // 16 * 16
        rotate_row(qkv[k_at : k_at + head_dim], cos[position], sin[position], heads[group])
        for j in range(head_dim):
            store_number(k[h, position], j, heads[group, j])
            store_number(v[h, position], j, qkv[v_at + j])
    first, last = split * (position + 1) // n_splits, (split + 1) * (position + 1) // n_splits
    own, weights = slice(h * group, (h + 1) * group), shared.weights
    sums, largest, total = shared.sums[split, own], weights[0, split, own], weights[1, split, own]
    attend_range_at(attend, (heads[:group], k[h], v[h], first, last, sums, largest, total, scratch))


@helper(inline=True)
def _attention_phase(attend, shared, turn, k, v, n_splits, cos, sin, position, mine):
    n_done, n_chunks = 0, len(k) * n_splits
    chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    while chunk >= 0:
        _attend(attend, shared, k, v, n_splits, chunk, cos, sin, position, mine.heads, mine.scratch)
        n_done += 1
        chunk = claim(turn.board, turn.phase, turn.own, n_chunks)
    finish(turn.board, turn.phase, n_done, n_chunks)


@helper(inline=True)
def _join_parts(sums, weights, n_splits, y):
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
def _walk(own, model, k_cache, v_cache, row, cos, sin, position, eps, hidden_dim, shared, mine, board):
    """A thread's way through the model: before each phase it prepares the activations for itself."""
    n_layers, _, n_kv_heads, _, head_dim = k_cache.shape
    norms, dim = model.norms, model.norms.shape[1]
    n_heads, n_threads = shared.sums.shape[1], board.shape[1] - 1
    x, normed = shared.x[:dim], mine.activations[:dim]
    attended, hidden = mine.activations[: n_heads * head_dim], mine.activations[:hidden_dim]
    padded = (hidden_dim + 15) // 16 * 16  # `up` begins at the first whole group after `gate`
    n_splits = 1
    if position >= _SPLIT_POSITIONS and n_kv_heads % n_threads and n_kv_heads < 4 * n_threads:
        n_splits = n_threads
    phase = 0
    for layer in range(n_layers):
        m = model.layouts[layer]
        normalise_row(x, norms[2 * layer], eps, normed)
        _multiply_phase(model, _Turn(board, phase, own, False), m[_QKV[0] : _QKV[1]], normed, mine, shared.qkv)
        phase += 1
        k, v = k_cache[layer, row], v_cache[layer, row]
        _attention_phase(
            model.attend, shared, _Turn(board, phase, own, False), k, v, n_splits, cos, sin, position, mine
        )
        phase += 1
        _join_parts(shared.sums, shared.weights, n_splits, attended)
        _multiply_phase(model, _Turn(board, phase, own, True), m[_OUT[0] : _OUT[1]], attended, mine, shared.x)
        phase += 1
        normalise_row(x, norms[2 * layer + 1], eps, normed)
        _multiply_phase(
            model, _Turn(board, phase, own, False), m[_GATE_UP[0] : _GATE_UP[1]], normed, mine, shared.gate_up
        )
        phase += 1
        gate_range_float32(shared.gate_up, shared.gate_up[padded:], hidden, 0, hidden_dim)
        _multiply_phase(model, _Turn(board, phase, own, True), m[_DOWN[0] : _DOWN[1]], hidden, mine, shared.x)
        phase += 1
    normalise_row(x, norms[2 * n_layers], eps, normed)
    _multiply_phase(model, _Turn(board, phase, own, False), model.head, normed, mine, shared.logits)


@threaded(from_size=_THREADED_BYTES)
def _decode(
    first, last, data, layouts, head, norms, products, attend, quantized,
    k_cache, v_cache, row, cos, sin, position, eps, hidden_dim,
    x, qkv, sums, weights, gate_up, logits, activations, high, low, d, totals, scratch, heads, board,
):  # fmt: skip
    """Flat at the border: arrays cross it faster one by one than inside of tuples."""
    model = _Model(data, layouts, head, norms, products, attend, quantized)
    shared = _Shared(x, qkv, sums, weights, gate_up, logits)
    for own in range(first, last):
        mine = _Private(activations[own], high[own], low[own], d[own], totals[own], scratch[own], heads[own])
        _walk(own, model, k_cache, v_cache, row, cos, sin, position, eps, hidden_dim, shared, mine, board)
