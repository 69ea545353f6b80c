"""Chapter 07: MHA, MQA and GQA. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def key_head_of_query_heads(n_heads, n_kv_heads):
    return np.arange(n_heads) // (n_heads // n_kv_heads)


def repeat_kv_heads(k, group):
    return np.repeat(k, group, axis=1)


def grouped_attention(q, k, v, positions):
    grouped = q.reshape(len(q), k.shape[1], -1, *q.shape[2:])  # (B, K, H / K, T, head_dim)
    k, v = k[:, :, None], v[:, :, None]  # (B, K, 1, S, head_dim)
    scores = grouped @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, K, H / K, T, S)
    visible = np.arange(k.shape[3]) <= positions[:, None, None, :, None]
    scores = np.where(visible, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).reshape(q.shape)


def pool_heads_into_groups(w, n_heads, n_kv_heads):
    head_dim = len(w) // n_heads
    grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, head_dim, w.shape[1])
    return grouped.mean(axis=1).reshape(-1, w.shape[1])


def expand_groups_to_heads(w, n_heads, n_kv_heads):
    heads = w.reshape(n_kv_heads, -1, w.shape[1])  # (K, head_dim, D)
    return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])


def kv_cache_bytes_grouped(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    head_dim = dim // n_heads
    return 2 * n_layers * n_kv_heads * head_dim * n_tokens * bytes_per_number
