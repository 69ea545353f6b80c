"""Numba kernels of causal attention; the mathematics is in attention.py.

`attend_few` is for decoding: one query, many keys. It goes over keys and values once with
the *online softmax* (Milakov & Gimelshein 2018, arXiv:1805.02867): the running sum is
rescaled whenever a larger score turns up,

    m' = max(m, score),  total' = total * exp(m - m') + exp(score - m'),  acc likewise,

here for blocks of keys at a time, so that the rescaling and the exponentials are rare
beside the products.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from ..jit import kernel, kernel_pair
from ..simd import (
    exp,
    load_floats,
    multiply,
    multiply_add,
    prefetch,
    splat_float,
    store_floats,
    store_four_sums,
    sum_of,
)

# Numbers ahead of what is read that are asked for from memory (a page).
_AHEAD = 1024
_KEYS = 64  # keys whose scores are held at a time
# Keys times heads from which on a second thread pays.
_PARALLEL_SIZE = 1_024


@kernel
def _attend_any_width(q, k, v, n_keys, y):
    head_dim = q.size
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    scores = np.empty(_KEYS, np.float32)
    largest, total = np.float32(-np.inf), np.float32(0)
    y[:] = 0
    for first in range(0, n_keys, _KEYS):
        n = min(_KEYS, n_keys - first)
        new_largest = largest
        for i in range(n):
            score = np.float32(0)
            for j in range(head_dim):
                score += q[j] * k[first + i, j]
            scores[i] = score * scale
            new_largest = max(new_largest, scores[i])
        correction = np.exp(largest - new_largest)
        total *= correction
        for j in range(head_dim):
            y[j] *= correction
        for i in range(n):
            p = np.exp(scores[i] - new_largest)
            total += p
            for j in range(head_dim):
                y[j] += p * v[first + i, j]
        largest = new_largest
    for j in range(head_dim):
        y[j] /= total
    return largest + np.log(total)


@kernel
def _score(q, k, first, n, scores):
    """scores[i] = q . k[first + i], four keys side by side."""
    zero = splat_float(np.float32(0))
    fours = n // 4 * 4
    for i in range(0, fours, 4):
        k0, k1, k2, k3 = k[first + i], k[first + i + 1], k[first + i + 2], k[first + i + 3]
        s0 = s1 = s2 = s3 = zero
        for j in range(0, q.size, 16):
            part = load_floats(q, j)
            for ahead in range(4):
                prefetch(k, (first + i + ahead) * q.size + j + _AHEAD)
            s0 = multiply_add(part, load_floats(k0, j), s0)
            s1 = multiply_add(part, load_floats(k1, j), s1)
            s2 = multiply_add(part, load_floats(k2, j), s2)
            s3 = multiply_add(part, load_floats(k3, j), s3)
        store_four_sums(scores, i, s0, s1, s2, s3)
    for i in range(fours, n):
        total = zero
        for j in range(0, q.size, 16):
            total = multiply_add(load_floats(q, j), load_floats(k[first + i], j), total)
        scores[i] = sum_of(total)


@kernel
def _add_values(p, v, first, n, correction, y):
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
            for ahead in range(0, 64, 16):
                prefetch(v, (first + i) * head_dim + j + ahead + _AHEAD)
            y0 = multiply_add(weight, load_floats(value, j), y0)
            y1 = multiply_add(weight, load_floats(value, j + 16), y1)
            y2 = multiply_add(weight, load_floats(value, j + 32), y2)
            y3 = multiply_add(weight, load_floats(value, j + 48), y3)
        store_floats(y, j, y0)
        store_floats(y, j + 16, y1)
        store_floats(y, j + 32, y2)
        store_floats(y, j + 48, y3)
    for j in range(fours, head_dim, 16):
        values = multiply(load_floats(y, j), c)
        for i in range(n):
            values = multiply_add(splat_float(p[i]), load_floats(v[first + i], j), values)
        store_floats(y, j, values)


@kernel
def _attend_in_vectors(q, k, v, n_keys, y):
    """16 numbers at a time, for a head_dim that is a multiple of 16."""
    head_dim = q.size
    scale = np.float32(1) / np.sqrt(np.float32(head_dim))
    scores = np.empty(_KEYS, np.float32)
    largest, total = np.float32(-np.inf), np.float32(0)
    y[:] = 0
    for first in range(0, n_keys, _KEYS):
        n = min(_KEYS, n_keys - first)
        new_largest = largest
        _score(q, k, first, n, scores)
        for i in range(n):
            scores[i] *= scale
            new_largest = max(new_largest, scores[i])
        for i in range(n, (n + 15) // 16 * 16):
            scores[i] = -np.inf  # fills the last vector; its exponential is 0
        correction = np.exp(largest - new_largest)
        total *= correction
        one, shift = splat_float(np.float32(1)), splat_float(-new_largest)
        for i in range(0, n, 16):
            p = exp(multiply_add(load_floats(scores, i), one, shift))
            store_floats(scores, i, p)
            total += sum_of(p)
        _add_values(scores, v, first, n, correction, y)
        largest = new_largest
    for j in range(head_dim):
        y[j] /= total
    return largest + np.log(total)


@kernel
def attend_one(q, k, v, n_keys, y):
    """One float32 query (head_dim,) over keys and values (S, head_dim); fills y, returns logsumexp."""
    if q.size % 16 == 0:
        return _attend_in_vectors(q, k, v, n_keys, y)
    return _attend_any_width(q, k, v, n_keys, y)


def _attend_body(q, k, v, positions, y, logsumexp):
    batch, n_heads, n_tokens, _ = q.shape
    group = n_heads // k.shape[1]
    for i in prange(batch * n_heads):
        b, h = i // n_heads, i % n_heads
        for t in range(n_tokens):
            logsumexp[b, h, t] = attend_one(
                q[b, h, t], k[b, h // group], v[b, h // group], positions[b, t] + 1, y[b, h, t]
            )


_attend_serial, _attend_parallel = kernel_pair(_attend_body)


def attend_few(q, k, v, positions, y, logsumexp):
    """Fill `y` (B, H, T, head_dim) and `logsumexp` (B, H, T) for a few queries T of float32."""
    work = (int(positions.max(initial=0)) + 1) * q.shape[0] * q.shape[1] * q.shape[2]
    (_attend_serial if work < _PARALLEL_SIZE else _attend_parallel)(q, k, v, positions, y, logsumexp)


@kernel
def _softmax_row_float32(scores, seen):
    """Softmax of the first `seen` numbers of a row in place, zeros behind them; returns logsumexp."""
    largest = np.float32(-np.inf)
    for s in range(seen):
        largest = max(largest, scores[s])
    whole = seen // 16 * 16
    one, shift = splat_float(np.float32(1)), splat_float(-largest)
    sums = splat_float(np.float32(0))
    for s in range(0, whole, 16):
        p = exp(multiply_add(load_floats(scores, s), one, shift))
        store_floats(scores, s, p)
        sums = multiply_add(p, one, sums)
    total = sum_of(sums)
    for s in range(whole, seen):
        scores[s] = np.exp(scores[s] - largest)
        total += scores[s]
    for s in range(seen):
        scores[s] /= total
    for s in range(seen, scores.size):
        scores[s] = 0
    return largest + np.log(total)


@kernel(parallel=True)
def _softmax_rows_float32(scores, positions, logsumexp):
    for t in prange(len(scores)):
        logsumexp[t] = _softmax_row_float32(scores[t], positions[t] + 1)


def softmax_rows(scores, positions, logsumexp):
    """Masked softmax of every row of `scores` (T, S) in place; row t sees keys <= positions[t]."""
    (_softmax_rows_float32 if scores.dtype == np.float32 else _softmax_rows)(scores, positions, logsumexp)


@kernel(parallel=True)
def _softmax_rows(scores, positions, logsumexp):
    n_rows, n_keys = scores.shape
    for t in prange(n_rows):
        seen = positions[t] + 1
        largest = scores.dtype.type(-np.inf)
        for s in range(seen):
            largest = max(largest, scores[t, s])
        total = scores.dtype.type(0)
        for s in range(seen):
            scores[t, s] = np.exp(scores[t, s] - largest)
            total += scores[t, s]
        for s in range(seen):
            scores[t, s] /= total
        for s in range(seen, n_keys):
            scores[t, s] = 0
        logsumexp[t] = largest + np.log(total)
