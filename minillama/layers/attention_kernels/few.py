"""Numba kernels of causal attention; the mathematics is in attention.py.

`attend_range` is for decoding: the query heads of one token that share a key head, and many keys. It goes
over keys and values once with the *online softmax* (Milakov & Gimelshein 2018, arXiv:1805.02867): the
running sum is rescaled whenever a larger score turns up,

    m' = max(m, score),  total' = total * exp(m - m') + exp(score - m'),  acc likewise,

here for blocks of keys at a time, so that the rescaling and the exponentials are rare
beside the products.
"""

from __future__ import annotations

import functools

import numpy as np
from numba import from_dtype, types

from ...compute.jit import helper, threaded
from ...compute.pointers import address_of, caller
from ...compute.simd import (
    exp,
    load_floats,
    load_number,
    load_numbers,
    max_of,
    maximum,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
    sum_of,
)
from .products import KEYS, LANES, add_1, add_2, add_3, score_1, score_2, score_3

_AHEAD = 32  # keys that are asked for before they are needed
# Keys times heads from which a second thread pays.
_THREADED_SIZE = 1_024


@helper
def _prefetch_row(rows, row):
    """Ask for a row ahead of time; it may lie past the end."""
    head_dim = rows.shape[1]
    for i in range(0, head_dim, 64 // rows.itemsize):
        prefetch(rows, row * head_dim + i)


@helper
def largest_bits(numbers):
    """The bits of the largest |number| of some float32, which are in the order of the numbers: quick to compare."""
    bits, most = numbers.view(np.int32), np.int32(0)
    for j in range(bits.size):
        most = max(most, bits[j] & np.int32(0x7FFFFFFF))
    return most


@helper
def score_block(q, r, n_rows, k, first, at, n, scores):
    """Scores of 1 to 3 queries from r on with keys first, first + 1 … at places at ... at + n - 1 of a block."""
    for i in range(at // 4 * 4, at + n, 4):
        if r == 0:
            for row in range(first + i - at + _AHEAD, first + i - at + _AHEAD + 4):
                _prefetch_row(k, row)
        if n_rows == 3:
            score_3(q, r, k, first, at, n, i, scores)
        elif n_rows == 2:
            score_2(q, r, k, first, at, n, i, scores)
        else:
            score_1(q, r, k, first, at, n, i, scores)


@helper
def add_block(p, r, n_rows, v, first, at, n, y):
    """Add the values of a block, weighted, to 1 to 3 rows of y."""
    if n_rows == 3:
        add_3(p, r, v, first, at, n, r == 0, y)
    elif n_rows == 2:
        add_2(p, r, v, first, at, n, r == 0, y)
    else:
        add_1(p, r, v, first, at, n, r == 0, y)


@helper
def rows_at_once(n_left):
    """How many of the queries that are left to take next: 3 at best, and none by itself if there are two."""
    return 3 if n_left == 3 or n_left > 4 else min(n_left, 2)


@helper
def soften(scores, r, low, high, scale, largest, total, y):
    """Scores of query r at places low ... high - 1 become exp(scale * score - largest); the rest goes along.

    Vectors begin at fixed places of the block, so that a sum does not depend on where the keys begin.
    """
    row, start, end = r * KEYS, low // 16 * 16, (high + 15) // 16 * 16
    for i in range(start, low):
        scores[row + i] = -np.inf  # fills the first vector; its exponential is 0
    for i in range(high, end):
        scores[row + i] = -np.inf
    best = splat_float(np.float32(-np.inf))
    for i in range(start, end, 16):
        best = maximum(load_floats(scores, row + i), best)
    new_largest = max(largest[r], scale * max_of(best))
    factor, shift = splat_float(scale), splat_float(-new_largest)
    one, sums = splat_float(np.float32(1)), splat_float(np.float32(0))
    for i in range(start, end, 16):
        p = exp(multiply_add(load_floats(scores, row + i), factor, shift))
        store_floats(scores, row + i, p)
        sums = multiply_add(p, one, sums)
    if new_largest != largest[r]:  # rare after the first block
        correction = np.exp(largest[r] - new_largest)
        total[r] *= correction
        for j in range(y.shape[1]):
            y[r, j] *= correction
        largest[r] = new_largest
    total[r] += sum_of(sums)


@helper
def attend_block(q, k, v, first, at, n, scale, y, largest, total, scores):
    """Go on with n keys more, at places at ... at + n - 1 of their block."""
    r = 0
    while r < len(q):  # the block of keys and values stays in the cache for all of them
        n_rows = rows_at_once(len(q) - r)
        score_block(q, r, n_rows, k, first, at, n, scores)
        for row in range(r, r + n_rows):
            soften(scores, row, at, at + n, scale, largest, total, y)
        add_block(scores, r, n_rows, v, first, at, n, y)
        r += n_rows


@helper
def widen(rows, first, n, wide):
    """Make `wide` (KEYS, a multiple of LANES) of n rows from `first` on: float32, with zeros at their ends."""
    head_dim = rows.shape[1]
    vectors = head_dim // 16 * 16
    for i in range(n):
        row, copy = rows[first + i], wide[i]
        for j in range(0, vectors, 16):
            store_floats(copy, j, load_numbers(row, j))
        for j in range(vectors, head_dim):
            copy[j] = load_number(row, j)
        copy[head_dim:] = 0


@helper
def _attend_wide_block(q, k, v, first, at, n, scale, y, largest, total, scores, wide):
    """`attend_block` for keys of any width; queries and y are wider."""
    wide_k, wide_v = wide[:KEYS], wide[KEYS:]
    widen(k, first, n, wide_k)
    widen(v, first, n, wide_v)
    attend_block(q, wide_k, wide_v, 0, at, n, scale, y, largest, total, scores)


@helper
def _attend_any_width(q, k_shared, v_shared, n_shared, k, v, first_key, last_key, y, largest, total, scratch):
    """`attend_range` for heads that do not fill whole vectors: everything is copied, with zeros behind it."""
    n_heads, head_dim = q.shape
    width = (head_dim + LANES - 1) // LANES * LANES
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    n_scores = KEYS * n_heads
    wide = scratch[n_scores : n_scores + (2 * n_heads + 2 * KEYS) * width].reshape((2 * n_heads + 2 * KEYS, width))
    wide_q, wide_y, blocks = wide[:n_heads], wide[n_heads : 2 * n_heads], wide[2 * n_heads :]
    wide[: 2 * n_heads] = 0
    for r in range(n_heads):
        for j in range(head_dim):
            wide_q[r, j] = q[r, j]
    first = first_key
    while first < last_key:
        at = first % KEYS
        n = min(KEYS - at, last_key - first)
        if first < n_shared:
            _attend_wide_block(wide_q, k_shared, v_shared, first, at, n, scale, wide_y, largest, total, scratch, blocks)
        else:
            _attend_wide_block(wide_q, k, v, first - n_shared, at, n, scale, wide_y, largest, total, scratch, blocks)
        first += n
    for r in range(n_heads):
        for j in range(head_dim):
            y[r, j] = wide_y[r, j]


@helper
def attend_range(q, k_shared, v_shared, n_shared, k, v, first_key, last_key, y, largest, total, scratch):
    """Queries that share a key head, over keys first_key ... last_key - 1, in one pass.

    Several sequences may have their first n_shared keys in common: key s is then k_shared[s] up to there,
    k[s - n_shared] from there on. Blocks of keys end at multiples of KEYS, and so does what is shared:
    the numbers are the same, to the last bit, as if all keys lay in one array.

    Parameters
    ----------
    q : float32 (R, head_dim)
    k_shared, v_shared : (S, head_dim) of float32, or of float16 seen as uint16
        Not read where n_shared is 0; k and v will do then.
    n_shared : int
        A multiple of KEYS.
    k, v : likewise, those from n_shared on
    y : float32 (R, head_dim), filled with the sums of exp(score - largest) * value
    largest, total : float32 (R,), filled with the largest score and the sum of exp(score - largest)
    scratch : float32 of at least scratch_size(R, head_dim) numbers
    """
    n_heads, head_dim = q.shape
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    largest[:n_heads] = -np.inf
    total[:n_heads] = 0
    if head_dim % LANES:
        _attend_any_width(q, k_shared, v_shared, n_shared, k, v, first_key, last_key, y, largest, total, scratch)
        return
    y[:n_heads] = 0
    first = first_key
    while first < last_key:
        at = first % KEYS
        n = min(KEYS - at, last_key - first)
        if first < n_shared:
            attend_block(q, k_shared, v_shared, first, at, n, scale, y, largest, total, scratch)
        else:
            attend_block(q, k, v, first - n_shared, at, n, scale, y, largest, total, scratch)
        first += n


def scratch_size(n_heads, head_dim):
    """Numbers of float32 scratch that `attend_range` takes for so many queries."""
    width = (head_dim + LANES - 1) // LANES * LANES
    return KEYS * n_heads + (2 * (n_heads + KEYS) * width if head_dim % LANES else 0)


_FLOATS = types.Array(types.float32, 1, "C")
_ROWS = types.Array(types.float32, 2, "C")


def _range_arguments(number):
    keys, count = types.Array(number, 2, "C"), types.intp
    return _ROWS, keys, keys, count, keys, keys, count, count, _ROWS, _FLOATS, _FLOATS, _FLOATS


@functools.cache
def address_of_range(dtype):
    """What `attend_range_at` takes for keys and values of float32, or of float16 seen as uint16."""
    return address_of(attend_range, _range_arguments(from_dtype(dtype)))


# attend_range_at(address, (q, k_shared, ...)): `attend_range` as it is compiled already.
attend_range_at = caller(_range_arguments(types.float32), _range_arguments(types.uint16))


@threaded(from_size=_THREADED_SIZE)
def _softmax(first, last, scores, positions, window, logsumexp):
    n_keys = scores.shape[1]
    for t in range(first, last):
        seen = positions[t] + 1
        start = max(0, seen - window)
        largest = scores.dtype.type(-np.inf)
        for s in range(start, seen):
            largest = max(largest, scores[t, s])
        total = scores.dtype.type(0)
        for s in range(start, seen):
            scores[t, s] = np.exp(scores[t, s] - largest)
            total += scores[t, s]
        for s in range(start, seen):
            scores[t, s] /= total
        for s in range(start):
            scores[t, s] = 0
        for s in range(seen, n_keys):
            scores[t, s] = 0
        logsumexp[t] = largest + np.log(total)


def softmax_rows(scores, positions, window, logsumexp):
    """Masked softmax of every row of `scores` (T, S) in place; row t sees the last `window` keys <= positions[t]."""
    _softmax(len(scores), scores, positions, window, logsumexp, size=scores.size)
