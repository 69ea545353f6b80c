"""One token, one call: the whole model over interleaved matrices as a single kernel.

From Python a token is some four hundred calls of layer functions, each of which allocates its
result and wakes the threads. Here the same steps, in the same order as in model.py, run inside
one compiled function on buffers that are made once:

    norm → [wq wk wv] → rope, cache → attention → [wo, + x] → norm → [gate, up, swiglu] → [down, + x]

What stands in brackets is shared among the threads, group by group of 16 rows; the rest is too
small to share. The function is taken only when the table of operations is untouched, so that a
function of one's own always really runs (generate.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .config import ModelConfig
from .interleaved import ROWS, InterleavedArray, aligned_bytes, interleave, interleaved_bytes, release_pages, round_up
from .interleaved_kernels import quantize_row, row_group
from .jit import kernel, kernel_pair, kernel_threads
from .kv_cache import KVCache
from .layers.attention_kernels import attend_one
from .layers.rmsnorm import normalise_row
from .layers.rope import rotate_row
from .layers.swiglu import silu_vector
from .params import LayerParams, Params
from .quantization import format_name
from .simd import load_floats, multiply, multiply_add, splat_float, store_floats
from .simd_bytes import DOT4

Float32 = NDArray[np.float32]

_MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down")
# Bytes of float matrices up to which a model is copied; a larger one is read where it is mapped.
_MOST_FLOATS = 1 << 30
# Positions from which the heads of attention are shared among the threads.
_ATTENTION_PARALLEL = 48


class Interleaved(NamedTuple):
    """A model whose matrices all lie interleaved in one stretch of memory.

    Attributes
    ----------
    params : Params
        Of InterleavedArray; `output` is there even when the head is tied, `token_embedding`
        stays packed, because rows of it are looked up.
    data : uint8 ndarray
    layouts : int64 ndarray of shape (n_layers, 7, 8)
        A `Layout` for each of wq, wk, wv, wo, w_gate, w_up, w_down.
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


def interleave_model(params: Params, *, anyway: bool = False) -> Interleaved | None:
    """Rearrange every matrix of a model.

    Returns None when one of them has another format, when quantised ones would need an
    instruction that this CPU does not have (unpacking is faster then), or when float ones are so
    large that a second copy may not fit in memory. `anyway` leaves the last two reasons aside.
    """
    head = params.token_embedding if params.output is None else params.output
    matrices = [getattr(layer, name) for layer in params.layers for name in _MATRICES] + [head]
    sizes = [interleaved_bytes(matrix) for matrix in matrices]
    in_floats = [format_name(matrix) in ("F32", "F16", "BF16") for matrix in matrices]
    if any(size is None for size in sizes):
        return None
    bytes_of_floats = sum(size or 0 for size, is_float in zip(sizes, in_floats) if is_float)
    if not anyway and ((not all(in_floats) and DOT4 == "portable") or bytes_of_floats > _MOST_FLOATS):
        return None
    data = aligned_bytes(sum(size or 0 for size in sizes))
    arrays: list[InterleavedArray] = []
    at = 0
    for matrix, size in zip(matrices, sizes):
        arrays.append(interleave(matrix, data, at))
        release_pages(matrix)
        at += size or 0
    layers = []
    for i, layer in enumerate(params.layers):
        own = dict(zip(_MATRICES, arrays[7 * i : 7 * i + 7]))
        layers.append(LayerParams(**{**layer._asdict(), **own}))
    layouts = np.array([array.layout for array in arrays], np.int64)
    norms = [norm for layer in params.layers for norm in (layer.attention_norm, layer.ffn_norm)]
    return Interleaved(
        Params(params.token_embedding, tuple(layers), params.final_norm, arrays[-1]),
        data,
        layouts[:-1].reshape(len(layers), 7, -1),
        layouts[-1],
        np.stack([*norms, params.final_norm]).astype(np.float32),
        any(array.is_quantized for array in arrays),
    )


class Decoder:
    """The buffers of one sequence, and the call that advances it by a token.

    Parameters
    ----------
    model : Interleaved
    config : ModelConfig
    """

    def __init__(self, model: Interleaved, config: ModelConfig) -> None:
        self.model, self.config = model, config
        c, widest = config, max(config.dim, config.hidden_dim, config.n_heads * config.head_dim)
        padded = partial(round_up, multiple=ROWS)  # kernels write whole groups
        self._x = np.empty(padded(c.dim), np.float32)
        self._normed = np.empty(c.dim, np.float32)
        self._q, self._k, self._v = (
            np.empty(padded(n * c.head_dim), np.float32) for n in (c.n_heads, *[c.n_kv_heads] * 2)
        )
        self._attended = np.empty(c.n_heads * c.head_dim, np.float32)
        self._hidden = np.empty(padded(c.hidden_dim), np.float32)
        blocks = -(-widest // 32)
        self._planes = (
            np.empty(32 * blocks, np.int8),
            np.empty(32 * blocks, np.int8),
            np.empty(blocks, np.float32),
            np.empty(blocks, np.int64),
        )
        self._logits = np.empty(padded(c.vocab_size), np.float32)

    def step(self, token: int, cache: KVCache, rope: tuple[Any, Any]) -> Float32:
        """Run one token, whose id is in range, at the end of a cache of one sequence.

        Room must have been reserved. The keys and values are written; the cache's length is
        the caller's to advance. Returns fresh logits (vocab_size,).
        """
        c, n_threads = self.config, kernel_threads()
        table = self.model.params.token_embedding
        if isinstance(table, np.ndarray):
            self._x[: c.dim] = table[token]
        else:
            self._x[: c.dim] = table.to_float32(slice(token, token + 1))[0]
        k, v = (a.reshape(c.n_layers, c.n_kv_heads, -1, c.head_dim) for a in (cache.k, cache.v))
        run = _decode if n_threads == 1 else _decode_parallel
        m = self.model
        buffers = (self._x, self._normed, self._q, self._k, self._v, self._attended, self._hidden)
        run(
            m.data, m.layouts, m.head, m.norms, k, v, *rope, int(cache.lengths[0]), np.float32(c.norm_eps),
            *buffers, *self._planes, self._logits, c.hidden_dim, m.quantized, n_threads,
        )  # fmt: skip
        return self._logits[: c.vocab_size].copy()


# --- kernels ---------------------------------------------------------------------------


@kernel
def _norm(x, weight, eps, normed, quantized, high, low, d, total):
    """RMSNorm, and where a matrix is quantised the rounding that integer products need."""
    normalise_row(x[: weight.size], weight, eps, normed)
    if quantized:
        quantize_row(normed, high, low, d, total)


@kernel
def _rotate(heads, head_dim, cos, sin):
    """RoPE on every head of a flat row, in place."""
    for first in range(0, heads.size, head_dim):
        head = heads[first : first + head_dim]
        rotate_row(head, cos, sin, head)


@kernel
def _project_part(data, layout, x, high, low, d, total, y, part, n_parts):
    """This part's groups of rows of one matrix, into y."""
    n_groups = layout[3]
    for group in range(part * n_groups // n_parts, (part + 1) * n_groups // n_parts):
        store_floats(y, 16 * group, row_group(data, layout, group, x, high, low, d, total))


@kernel
def _add_part(data, layout, x, high, low, d, total, stream, part, n_parts):
    """The same, added to the residual stream."""
    n_groups = layout[3]
    one = splat_float(np.float32(1))
    for group in range(part * n_groups // n_parts, (part + 1) * n_groups // n_parts):
        y = row_group(data, layout, group, x, high, low, d, total)
        store_floats(stream, 16 * group, multiply_add(y, one, load_floats(stream, 16 * group)))


@kernel
def _gate_part(data, gate, up, x, high, low, d, total, hidden, part, n_parts):
    """Both projections of the feed-forward layer and silu(gate) * up."""
    n_groups = gate[3]
    for group in range(part * n_groups // n_parts, (part + 1) * n_groups // n_parts):
        g = row_group(data, gate, group, x, high, low, d, total)
        u = row_group(data, up, group, x, high, low, d, total)
        store_floats(hidden, 16 * group, multiply(silu_vector(g), u))


@kernel
def _attend_part(q, k, v, n_keys, head_dim, n_heads, y, part, n_parts):
    """This part's query heads; q and y are flat."""
    group = n_heads // len(k)
    for head in range(part * n_heads // n_parts, (part + 1) * n_heads // n_parts):
        own = slice(head * head_dim, (head + 1) * head_dim)
        attend_one(q[own], k[head // group], v[head // group], n_keys, y[own])


def _decode_body(
    data, layouts, head, norms, k_cache, v_cache, cos, sin, position, eps,
    x, normed, q, k, v, attended, hidden, high, low, d, total, logits, hidden_dim, quantized, n_parts,
):  # fmt: skip
    n_layers, n_kv_heads, _, head_dim = k_cache.shape
    dim, width = norms.shape[1], attended.size
    n_heads, planes = width // head_dim, dim // 32
    for layer in range(n_layers):
        m = layouts[layer]
        _norm(x, norms[2 * layer], eps, normed, quantized, high, low, d[:planes], total)
        for part in prange(n_parts):
            _project_part(data, m[0], normed, high, low, d, total, q, part, n_parts)
            _project_part(data, m[1], normed, high, low, d, total, k, part, n_parts)
            _project_part(data, m[2], normed, high, low, d, total, v, part, n_parts)
        _rotate(q[:width], head_dim, cos[position], sin[position])
        _rotate(k[: n_kv_heads * head_dim], head_dim, cos[position], sin[position])
        for h in range(n_kv_heads):
            k_cache[layer, h, position] = k[h * head_dim : (h + 1) * head_dim]
            v_cache[layer, h, position] = v[h * head_dim : (h + 1) * head_dim]
        if n_parts == 1 or position < _ATTENTION_PARALLEL:
            _attend_part(q, k_cache[layer], v_cache[layer], position + 1, head_dim, n_heads, attended, 0, 1)
        else:
            for part in prange(n_parts):
                _attend_part(
                    q, k_cache[layer], v_cache[layer], position + 1, head_dim, n_heads, attended, part, n_parts
                )
        if quantized:
            quantize_row(attended, high, low, d[: width // 32], total)
        for part in prange(n_parts):
            _add_part(data, m[3], attended, high, low, d, total, x, part, n_parts)
        _norm(x, norms[2 * layer + 1], eps, normed, quantized, high, low, d[:planes], total)
        for part in prange(n_parts):
            _gate_part(data, m[4], m[5], normed, high, low, d, total, hidden, part, n_parts)
        if quantized:
            quantize_row(hidden[:hidden_dim], high, low, d[: hidden_dim // 32], total)
        for part in prange(n_parts):
            _add_part(data, m[6], hidden, high, low, d, total, x, part, n_parts)
    _norm(x, norms[2 * n_layers], eps, normed, quantized, high, low, d[:planes], total)
    for part in prange(n_parts):
        _project_part(data, head, normed, high, low, d, total, logits, part, n_parts)


_decode, _decode_parallel = kernel_pair(_decode_body)
