"""Causal attention of many queries at once, without a matrix of scores (Dao et al. 2022, arXiv:2205.14135).

Some neighbouring tokens make a tile: all their query heads that share a key head. It goes over the keys in
blocks, and does for every query what few.py does for a decoded token, in the same order, with blocks
at the same places. A query's result is therefore the same to the last bit, in whatever chunks a
prompt comes, and the same as in decoding. What a query does not see counts for exactly nothing.

Keys and values of float16 are widened once for all queries of a tile.
"""

from __future__ import annotations

import numpy as np

from ...compute.jit import helper, kernel_threads, threaded
from ...compute.simd import divide, load_floats, splat_float, store_floats
from ...compute.team import claim, new_board
from .few import add_block, rows_at_once, score_block, soften, widen
from .products import KEYS, LANES

_ROWS = 48  # queries of a tile: with their scores and a block of keys they fit the caches next to the core
# Queries from which widening keys once pays for the copy.
_MANY_ROWS = 7
# Keys times queries from which a second thread pays.
_THREADED_SIZE = 1_024


@helper
def _hide(scores, r, low, high, n):
    """Weights of what query r does not see; `soften` has seen to the rest of the vectors at both ends."""
    row = r * KEYS
    for i in range(low // 16 * 16 if low < high else n):
        scores[row + i] = 0
    for i in range((high + 15) // 16 * 16, n):
        scores[row + i] = 0


@helper
def _attend_rows(q, k, v, first_row, first, n, ends, window, scale, y, largest, total, scores):
    """A block of keys, n of them, which lie from `first_row` on, for all queries of a tile."""
    r = 0
    while r < len(q):
        n_rows, seen = rows_at_once(len(q) - r), 0
        for row in range(r, r + n_rows):
            high = min(n, ends[row] - first)
            seen = max(seen, high if high > ends[row] - window - first else 0)
        if seen > 0:
            score_block(q, r, n_rows, k, first_row, 0, seen, scores)
            for row in range(r, r + n_rows):
                low, high = max(0, ends[row] - window - first), min(n, ends[row] - first)
                if low < high:
                    soften(scores, row, low, high, scale, largest, total, y)
                _hide(scores, row, low, high, seen)
            add_block(scores, r, n_rows, v, first_row, 0, seen, y)
        r += n_rows


@helper
def _finish(sums, total, y):
    """y (T, head_dim) = sums / total, row by row."""
    n_tokens, head_dim = y.shape
    vectors = head_dim // 16 * 16
    for t in range(n_tokens):
        row, out, by = sums[t], y[t], splat_float(total[t])
        for j in range(0, vectors, 16):
            store_floats(out, j, divide(load_floats(row, j), by))
        for j in range(vectors, head_dim):
            out[j] = row[j] / total[t]


@helper
def _attend_tile(q, k, v, positions, window, y, logsumexp, rows, sums, largest, total, ends, scores, wide_k, wide_v):
    """The queries q (heads, T, head_dim) of a tile; what stands after logsumexp is scratch."""
    group, n_tokens, head_dim = q.shape
    n_rows = group * n_tokens
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    nearest, furthest = positions[0], positions[0]
    for t in range(n_tokens):
        nearest, furthest = min(nearest, positions[t]), max(furthest, positions[t])
        for h in range(group):
            ends[h * n_tokens + t] = positions[t] + 1
    for h in range(group):
        widen(q[h], 0, n_tokens, rows[h * n_tokens : (h + 1) * n_tokens])
    sums[:n_rows], largest[:n_rows], total[:n_rows] = 0, -np.inf, 0
    rows = rows[:n_rows]
    widens = head_dim % LANES != 0 or (k.itemsize == 2 and n_rows >= _MANY_ROWS)
    for first in range(max(0, nearest - window + 1) // KEYS * KEYS, furthest + 1, KEYS):
        n = min(KEYS, furthest + 1 - first)
        if widens:
            widen(k, first, n, wide_k)
            widen(v, first, n, wide_v)
            _attend_rows(rows, wide_k, wide_v, 0, first, n, ends, window, scale, sums, largest, total, scores)
        else:
            _attend_rows(rows, k, v, first, first, n, ends, window, scale, sums, largest, total, scores)
    for h in range(group):
        own = slice(h * n_tokens, (h + 1) * n_tokens)
        _finish(sums[own], total[own], y[h])
        for t in range(n_tokens):
            logsumexp[h, t] = largest[own][t] + np.log(total[own][t])


@threaded(from_size=_THREADED_SIZE, borrows=False)
def _attend(first, last, q, k, v, positions, window, y, logsumexp, board, n_at_once):
    batch, n_heads, n_tokens, head_dim = q.shape
    n_kv_heads = k.shape[1]
    group, n_tiles = n_heads // n_kv_heads, (n_tokens + n_at_once - 1) // n_at_once
    width, n_rows = (head_dim + LANES - 1) // LANES * LANES, group * n_at_once
    numbers = np.empty(2 * (n_rows + KEYS) * width + n_rows * KEYS + 16, np.float32)
    numbers = numbers[-(numbers.ctypes.data // 4) % 16 :]  # vectors should not lie across the CPU's lines of 64 bytes
    wide = numbers[: 2 * (n_rows + KEYS) * width].reshape((2 * (n_rows + KEYS), width))
    rows, sums, wide_k, wide_v = wide[:n_rows], wide[n_rows : 2 * n_rows], wide[2 * n_rows : -KEYS], wide[-KEYS:]
    scores, ends = numbers[wide.size :], np.empty(n_rows, np.int64)
    largest, total = np.empty(n_rows, np.float32), np.empty(n_rows, np.float32)
    for own in range(first, last):
        chunk = claim(board, 0, own, batch * n_kv_heads * n_tiles)
        while chunk >= 0:
            b, h = chunk // n_tiles // n_kv_heads, chunk // n_tiles % n_kv_heads
            tile = slice(chunk % n_tiles * n_at_once, min((chunk % n_tiles + 1) * n_at_once, n_tokens))
            heads = slice(h * group, (h + 1) * group)
            _attend_tile(
                q[b, heads, tile], k[b, h], v[b, h], positions[b, tile], window, y[b, heads, tile],
                logsumexp[b, heads, tile], rows, sums, largest, total, ends, scores, wide_k, wide_v,
            )  # fmt: skip
            chunk = claim(board, 0, own, batch * n_kv_heads * n_tiles)


def attend_many(q, k, v, positions, window, y, logsumexp):
    """Fill `y` (B, H, T, head_dim) and `logsumexp` (B, H, T) for queries of float32.

    k and v (B, K, S, head_dim) are float32, or float16 seen as uint16, and contiguous.
    """
    n_threads, group = kernel_threads(), q.shape[1] // k.shape[1]
    n_at_once = max(1, _ROWS // group)
    n_at_once = min(n_at_once // 3 * 3 or n_at_once, q.shape[2])  # neighbours see nearly the same keys
    work = min(int(positions.max(initial=0)) + 1, window) * q.shape[0] * q.shape[1] * q.shape[2]
    board = new_board(1, n_threads)
    _attend(n_threads, q, k, v, positions, window, y, logsumexp, board, n_at_once, size=work)
