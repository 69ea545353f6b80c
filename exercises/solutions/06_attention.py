"""Chapter 06: causal attention. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np
from numba import njit, prange


def softmax_over_keys(scores):
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))  # exp(-inf) is 0
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def causal_mask(positions, n_keys):
    return np.arange(n_keys)[None, :] <= positions[:, None]


def attend_one_head(q, k, v, positions):
    scores = q @ k.T / np.float32(np.sqrt(q.shape[-1]))  # (T, S)
    scores = np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))
    return softmax_over_keys(scores) @ v


def split_into_heads(x, n_heads):
    return x.reshape(x.shape[0], x.shape[1], n_heads, -1).swapaxes(1, 2)


def attend_many_heads(q, k, v, positions):
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, H, T, S)
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]  # (B, 1, T, S)
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf))) @ v


def attend_online(q, k, v, block):
    largest, total, y = -np.inf, 0.0, np.zeros(len(q))
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.sqrt(len(q))
        new = max(largest, scores.max())
        correction, weights = np.exp(largest - new), np.exp(scores - new)  # the first correction is exp(-inf) = 0
        total = total * correction + weights.sum()
        y = y * correction + weights @ v[first : first + block]
        largest = new
    return (y / total).astype(np.float32)


@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def attend_decode(q, k, v, n_keys):
    n_heads, head_dim = q.shape
    y = np.zeros((n_heads, head_dim), np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for h in prange(n_heads):
        scores = np.empty(n_keys, np.float32)
        largest = np.float32(-np.inf)
        for s in range(n_keys):
            score = np.float32(0)
            for j in range(head_dim):
                score += q[h, j] * k[h, s, j]
            scores[s] = score * scale
            largest = max(largest, scores[s])
        total = np.float32(0)
        for s in range(n_keys):
            weight = np.exp(scores[s] - largest)
            total += weight
            for j in range(head_dim):
                y[h, j] += weight * v[h, s, j]
        for j in range(head_dim):
            y[h, j] /= total
    return y
