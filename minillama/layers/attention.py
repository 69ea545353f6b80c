"""Causal attention with shared key and value heads: MHA, MQA and GQA in one function.

For query head j of a sequence, with g = j // (n_heads / n_kv_heads) its key and value head:

    scores[t, s] = q[j, t] . k[g, s] / sqrt(head_dim)     for keys s <= position of t
    y[j, t]      = sum over s of softmax(scores[t])[s] * v[g, s]

(Vaswani et al. 2017, arXiv:1706.03762; grouped queries: Ainslie et al. 2023,
arXiv:2305.13245; LLaMA 2 section 2.2 and appendix A.2.1.) n_kv_heads = n_heads is
multi-head attention, n_kv_heads = 1 is multi-query attention. Neighbouring query heads share:
heads 0 ... r - 1 use key head 0 (repeat, not tile).

The mask is the positions themselves: a query at position m sees keys 0 ... m, wherever they
come from. One function thus serves training (positions 0 ... T - 1), a prompt that arrives in
chunks, and decoding from a cache that is longer than what has been written to it.

A relative of LLaMA 2, Mistral (arXiv:2310.06825, section 2), looks back over a *window* only: at
position m keys m - window + 1 ... m. The functions take it as an argument; there is no gradient for it.

The log of the softmax's denominator is kept for the backward pass: from it the probabilities
can be computed again, tile by tile, without ever storing a T x S matrix. With p the
probabilities and dy the gradient of y, for one head:

    dv[s] = sum over t of p[t, s] * dy[t]
    ds    = p * (dy v^T - rowsum(dy * y))          the softmax's Jacobian, row by row
    dq    = ds k / sqrt(head_dim),   dk = ds^T q / sqrt(head_dim)

and a key or value head adds up what its query heads send back.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..compute.array_types import Float, Ints
from .attention_kernels.backward import backward_in_tiles
from .attention_kernels.few import softmax_rows
from .attention_kernels.many import attend_many

NO_WINDOW = 1 << 62  # longer than any text
_TILE = 256  # queries of a tile: its scores (_TILE x S) stay in the cache of the CPU


class AttentionSaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    q: Float  # (B, H, T, head_dim)
    k: Float  # (B, K, S, head_dim)
    v: Float  # (B, K, S, head_dim)
    positions: Ints  # (B, T)
    y: Float  # (B, H, T, head_dim)
    logsumexp: Float  # (B, H, T)


def _check(q: Float, k: Float, v: Float, positions: Ints) -> None:
    batch, n_heads, n_tokens, head_dim = q.shape
    if k.shape != v.shape or k.shape[0] != batch or k.shape[3] != head_dim or n_heads % k.shape[1]:
        raise ValueError(
            f"k and v must be (B, K, S, head_dim) with B = {batch}, head_dim = {head_dim} and K a divisor of "
            f"{n_heads} query heads; got {k.shape} and {v.shape}"
        )
    if positions.shape != (batch, n_tokens):
        raise ValueError(f"positions must be (B, T) = {(batch, n_tokens)}, got {positions.shape}")
    if positions.size and not 0 <= positions.min() <= positions.max() < k.shape[2]:
        raise ValueError(
            f"positions must be in [0, {k.shape[2]}), the keys that exist; got {positions.min()} to {positions.max()}"
        )


def attention_forward(q: Float, k: Float, v: Float, positions: Ints, window: int = NO_WINDOW) -> tuple[Float, Any]:
    """Let every query take a weighted mean of the values at and before its position.

    Parameters
    ----------
    q : ndarray of shape (B, H, T, head_dim)
        Rotated queries (RoPE).
    k, v : ndarray of shape (B, K, S, head_dim)
        Rotated keys and values; H is a multiple of K. Entries past every position are not read.
    positions : integer ndarray of shape (B, T)
        Position of every query in its sequence: it sees keys 0 ... positions[b, t].
    window : int
        The query sees the last so many of these keys, its own included; all of them by default.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `q`
    saved : AttentionSaved
        None with a window, for which there is no backward pass.

    Raises
    ------
    ValueError
        When shapes do not fit or a position has no key.
    """
    _check(q, k, v, positions)
    batch, n_heads, n_tokens, head_dim = q.shape
    n_keys = int(positions.max(initial=-1)) + 1  # what lies past them may never have been written
    k_seen, v_seen = k[:, :, None, :n_keys], v[:, :, None, :n_keys]  # (B, K, 1, S, head_dim)
    grouped = q.reshape(batch, k.shape[1], -1, n_tokens, head_dim)  # (B, K, H / K, T, head_dim)

    scores = grouped @ k_seen.swapaxes(-1, -2) / q.dtype.type(np.sqrt(head_dim))  # (B, K, H / K, T, S)
    distance = positions[:, None, None, :, None] - np.arange(n_keys)  # from the key to the query
    visible = (distance >= 0) & (distance < window)
    scores = np.where(visible, scores, q.dtype.type(-np.inf))

    largest = scores.max(axis=-1, keepdims=True, initial=-np.inf)
    exponentials = np.exp(scores - largest)  # (B, K, H / K, T, S)
    total = exponentials.sum(axis=-1, keepdims=True)
    y = (exponentials / total @ v_seen).reshape(q.shape)
    logsumexp = (largest + np.log(total)).reshape(batch, n_heads, n_tokens)
    return y, None if window < NO_WINDOW else AttentionSaved(q, k, v, positions, y, logsumexp)


def attention_backward(dy: Float, saved: AttentionSaved) -> tuple[Float, Float, Float]:
    """Gradients of queries, keys and values, from `dy` (B, H, T, head_dim).

    Returns
    -------
    dq : ndarray of shape (B, H, T, head_dim)
    dk, dv : ndarray of shape (B, K, S, head_dim)
        Zero for keys that no query sees.
    """
    q, k, v, positions, y, logsumexp = saved
    batch, _, n_tokens, head_dim = q.shape
    n_keys = int(positions.max(initial=-1)) + 1
    k_seen, v_seen = k[:, :, None, :n_keys], v[:, :, None, :n_keys]  # (B, K, 1, S, head_dim)
    in_groups = (batch, k.shape[1], -1, n_tokens, head_dim)  # (B, K, H / K, T, head_dim)
    grouped, dy_grouped = q.reshape(in_groups), dy.reshape(in_groups)
    scale = q.dtype.type(1 / np.sqrt(head_dim))

    scores = grouped @ k_seen.swapaxes(-1, -2) * scale  # (B, K, H / K, T, S)
    visible = np.arange(n_keys) <= positions[:, None, None, :, None]
    scores = np.where(visible, scores, q.dtype.type(-np.inf))  # first: exp of a hidden score may overflow
    p = np.exp(scores - logsumexp.reshape(*in_groups[:-1], 1))
    delta = np.sum(dy_grouped * y.reshape(in_groups), axis=-1, keepdims=True)
    ds = p * (dy_grouped @ v_seen.swapaxes(-1, -2) - delta) * scale

    dk, dv = np.zeros_like(k), np.zeros_like(v)
    dq = (ds @ k_seen).reshape(q.shape)
    dk[:, :, :n_keys] = (ds.swapaxes(-1, -2) @ grouped).sum(axis=2)
    dv[:, :, :n_keys] = (p.swapaxes(-1, -2) @ dy_grouped).sum(axis=2)
    return dq, dk, dv


# --- fast: the same contract -----------------------------------------------------------


def attention_forward_fast(q: Float, k: Float, v: Float, positions: Ints, window: int = NO_WINDOW) -> tuple[Float, Any]:
    """`attention_forward`, compiled: one pass over the keys for a tile of queries (few.py, many.py).

    No more than a tile's scores exist at a time, and a query's result is the same to the last bit whichever
    others are computed with it. Keys and values may be float16. float64 multiplies tile by tile with BLAS.
    """
    _check(q, k, v, positions)
    q, y, logsumexp = np.ascontiguousarray(q), np.empty(q.shape, q.dtype), np.empty(q.shape[:3], q.dtype)
    if q.dtype == np.float32 and k.dtype == v.dtype and k.dtype in (np.float32, np.float16):
        keys, values = (np.ascontiguousarray(a) for a in (k, v))
        if k.dtype == np.float16:  # which Numba does not know
            keys, values = keys.view(np.uint16), values.view(np.uint16)
        attend_many(q, keys, values, positions, window, y, logsumexp)
    else:
        _attend_with_blas(q, _last_axis_contiguous(k), _last_axis_contiguous(v), positions, window, y, logsumexp)
    return y, None if window < NO_WINDOW else AttentionSaved(q, k, v, positions, y, logsumexp)


# Read where the cache hands out keys and values: other functions in its place get float32.
attention_forward_fast.takes_half = True  # type: ignore[attr-defined]


def _last_axis_contiguous(a: Float) -> Float:
    return a if a.strides[-1] == a.itemsize else np.ascontiguousarray(a)


def _attend_with_blas(q: Float, k: Float, v: Float, positions: Ints, window: int, y: Float, logsumexp: Float) -> None:
    batch, n_heads, n_tokens, head_dim = q.shape
    group = n_heads // k.shape[1]
    scale = q.dtype.type(1 / np.sqrt(head_dim))
    for b in range(batch):
        for first in range(0, n_tokens, _TILE):
            tile = slice(first, min(first + _TILE, n_tokens))
            rows = positions[b, tile]
            n_keys = int(rows.max()) + 1
            for j in range(n_heads):
                keys, values = k[b, j // group, :n_keys], v[b, j // group, :n_keys]  # (S, head_dim)
                scores = (q[b, j, tile] * scale) @ keys.T  # (tile, S)
                softmax_rows(scores, rows, window, logsumexp[b, j, tile])
                np.matmul(scores, values, out=y[b, j, tile])


def attention_backward_fast(dy: Float, saved: AttentionSaved) -> tuple[Float, Float, Float]:
    """`attention_backward`, compiled, in tiles.

    float64 and widths that are not a multiple of 16 multiply tile by tile with BLAS.
    """
    q, k, v, positions, y, logsumexp = saved
    dq, dk, dv = np.empty(q.shape, q.dtype), np.zeros(k.shape, k.dtype), np.zeros(v.shape, v.dtype)
    dy, q, k, v = (_last_axis_contiguous(a) for a in (dy, q, k, v))
    single = q.dtype == k.dtype == v.dtype == dy.dtype == np.float32
    if single and q.shape[3] % 16 == 0:
        backward_in_tiles(q, k, v, positions, y, logsumexp, dy, dq, dk, dv)
    else:
        _backward_with_blas(dy, AttentionSaved(q, k, v, positions, y, logsumexp), dq, dk, dv)
    return dq, dk, dv


def _backward_with_blas(dy: Float, saved: AttentionSaved, dq: Float, dk: Float, dv: Float) -> None:
    q, k, v, positions, y, logsumexp = saved
    batch, n_heads, n_tokens, head_dim = q.shape
    group = n_heads // k.shape[1]
    scale = q.dtype.type(1 / np.sqrt(head_dim))
    for b in range(batch):
        for first in range(0, n_tokens, _TILE):
            tile = slice(first, min(first + _TILE, n_tokens))
            rows = positions[b, tile]
            n_keys = int(rows.max()) + 1
            hidden = np.arange(n_keys) > rows[:, None]  # (tile, S)
            for j in range(n_heads):
                g = j // group
                scaled, dy_tile = q[b, j, tile] * scale, dy[b, j, tile]
                scores = scaled @ k[b, g, :n_keys].T  # (tile, S)
                scores[hidden] = -np.inf
                p = np.exp(scores - logsumexp[b, j, tile, None])
                delta = np.sum(dy_tile * y[b, j, tile], axis=-1, keepdims=True)
                ds = p * (dy_tile @ v[b, g, :n_keys].T - delta)
                dq[b, j, tile] = ds @ k[b, g, :n_keys] * scale
                dk[b, g, :n_keys] += ds.T @ scaled
                dv[b, g, :n_keys] += p.T @ dy_tile
