"""One token with a cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.attention import attention_forward_fast
from ...exercises.exercise import Speed, exercise


def make_decode(rng: np.random.Generator, B: int, H: int, K: int, S: int, head_dim: int) -> tuple[Any, ...]:
    """A cache whose rows have different lengths, with stale numbers after them.

    Where heads are wide the first and the last have scores near 760 and -760: exp of them leaves float64.
    """
    if H % K or S < 3:
        raise ValueError("H must be a multiple of K, and there must be room for a new token")
    q = 2 * rng.normal(size=(B, H, head_dim)).astype(np.float32)
    k_new, v_new = rng.normal(size=(2, B, K, head_dim)).astype(np.float32)
    k_cache, v_cache = rng.normal(size=(2, B, K, S, head_dim)).astype(np.float32)
    if head_dim == 16:  # all scores are exact in float32
        q[0, [0, -1]] = 0
        q[0, [0, -1], 0] = 4 * 760, -4 * 760
        k_new[0, :, 0] = 1
        k_cache[0, :, :, 0] = 1 + rng.integers(-8, 9, (K, S)) / 512
        k_cache[0, 0, 0, 0] = 0
    lengths = rng.integers(1, S - 1, B)
    if B > 1:
        lengths[0], lengths[-1] = S - 2, 0
    return q, k_new, v_new, k_cache, v_cache, lengths


def observe_decode(function, args):
    y = function(*args)
    return y, args[3], args[4], args[5]


def store(k_new, v_new, k_cache, v_cache, where):
    for b, position in enumerate(where):
        k_cache[b, :, position] = k_new[b]
        v_cache[b, :, position] = v_new[b]


def torch_decode(q, k_new, v_new, k_cache, v_cache, lengths):
    """Without a cache: whole sequences through PyTorch, of which only the last row is kept."""
    import torch

    rows = []
    for b, n in enumerate(lengths):
        k = torch.tensor(np.concatenate((k_cache[b, :, :n], k_new[b][:, None]), axis=1), dtype=torch.float64)
        v = torch.tensor(np.concatenate((v_cache[b, :, :n], v_new[b][:, None]), axis=1), dtype=torch.float64)
        query = torch.zeros(q.shape[1], n + 1, q.shape[2], dtype=torch.float64)
        query[:, -1] = torch.tensor(q[b])
        y = torch.nn.functional.scaled_dot_product_attention(
            query[None], k[None], v[None], is_causal=True, enable_gqa=True
        )
        rows.append(y[0, :, -1].numpy())
    store(k_new, v_new, k_cache, v_cache, lengths)
    return np.stack(rows)


def decode_naive(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    y = np.zeros_like(q)
    group = q.shape[1] // k_cache.shape[1]
    for b in range(q.shape[0]):
        for j in range(q.shape[1]):
            scores = []
            for s in range(lengths[b] + 1):
                dot = 0.0
                for d in range(q.shape[2]):
                    dot += float(q[b, j, d]) * float(k_cache[b, j // group, s, d])
                scores.append(dot / q.shape[2] ** 0.5)
            weights = [np.exp(score - max(scores)) for score in scores]
            for s, weight in enumerate(weights):
                for d in range(q.shape[2]):
                    y[b, j, d] += weight / sum(weights) * v_cache[b, j // group, s, d]
    return y


def decode_fast(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    return attention_forward_fast(q[:, :, None], k_cache, v_cache, lengths[:, None])[0][:, :, 0]


def decode_in_torch(q, k_new, v_new, k_cache, v_cache, lengths):
    import torch

    rows = torch.arange(len(q))
    k_cache[rows, :, lengths], v_cache[rows, :, lengths] = k_new, v_new
    visible = torch.arange(k_cache.shape[2]) <= lengths[:, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q[:, :, None], k_cache, v_cache, attn_mask=visible[:, None, None], enable_gqa=True
    )[:, :, 0]


@exercise(
    title="One token with a cache",
    task="Store the new token's key and value, and attend from its query to everything its sequence holds.",
    writes_to=("k_cache", "v_cache"),
    difficulty=3,
    minutes=25,
    make=make_decode,
    observe=observe_decode,
    outputs=("y", "k_cache", "v_cache", "lengths"),
    oracle=torch_decode,
    shapes=(
        {"B": 1, "H": 1, "K": 1, "S": 3, "head_dim": 2},
        {"B": 1, "H": 2, "K": 1, "S": 5, "head_dim": 4},
        {"B": 2, "H": 4, "K": 2, "S": 7, "head_dim": 6},
        {"B": 3, "H": 9, "K": 3, "S": 12, "head_dim": 8},
        {"B": 3, "H": 6, "K": 2, "S": 33, "head_dim": 16},
    ),
    axes=("batch", "head", "dim"),
    hints=(
        "The new token stands at position lengths[b], the first free one. After its key and value are stored there, "
        "the query sees the keys 0 ... lengths[b]: no other mask is needed, for it is the last token.",
        "Loop over the batch: each sequence has another length n. Keys k_cache[b, :, : n + 1] have K heads; the H "
        "query heads share them in groups of neighbours (np.repeat along the head axis, or a reshape of q to "
        "(K, H / K, head_dim)).",
        "k_cache[b, :, n] = k_new[b]; v_cache[b, :, n] = v_new[b]\n"
        "k = np.repeat(k_cache[b, :, : n + 1], H // K, axis=0)       # (H, n + 1, head_dim), v likewise\n"
        "scores = np.einsum('hd,hsd->hs', q[b], k) / np.sqrt(head_dim)\n"
        "weights = softmax over s;  y[b] = np.einsum('hs,hsd->hd', weights, v)",
    ),
    why=(
        "Key and value are stored before the scores are taken, since a token sees itself. A slice up to n + 1 hides "
        "stale room without a mask, and because each sequence ends elsewhere, they are handled one by one. One query "
        "meets all keys, so a step costs as much as the text is long, not its square."
    ),
    speed=Speed(
        dims={"B": 1, "H": 9, "K": 3, "S": 4096, "head_dim": 64},
        flops=lambda B, H, K, S, head_dim: 4.0 * B * H * S * head_dim,
        bytes=lambda B, H, K, S, head_dim: 4.0 * 2 * B * K * S * head_dim,
        naive=decode_naive,
        fast=decode_fast,
        torch=decode_in_torch,
    ),
)
def attention_decode_step(q, k_new, v_new, k_cache, v_cache, lengths):
    """Attention of one new token for each sequence of a batch, with a cache.

    Stores the new key and value of sequence b at position n = lengths[b], and returns

    y[b, j] = sum over s = 0 ... n of softmax_s(q[b, j] . k[b, g, s] / sqrt(head_dim)) v[b, g, s]

    with g = j // (H / K), the key head of query head j. Chapter 07 explains the groups. Scores may be as
    large as 2000 in size, where exp overflows.

    Parameters
    ----------
    q : ndarray of shape (B, H, head_dim)
        Rotated (chapter 05), as are all keys.
    k_new, v_new : ndarray of shape (B, K, head_dim)
    k_cache, v_cache : ndarray of shape (B, K, S, head_dim)
        Written to. What lies past `lengths` is stale and must not count.
    lengths : integer ndarray of shape (B,)
        Tokens that each sequence holds, 0 among them; always below S. The caller counts them up.

    Returns
    -------
    y : ndarray of shape (B, H, head_dim), same dtype as `q`
    """
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


def attend(q, k, v, visible, scale):
    """Attention with any mask (B, S); k and v already have H heads."""
    scores = np.einsum("bhd,bhsd->bhs", q, k) * scale
    scores = np.where(visible[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("bhs,bhsd->bhd", weights / weights.sum(axis=-1, keepdims=True), v).astype(q.dtype)


def decode_with(q, k_cache, v_cache, visible, *, scale=None, tiled=False):
    group = q.shape[1] // k_cache.shape[1]
    heads = np.arange(q.shape[1]) % k_cache.shape[1] if tiled else np.arange(q.shape[1]) // group
    scale = q.shape[2] ** -0.5 if scale is None else scale
    return attend(q, k_cache[:, heads], v_cache[:, heads], visible, scale)


@attention_decode_step.mistake(
    "Your query does not see its own token.",
    "The new key is at index lengths[b]: a slice up to and including it is [: lengths[b] + 1].",
)
def decode_without_itself(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    return decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) < lengths[:, None])


@attention_decode_step.mistake(
    "Your query does not see its own token, and a sequence without tokens has no key at all.",
    "The new key is at index lengths[b]: a slice up to and including it is [: lengths[b] + 1].",
)
def decode_slice_too_short(q, k_new, v_new, k_cache, v_cache, lengths):
    if min(lengths) == 0:
        raise ValueError("the largest of no scores")  # as scores.max() raises it
    return decode_without_itself(q, k_new, v_new, k_cache, v_cache, lengths)


@attention_decode_step.mistake(
    "Your query sees the whole array, unused room included.",
    "Past lengths[b] there is stale memory, or what `rewind` has left there: cut the keys off, or mask them.",
)
def decode_whole_array(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    return decode_with(q, k_cache, v_cache, np.ones((len(q), k_cache.shape[2]), bool))


@attention_decode_step.mistake(
    "Your function takes the longest sequence's length for all.",
    "Sequences of a batch differ in length: row b ends at lengths[b].",
)
def decode_to_longest(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    visible = np.broadcast_to(np.arange(k_cache.shape[2]) <= lengths.max(), (len(q), k_cache.shape[2]))
    return decode_with(q, k_cache, v_cache, visible)


@attention_decode_step.mistake(
    "Your function gives key head h % K to query head h (np.tile).",
    "Neighbouring query heads share one: key head h // (H / K), np.repeat.",
)
def decode_tiled(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    return decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= lengths[:, None], tiled=True)


@attention_decode_step.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "The same scale as without a cache: q . k / sqrt(head_dim).",
)
def decode_unscaled(q, k_new, v_new, k_cache, v_cache, lengths):
    store(k_new, v_new, k_cache, v_cache, lengths)
    return decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= lengths[:, None], scale=1.0)


@attention_decode_step.mistake(
    "Your result is right, but the new key and value are not in the cache.",
    "The next token needs them: write into k_cache and v_cache, not into a copy.",
)
def decode_not_stored(q, k_new, v_new, k_cache, v_cache, lengths):
    return attention_decode_step(q, k_new, v_new, k_cache.copy(), v_cache.copy(), lengths)


@attention_decode_step.mistake(
    "Your function overwrites the last token of each sequence.",
    "lengths[b] tokens are at 0 ... lengths[b] - 1: the first free position is lengths[b].",
)
def decode_overwrites_last(q, k_new, v_new, k_cache, v_cache, lengths):
    before = np.maximum(lengths - 1, 0)
    store(k_new, v_new, k_cache, v_cache, before)
    return decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= before[:, None])
