"""Numba kernels of causal attention; the mathematics is in attention.py.

`attend_few` is for decoding: one query, many keys. It goes over keys and values once with
the *online softmax* (Milakov & Gimelshein 2018, arXiv:1805.02867): the running sum is
rescaled whenever a larger score turns up,

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
    multiply,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
    store_four_sums,
    sum_of,
)

KEYS = 64  # keys whose scores are held at a time; blocks of them end at multiples of it
_AHEAD = 32  # keys and values that are asked for before they are needed
# Keys times heads from which a second thread pays.
_THREADED_SIZE = 1_024


@helper
def _prefetch_row(rows, row):
    """Ask for a row ahead of time; it may lie past the end."""
    head_dim = rows.shape[1]
    for i in range(0, head_dim, 64 // rows.itemsize):
        prefetch(rows, row * head_dim + i)


@helper
def _score(q, k, first, n, is_first, scores):
    """scores[i] = q . k[first + i], four keys side by side; the first head asks for later keys."""
    zero = splat_float(np.float32(0))
    fours = n // 4 * 4
    for i in range(0, fours, 4):
        k0, k1, k2, k3 = k[first + i], k[first + i + 1], k[first + i + 2], k[first + i + 3]
        s0 = s1 = s2 = s3 = zero
        if is_first:
            for row in range(first + i + _AHEAD, first + i + _AHEAD + 4):
                _prefetch_row(k, row)
        for j in range(0, q.size, 16):
            part = load_floats(q, j)
            s0 = multiply_add(part, load_numbers(k0, j), s0)
            s1 = multiply_add(part, load_numbers(k1, j), s1)
            s2 = multiply_add(part, load_numbers(k2, j), s2)
            s3 = multiply_add(part, load_numbers(k3, j), s3)
        store_four_sums(scores, i, s0, s1, s2, s3)
    for i in range(fours, n):
        total = zero
        for j in range(0, q.size, 16):
            total = multiply_add(load_floats(q, j), load_numbers(k[first + i], j), total)
        scores[i] = sum_of(total)


@helper
def _score_any_width(q, k, first, n, scores):
    for i in range(n):
        key, score = k[first + i], np.float32(0)
        for j in range(q.size):
            score += q[j] * load_number(key, j)
        scores[i] = score


@helper
def _add_values(p, v, first, n, is_first, correction, y):
    """y = y * correction + the sum of p[i] * v[first + i], for a head_dim that is a multiple of 16.

    An addition waits for the one before it: four vectors of y side by side keep the CPU busy.
    """
    head_dim = y.size
    fours = head_dim // 64 * 64
    c = splat_float(correction)
    for j in range(0, fours, 64):
        y0, y1 = multiply(load_floats(y, j), c), multiply(load_floats(y, j + 16), c)
        y2, y3 = multiply(load_floats(y, j + 32), c), multiply(load_floats(y, j + 48), c)
        for i in range(n):
            value, weight = v[first + i], splat_float(p[i])
            if is_first and j == 0:
                _prefetch_row(v, first + i + _AHEAD)
            y0 = multiply_add(weight, load_numbers(value, j), y0)
            y1 = multiply_add(weight, load_numbers(value, j + 16), y1)
            y2 = multiply_add(weight, load_numbers(value, j + 32), y2)
            y3 = multiply_add(weight, load_numbers(value, j + 48), y3)
        store_floats(y, j, y0)
        store_floats(y, j + 16, y1)
        store_floats(y, j + 32, y2)
        store_floats(y, j + 48, y3)
    for j in range(fours, head_dim, 16):
        values = multiply(load_floats(y, j), c)
        for i in range(n):
            values = multiply_add(splat_float(p[i]), load_numbers(v[first + i], j), values)
        store_floats(y, j, values)


@helper
def _add_values_any_width(p, v, first, n, correction, y):
    for j in range(y.size):
        y[j] *= correction
    for i in range(n):
        value = v[first + i]
        for j in range(y.size):
            y[j] += p[i] * load_number(value, j)


@helper
def _exponentials(scores, n, scale, largest):
    """Make exp(scale * score - new largest) of n scores; returns the new largest and their sum."""
    for i in range(n, (n + 15) // 16 * 16):
        scores[i] = -np.inf  # fills the last vector; its exponential is 0
    factor, best = splat_float(scale), splat_float(largest)
    for i in range(0, n, 16):
        scaled = multiply(load_floats(scores, i), factor)
        store_floats(scores, i, scaled)
        best = maximum(scaled, best)
    new_largest = max_of(best)
    one, shift = splat_float(np.float32(1)), splat_float(-new_largest)
    sums = splat_float(np.float32(0))
    for i in range(0, n, 16):
        p = exp(multiply_add(load_floats(scores, i), one, shift))
        store_floats(scores, i, p)
        sums = multiply_add(p, one, sums)
    return new_largest, sum_of(sums)


@helper
def _attend_block(q, k, v, first, n, scale, y, largest, total, scores):
    """Go on with n keys more, which lie from `first` on."""
    in_vectors = q.shape[1] % 16 == 0
    for r in range(len(q)):  # the block of keys and values stays in the cache for all of them
        if in_vectors:
            _score(q[r], k, first, n, r == 0, scores)
        else:
            _score_any_width(q[r], k, first, n, scores)
        new_largest, sum_of_block = _exponentials(scores, n, scale, largest[r])
        correction = np.float32(1)
        if new_largest != largest[r]:  # rare after the first block
            correction = np.exp(largest[r] - new_largest)
        total[r] = total[r] * correction + sum_of_block
        largest[r] = new_largest
        if in_vectors:
            _add_values(scores, v, first, n, r == 0, correction, y[r])
        else:
            _add_values_any_width(scores, v, first, n, correction, y[r])


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
    y[:n_heads] = 0
    first = first_key
    while first < last_key:
        n = min(KEYS - first % KEYS, last_key - first)
        if first < n_shared:
            _attend_block(q, k_shared, v_shared, first, n, scale, y, largest, total, scratch)
        else:
            _attend_block(q, k, v, first - n_shared, n, scale, y, largest, total, scratch)
        first += n


def scratch_size(n_heads, head_dim):
    """Numbers of float32 scratch that `attend_range` takes for so many queries."""
    return KEYS


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


@threaded(from_size=_THREADED_SIZE, borrows=False)
def _attend(first, last, q, k, v, positions, window, y, logsumexp, n_scratch):
    _, n_heads, n_tokens, head_dim = q.shape
    group = n_heads // k.shape[1]
    for i in range(first, last):
        b, h = i // k.shape[1], i % k.shape[1]
        heads = slice(h * group, (h + 1) * group)
        scratch, largest = np.empty(n_scratch, np.float32), np.empty(group, np.float32)
        total = np.empty(group, np.float32)
        for t in range(n_tokens):
            own, end = y[b, heads, t], positions[b, t] + 1
            start = max(0, end - window)
            attend_range(
                q[b, heads, t], k[b, h], v[b, h], 0, k[b, h], v[b, h], start, end, own, largest, total, scratch
            )
            for r in range(group):
                for j in range(head_dim):
                    own[r, j] /= total[r]
                logsumexp[b, h * group + r, t] = largest[r] + np.log(total[r])


def attend_few(q, k, v, positions, window, y, logsumexp):
    """Fill `y` (B, H, T, head_dim) and `logsumexp` (B, H, T) for a few queries T of float32."""
    work = min(int(positions.max(initial=0)) + 1, window) * q.shape[0] * q.shape[1] * q.shape[2]
    n_scratch = scratch_size(q.shape[1] // k.shape[1], q.shape[3])
    _attend(k.shape[0] * k.shape[1], q, k, v, positions, window, y, logsumexp, n_scratch, size=work)


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
