"""Causal attention for many queries at once, without a matrix of scores (Dao et al. 2022, arXiv:2205.14135).

A tile of 32 queries stands side by side in the lanes of two vectors, and goes over the keys in
blocks. Everything is turned on its side for that: a row of scores belongs to a key,

    scores[s, lane] = k[s] . q[lane]             4 keys at a time, each number of a key for all lanes
    out[j, lane]    = sum over s of p[s, lane] * v[s, j]

so that maximum, exponential and sum of the softmax work on whole vectors, and the running result
is rescaled when a block brings a larger score (online softmax, see few.py).
Nothing larger than a block exists, and blocks in the future of the whole tile are never computed.
"""

from __future__ import annotations

import numpy as np

from ...compute.jit import helper, kernel_threads, threaded
from ...compute.simd import exp, load_floats, maximum, multiply, multiply_add, splat_float, store_floats
from ...compute.team import claim, new_board

LANES = 32  # queries of a tile
KEYS = 32  # keys of a block


@helper
def score_block(queries, k, first, n, scores):
    """Scores of keys first ... first + n - 1 for all lanes; queries (head_dim, LANES) are scaled."""
    for i in range(0, n, 4):
        k0, k1 = k[first + i], k[first + min(i + 1, n - 1)]
        k2, k3 = k[first + min(i + 2, n - 1)], k[first + min(i + 3, n - 1)]
        a0 = a1 = b0 = b1 = c0 = c1 = d0 = d1 = splat_float(np.float32(0))
        for j in range(len(queries)):
            q0, q1 = load_floats(queries[j], 0), load_floats(queries[j], 16)
            a0, a1 = multiply_add(splat_float(k0[j]), q0, a0), multiply_add(splat_float(k0[j]), q1, a1)
            b0, b1 = multiply_add(splat_float(k1[j]), q0, b0), multiply_add(splat_float(k1[j]), q1, b1)
            c0, c1 = multiply_add(splat_float(k2[j]), q0, c0), multiply_add(splat_float(k2[j]), q1, c1)
            d0, d1 = multiply_add(splat_float(k3[j]), q0, d0), multiply_add(splat_float(k3[j]), q1, d1)
        store_floats(scores[i], 0, a0)
        store_floats(scores[i], 16, a1)
        store_floats(scores[i + 1], 0, b0)
        store_floats(scores[i + 1], 16, b1)
        store_floats(scores[i + 2], 0, c0)
        store_floats(scores[i + 2], 16, c1)
        store_floats(scores[i + 3], 0, d0)
        store_floats(scores[i + 3], 16, d1)


# Of a key before the window. Not infinite: a block may have nothing else, and exp(-inf + inf) is not a number.
# Against the first score that is seen its weight is 0.
_PAST = np.float32(-1e30)


@helper
def _hide_past(scores, first, n, positions, window):
    for i in range(n):
        for lane in range(LANES):
            if first + i <= positions[lane] - window:
                scores[i, lane] = _PAST


@helper
def hide_future(scores, first, n, positions):
    for i in range(n):
        for lane in range(LANES):
            if first + i > positions[lane]:
                scores[i, lane] = -np.inf


@helper
def _softmax_block(scores, n, largest, total, correction):
    """Scores become exp(score - largest so far); `correction` is what earlier ones must be multiplied by."""
    one, minus_one = splat_float(np.float32(1)), splat_float(np.float32(-1))
    for half in range(0, LANES, 16):
        before = load_floats(largest, half)
        best = before
        for i in range(n):
            best = maximum(load_floats(scores[i], half), best)
        shift = multiply(best, minus_one)
        factor = exp(multiply_add(before, one, shift))
        sums = multiply(load_floats(total, half), factor)
        for i in range(n):
            p = exp(multiply_add(load_floats(scores[i], half), one, shift))
            store_floats(scores[i], half, p)
            sums = multiply_add(p, one, sums)
        store_floats(largest, half, best)
        store_floats(total, half, sums)
        store_floats(correction, half, factor)


@helper
def add_block(p, v, first, n, correction, out):
    """out (head_dim, LANES) = out * correction + values weighted with p, four dims at a time."""
    f0, f1 = load_floats(correction, 0), load_floats(correction, 16)
    for j in range(0, len(out), 4):
        a0, a1 = multiply(load_floats(out[j], 0), f0), multiply(load_floats(out[j], 16), f1)
        b0, b1 = multiply(load_floats(out[j + 1], 0), f0), multiply(load_floats(out[j + 1], 16), f1)
        c0, c1 = multiply(load_floats(out[j + 2], 0), f0), multiply(load_floats(out[j + 2], 16), f1)
        d0, d1 = multiply(load_floats(out[j + 3], 0), f0), multiply(load_floats(out[j + 3], 16), f1)
        for i in range(n):
            value = v[first + i]
            p0, p1 = load_floats(p[i], 0), load_floats(p[i], 16)
            a0, a1 = multiply_add(splat_float(value[j]), p0, a0), multiply_add(splat_float(value[j]), p1, a1)
            b0, b1 = multiply_add(splat_float(value[j + 1]), p0, b0), multiply_add(splat_float(value[j + 1]), p1, b1)
            c0, c1 = multiply_add(splat_float(value[j + 2]), p0, c0), multiply_add(splat_float(value[j + 2]), p1, c1)
            d0, d1 = multiply_add(splat_float(value[j + 3]), p0, d0), multiply_add(splat_float(value[j + 3]), p1, d1)
        store_floats(out[j], 0, a0)
        store_floats(out[j], 16, a1)
        store_floats(out[j + 1], 0, b0)
        store_floats(out[j + 1], 16, b1)
        store_floats(out[j + 2], 0, c0)
        store_floats(out[j + 2], 16, c1)
        store_floats(out[j + 3], 0, d0)
        store_floats(out[j + 3], 16, d1)


@helper
def _attend_tile(q, k, v, positions, window, y, logsumexp, queries, scores, out, largest, total, correction, seen):
    """Up to LANES queries q (n, head_dim) of one head; what stands after logsumexp is scratch."""
    n_queries, head_dim = q.shape
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    nearest, furthest = positions[0], positions[0]
    for lane in range(LANES):
        t = min(lane, n_queries - 1)  # lanes without a query repeat the last one
        seen[lane] = positions[t]
        nearest, furthest = min(nearest, seen[lane]), max(furthest, seen[lane])
        largest[lane], total[lane] = -np.inf, 0
        for j in range(head_dim):
            queries[j, lane] = q[t, j] * scale
            out[j, lane] = 0
    for first in range(max(0, nearest - window + 1) // KEYS * KEYS, furthest + 1, KEYS):
        n = min(KEYS, furthest + 1 - first)
        score_block(queries, k, first, n, scores)
        if first <= furthest - window:
            _hide_past(scores, first, n, seen, window)
        if first + n - 1 > nearest:
            hide_future(scores, first, n, seen)
        _softmax_block(scores, n, largest, total, correction)
        add_block(scores, v, first, n, correction, out)
    for t in range(n_queries):
        for j in range(head_dim):
            y[t, j] = out[j, t] / total[t]
        logsumexp[t] = largest[t] + np.log(total[t])


@threaded(borrows=False)
def _attend(first, last, q, k, v, positions, window, y, logsumexp, board):
    batch, n_heads, n_tokens, head_dim = q.shape
    group, n_tiles = n_heads // k.shape[1], (n_tokens + LANES - 1) // LANES
    n_chunks = batch * n_heads * n_tiles
    for own in range(first, last):
        queries, out = np.empty((head_dim, LANES), np.float32), np.empty((head_dim, LANES), np.float32)
        scores, seen = np.empty((KEYS, LANES), np.float32), np.empty(LANES, np.int64)
        largest, total, correction = (
            np.empty(LANES, np.float32),
            np.empty(LANES, np.float32),
            np.empty(LANES, np.float32),
        )
        chunk = claim(board, 0, own, n_chunks)
        while chunk >= 0:
            b, h = chunk // n_tiles // n_heads, chunk // n_tiles % n_heads
            tile = slice(chunk % n_tiles * LANES, min((chunk % n_tiles + 1) * LANES, n_tokens))
            _attend_tile(
                q[b, h, tile], k[b, h // group], v[b, h // group], positions[b, tile], window,
                y[b, h, tile], logsumexp[b, h, tile], queries, scores, out, largest, total, correction, seen,
            )  # fmt: skip
            chunk = claim(board, 0, own, n_chunks)


def attend_in_tiles(q, k, v, positions, window, y, logsumexp):
    """Fill `y` (B, H, T, head_dim) and `logsumexp` (B, H, T) for queries of float32, head_dim a multiple of 4.

    k and v (B, K, S, head_dim) may be views; their last axis must be contiguous.
    """
    n_threads = kernel_threads()
    _attend(n_threads, q, k, v, positions, window, y, logsumexp, new_board(1, n_threads))
