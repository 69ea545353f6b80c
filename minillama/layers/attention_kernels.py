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

from ..jit import kernel

_KEYS = 64  # keys whose scores are held at a time
# Keys times heads from which on a second thread pays.
_PARALLEL_SIZE = 1_024


@kernel
def attend_one(q, k, v, n_keys, y):
    """One query (head_dim,) over keys and values (S, head_dim); fills y, returns logsumexp."""
    head_dim = q.size
    scale = q.dtype.type(1) / np.sqrt(q.dtype.type(head_dim))
    scores = np.empty(_KEYS, q.dtype)
    largest, total = q.dtype.type(-np.inf), q.dtype.type(0)
    y[:] = 0
    for first in range(0, n_keys, _KEYS):
        n = min(_KEYS, n_keys - first)
        new_largest = largest
        for i in range(n):
            score = q.dtype.type(0)
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
def _attend_serial(q, k, v, positions, y, logsumexp):
    batch, n_heads, n_tokens, _ = q.shape
    group = n_heads // k.shape[1]
    for b in range(batch):
        for h in range(n_heads):
            for t in range(n_tokens):
                logsumexp[b, h, t] = attend_one(
                    q[b, h, t], k[b, h // group], v[b, h // group], positions[b, t] + 1, y[b, h, t]
                )


@kernel(parallel=True)
def _attend_parallel(q, k, v, positions, y, logsumexp):
    batch, n_heads, n_tokens, _ = q.shape
    group = n_heads // k.shape[1]
    for i in prange(batch * n_heads):
        b, h = i // n_heads, i % n_heads
        for t in range(n_tokens):
            logsumexp[b, h, t] = attend_one(
                q[b, h, t], k[b, h // group], v[b, h // group], positions[b, t] + 1, y[b, h, t]
            )


def attend_few(q, k, v, positions, y, logsumexp):
    """Fill `y` (B, H, T, head_dim) and `logsumexp` (B, H, T) for a few queries T."""
    work = (int(positions.max(initial=0)) + 1) * q.shape[0] * q.shape[1] * q.shape[2]
    (_attend_serial if work < _PARALLEL_SIZE else _attend_parallel)(q, k, v, positions, y, logsumexp)


@kernel(parallel=True)
def softmax_rows(scores, positions, logsumexp):
    """Masked softmax of every row of `scores` (T, S) in place; row t sees keys <= positions[t]."""
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
