"""Chapter 10: the KV cache. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def chunk_mask(positions, n_keys):
    return np.arange(n_keys) <= positions[:, :, None]


def append_with_growth(buffer, length, new):
    needed, capacity = length + new.shape[1], buffer.shape[1]
    if needed > capacity:
        larger = np.zeros((buffer.shape[0], max(needed, 2 * capacity), buffer.shape[2]), buffer.dtype)
        larger[:, :capacity] = buffer
        buffer = larger
    buffer[:, length:needed] = new
    return buffer, needed


def attention_decode_step(q, k_new, v_new, k_cache, v_cache, lengths):
    y = np.empty_like(q)
    group = q.shape[1] // k_cache.shape[1]
    for b, n in enumerate(lengths):
        k_cache[b, :, n], v_cache[b, :, n] = k_new[b], v_new[b]
        k = np.repeat(k_cache[b, :, : n + 1], group, axis=0)  # (H, n + 1, head_dim)
        v = np.repeat(v_cache[b, :, : n + 1], group, axis=0)
        scores = np.einsum("hd,hsd->hs", q[b], k) / np.sqrt(q.shape[2])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        y[b] = np.einsum("hs,hsd->hd", weights / weights.sum(axis=-1, keepdims=True), v)
    return y


def plan_rewind(cached, wanted):
    keep = 0
    while keep < min(len(cached), len(wanted) - 1) and cached[keep] == wanted[keep]:
        keep += 1
    return keep, wanted[keep:]


def ring_slots(n_seen, window):
    slots = np.full(window, -1)
    for position in range(max(0, n_seen - window), n_seen):
        slots[position % window] = position
    return slots


def sliding_window_attention(q, k, v, positions, window):
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, H, S, head_dim)
    scores = q @ k.swapaxes(2, 3) / q.dtype.type(np.sqrt(q.shape[3]))
    distance = positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S)
    visible = (distance >= 0) & (distance < window)
    scores = np.where(visible[:, None], scores, q.dtype.type(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True) @ v
