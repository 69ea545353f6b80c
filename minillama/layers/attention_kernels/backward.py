"""Numba kernels of the gradient of causal attention, in tiles; the mathematics is in attention.py.

The probabilities are computed again from the scores and the kept log of the softmax's
denominator (Dao et al. 2022, arXiv:2205.14135), so that no T x S matrix exists. As in
tiles.py a tile of 32 queries stands in the lanes of two vectors and a row of scores
belongs to a key. For a block of keys s and the lanes t:

    p[s, t]  = exp(scores[s, t] - logsumexp[t])
    ds[s, t] = p[s, t] * (v[s] . dy[t] - y[t] . dy[t])

    dv[s]   += sum over t of p[s, t] * dy[t]
    dk[s]   += sum over t of ds[s, t] * q[t] / sqrt(head_dim)
    dq[t]   += sum over s of ds[s, t] * k[s] / sqrt(head_dim)

One thread works on all query heads of a key head: nobody else adds to its dk and dv.
"""

from __future__ import annotations

import numpy as np

from ...compute.jit import helper, threaded
from ...compute.simd import exp, load_floats, multiply, multiply_add, splat_float, store_floats
from .tiles import KEYS, LANES, add_block, hide_future, score_block


@helper
def _probabilities(scores, slopes, n, logsumexp, delta):
    """Scores become p, slopes (v . dy) become ds."""
    one, minus_one = splat_float(np.float32(1)), splat_float(np.float32(-1))
    for half in range(0, LANES, 16):
        shift = multiply(load_floats(logsumexp, half), minus_one)
        less = multiply(load_floats(delta, half), minus_one)
        for i in range(n):
            p = exp(multiply_add(load_floats(scores[i], half), one, shift))
            store_floats(scores[i], half, p)
            store_floats(slopes[i], half, multiply(p, multiply_add(load_floats(slopes[i], half), one, less)))


@helper
def _add_lanes_to_one(weights, rows, out):
    """out (head_dim,) += the sum over the lanes of weights[lane] * rows[lane]."""
    for j in range(0, out.size, 16):
        total = load_floats(out, j)
        for lane in range(LANES):
            total = multiply_add(splat_float(weights[lane]), load_floats(rows[lane], j), total)
        store_floats(out, j, total)


@helper
def _add_lanes_to_four(w0, w1, w2, w3, rows, o0, o1, o2, o3):
    """The same for four keys, 32 numbers of a head at a time: each row that is loaded serves all four."""
    head_dim = o0.size
    for j in range(0, head_dim // 32 * 32, 32):
        a0, a1 = load_floats(o0, j), load_floats(o0, j + 16)
        b0, b1 = load_floats(o1, j), load_floats(o1, j + 16)
        c0, c1 = load_floats(o2, j), load_floats(o2, j + 16)
        d0, d1 = load_floats(o3, j), load_floats(o3, j + 16)
        for lane in range(LANES):
            row = rows[lane]
            r0, r1 = load_floats(row, j), load_floats(row, j + 16)
            a0, a1 = multiply_add(splat_float(w0[lane]), r0, a0), multiply_add(splat_float(w0[lane]), r1, a1)
            b0, b1 = multiply_add(splat_float(w1[lane]), r0, b0), multiply_add(splat_float(w1[lane]), r1, b1)
            c0, c1 = multiply_add(splat_float(w2[lane]), r0, c0), multiply_add(splat_float(w2[lane]), r1, c1)
            d0, d1 = multiply_add(splat_float(w3[lane]), r0, d0), multiply_add(splat_float(w3[lane]), r1, d1)
        store_floats(o0, j, a0)
        store_floats(o0, j + 16, a1)
        store_floats(o1, j, b0)
        store_floats(o1, j + 16, b1)
        store_floats(o2, j, c0)
        store_floats(o2, j + 16, c1)
        store_floats(o3, j, d0)
        store_floats(o3, j + 16, d1)
    for j in range(head_dim // 32 * 32, head_dim, 16):
        a0, b0, c0, d0 = load_floats(o0, j), load_floats(o1, j), load_floats(o2, j), load_floats(o3, j)
        for lane in range(LANES):
            r0 = load_floats(rows[lane], j)
            a0, b0 = multiply_add(splat_float(w0[lane]), r0, a0), multiply_add(splat_float(w1[lane]), r0, b0)
            c0, d0 = multiply_add(splat_float(w2[lane]), r0, c0), multiply_add(splat_float(w3[lane]), r0, d0)
        store_floats(o0, j, a0)
        store_floats(o1, j, b0)
        store_floats(o2, j, c0)
        store_floats(o3, j, d0)


@helper
def _add_lanes(weights, rows, first, n, out):
    """out[first + i] += the sum over the lanes of weights[i, lane] * rows[lane]."""
    fours = n // 4 * 4
    for i in range(0, fours, 4):
        _add_lanes_to_four(
            weights[i], weights[i + 1], weights[i + 2], weights[i + 3], rows,
            out[first + i], out[first + i + 1], out[first + i + 2], out[first + i + 3],
        )  # fmt: skip
    for i in range(fours, n):
        _add_lanes_to_one(weights[i], rows, out[first + i])


@helper
def _load_tile(q, y, dy, positions, logsumexp, queries, outputs, query_rows, output_rows, seen, lse, delta):
    """Fill the lanes with up to LANES queries and their dy, as rows and on their side; returns the positions' range."""
    n_queries, head_dim = q.shape
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    nearest, furthest = positions[0], positions[0]
    for lane in range(LANES):
        t = min(lane, n_queries - 1)  # lanes without a query repeat the last one, with dy = 0
        used = np.float32(1 if lane < n_queries else 0)
        seen[lane], lse[lane] = positions[t], logsumexp[t]
        nearest, furthest = min(nearest, seen[lane]), max(furthest, seen[lane])
        dot = np.float32(0)
        for j in range(head_dim):
            query_rows[lane, j] = q[t, j] * scale
            output_rows[lane, j] = dy[t, j] * used
            dot += y[t, j] * dy[t, j]
        delta[lane] = dot * used
        for j in range(head_dim):
            queries[j, lane] = query_rows[lane, j]
            outputs[j, lane] = output_rows[lane, j]
    return nearest, furthest


@threaded(borrows=False)
def _backward(first_item, last_item, q, k, v, positions, y, logsumexp, dy, dq, dk, dv):
    _, n_heads, n_tokens, head_dim = q.shape
    n_kv_heads = k.shape[1]
    group, scale = n_heads // n_kv_heads, np.float32(1) / np.sqrt(np.float32(head_dim))
    queries, outputs = np.empty((head_dim, LANES), np.float32), np.empty((head_dim, LANES), np.float32)
    query_rows, output_rows = np.empty((LANES, head_dim), np.float32), np.empty((LANES, head_dim), np.float32)
    scores, slopes = np.empty((KEYS, LANES), np.float32), np.empty((KEYS, LANES), np.float32)
    out, ones = np.empty((head_dim, LANES), np.float32), np.ones(LANES, np.float32)
    seen, lse, delta = np.empty(LANES, np.int64), np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    for item in range(first_item, last_item):
        b, g = item // n_kv_heads, item % n_kv_heads
        keys, values, dkeys, dvalues = k[b, g], v[b, g], dk[b, g], dv[b, g]
        for h in range(g * group, (g + 1) * group):
            for first_query in range(0, n_tokens, LANES):
                tile = slice(first_query, min(first_query + LANES, n_tokens))
                nearest, furthest = _load_tile(
                    q[b, h, tile], y[b, h, tile], dy[b, h, tile], positions[b, tile], logsumexp[b, h, tile],
                    queries, outputs, query_rows, output_rows, seen, lse, delta,
                )  # fmt: skip
                out[:] = 0
                for first in range(0, furthest + 1, KEYS):
                    n = min(KEYS, furthest + 1 - first)
                    score_block(queries, keys, first, n, scores)
                    if first + n - 1 > nearest:
                        hide_future(scores, first, n, seen)
                    score_block(outputs, values, first, n, slopes)
                    _probabilities(scores, slopes, n, lse, delta)
                    _add_lanes(scores, output_rows, first, n, dvalues)
                    _add_lanes(slopes, query_rows, first, n, dkeys)
                    add_block(slopes, keys, first, n, ones, out)
                for t in range(tile.stop - tile.start):
                    for j in range(head_dim):
                        dq[b, h, tile.start + t, j] = out[j, t] * scale


def backward_in_tiles(q, k, v, positions, y, logsumexp, dy, dq, dk, dv):
    """Fill `dq`, and add to `dk` and `dv`: float32, head_dim a multiple of 16, last axes contiguous."""
    _backward(k.shape[0] * k.shape[1], q, k, v, positions, y, logsumexp, dy, dq, dk, dv)
