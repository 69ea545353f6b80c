"""Grouped-query attention."""

from __future__ import annotations

import math

import numpy as np

from ....layers.attention import attention_forward, attention_forward_fast
from ...exercises.exercise import Speed, exercise
from ..ch06_attention.inputs import AXES, make_heads, torch_attention
from ..ch06_attention.variants import attend, end_aligned, mask_after, seen_by_heads, unshifted, without_gaps


def grouped_naive(q, k, v, positions):
    batch, n_heads, n_tokens, head_dim = q.shape
    group, scale, y = n_heads // k.shape[1], 1 / math.sqrt(head_dim), np.empty_like(q)
    for b in range(batch):
        for h in range(n_heads):
            keys, values = k[b, h // group].tolist(), v[b, h // group].tolist()
            for t in range(n_tokens):
                query, n = q[b, h, t].tolist(), int(positions[b, t]) + 1
                scores = [scale * sum(a * c for a, c in zip(query, key)) for key in keys[:n]]
                largest = max(scores)
                weights = [math.exp(score - largest) for score in scores]
                total, sums = sum(weights), [0.0] * head_dim
                for weight, value in zip(weights, values):
                    for j in range(head_dim):
                        sums[j] += weight * value[j]
                y[b, h, t] = [x / total for x in sums]
    return y


def grouped_torch(q, k, v, positions):
    import torch

    group = q.shape[1] // k.shape[1]
    visible = torch.arange(k.shape[2]) <= positions[:, None, :, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=visible
    )


@exercise(
    title="Grouped-query attention",
    task="Causal attention where each key and value head serves a group of neighbouring query heads.",
    difficulty=3,
    minutes=30,
    same_as=lambda q, k, v, positions: attention_forward(q, k, v, positions)[0],
    replaces="attention",
    make=make_heads,
    shapes=(
        {"B": 1, "T": 2, "past": 0, "K": 2, "group": 2, "head_dim": 4},
        {"B": 1, "T": 1, "past": 0, "K": 1, "group": 1, "head_dim": 2},
        {"B": 2, "T": 3, "past": 0, "K": 1, "group": 3, "head_dim": 6},
        {"B": 2, "T": 3, "past": 2, "K": 3, "group": 1, "head_dim": 4},
        {"B": 3, "T": 1, "past": 7, "K": 3, "group": 2, "head_dim": 8},
        {"B": 3, "T": 5, "past": 4, "K": 2, "group": 3, "head_dim": 6},
        {"B": 1, "T": 33, "past": 0, "K": 2, "group": 4, "head_dim": 16},
    ),
    axes=AXES,
    oracle=torch_attention,
    rtol=3e-4,
    atol=1e-4,
    speed=Speed(
        dims={"B": 1, "T": 1, "past": 4095, "K": 4, "group": 4, "head_dim": 64},
        flops=lambda B, T, past, K, group, head_dim: 4.0 * B * T * K * group * (past + T) * head_dim,
        bytes=lambda B, T, past, K, group, head_dim: 8.0 * B * K * (past + T + T * group) * head_dim,
        fast=lambda q, k, v, positions: attention_forward_fast(q, k, v, positions)[0],
        naive=grouped_naive,
        torch=grouped_torch,
    ),
    hints=(
        "The short way: repeat k and v along the head's axis until there are as many as queries, then the attention of "
        "chapter 06. The way without copies: give the group an axis of its own.",
        "q.reshape(B, K, H // K, T, head_dim) puts the queries of a group together; k[:, :, None] has shape "
        "(B, K, 1, S, head_dim), and the matrix product broadcasts over the group.",
        "grouped = q.reshape(B, K, -1, T, head_dim)\n"
        "scores = grouped @ k[:, :, None].swapaxes(-1, -2) / np.sqrt(head_dim)   # (B, K, H / K, T, S)\n"
        "visible = np.arange(S) <= positions[:, None, None, :, None]\n"
        "weights = softmax_over_keys(np.where(visible, scores, -np.inf))\n"
        "return (weights @ v[:, :, None]).reshape(q.shape)",
    ),
    why=(
        "A reshape splits the axis of query heads into key head and place in the group, without moving a number, and "
        "an axis of 1 lets the group share its key. Nothing is copied, so keys and values stay as small as they are "
        "stored. All else is attention as it was, with the scale of one head."
    ),
)
def grouped_attention(q, k, v, positions):
    """Causal attention where K key and value heads serve H query heads.

    Each query head does what `attend_one_head` does (06), with the keys and values of the head that
    `key_head_of_query_heads` names: of 6 query heads and 2 key heads, 0, 1 and 2 read key head 0.

    A model can run on this function. For speed: loop over the key heads, and let the whole group
    use a key while it is at hand.

    Parameters
    ----------
    q : float32 ndarray of shape (B, H, T, head_dim)
    k, v : float32 ndarray of shape (B, K, S, head_dim)
        The cache may be longer than what has been written to it.
    positions : integer ndarray of shape (B, T)
        All below S; each sequence has its own. They rise, and there may be gaps.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim)
    """
    grouped = q.reshape(len(q), k.shape[1], -1, *q.shape[2:])  # (B, K, H / K, T, head_dim)
    k, v = k[:, :, None], v[:, :, None]  # (B, K, 1, S, head_dim)
    scores = grouped @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, K, H / K, T, S)
    visible = np.arange(k.shape[3]) <= positions[:, None, None, :, None]
    scores = np.where(visible, scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return (weights @ v).reshape(q.shape)


def tile(a, n):
    return np.tile(a, (1, n, 1, 1))


def repeat(a, n):
    return np.repeat(a, n, axis=1)


def _grouped(q, k, v, positions, *, keys=repeat, values=repeat, late=0, visible=None, attention=attend, **how):
    """Grouped attention from repeated heads, with a part exchanged."""
    group = q.shape[1] // k.shape[1]
    visible = seen_by_heads(positions + late, k.shape[2]) if visible is None else visible
    return attention(q, keys(k, group), values(v, group), visible, **how)


@grouped_attention.mistake(
    "Your query heads take the key heads in turn: head j reads key head j % n_kv_heads.",
    "Neighbours share: head j reads key head j // (n_heads / n_kv_heads). np.repeat, not np.tile; in PyTorch "
    "repeat_interleave, not repeat.",
)
def query_heads_take_key_heads_in_turn(q, k, v, positions):
    return _grouped(q, k, v, positions, keys=tile, values=tile)


@grouped_attention.mistake(
    "Your keys are repeated, but your values are tiled.",
    "A query head reads keys and values of the same head, j // group for both.",
)
def repeats_keys_and_tiles_values(q, k, v, positions):
    return _grouped(q, k, v, positions, values=tile)


@grouped_attention.mistake(
    "Your values are repeated, but your keys are tiled.",
    "A query head reads keys and values of the same head, j // group for both.",
)
def repeats_values_and_tiles_keys(q, k, v, positions):
    return _grouped(q, k, v, positions, keys=tile)


@grouped_attention.mistake(
    "All your query heads read key head 0.",
    "That is right only for n_kv_heads = 1. Head j reads key head j // (n_heads / n_kv_heads).",
)
def all_query_heads_read_key_head_0(q, k, v, positions):
    return _grouped(q, k[:, :1], v[:, :1], positions)


@grouped_attention.mistake(
    "Your heads are computed rightly and come out in the wrong order.",
    "After a reshape to (B, K, group, ...) head j is at [j // group, j % group]: keep these two axes in this "
    "order when you reshape back.",
)
def grouped_out_of_order(q, k, v, positions):
    """The heads of the result in the order (place in the group, group)."""
    y = _grouped(q, k, v, positions)
    grouped = y.reshape(len(y), k.shape[1], -1, *y.shape[2:])  # (B, K, H / K, T, head_dim)
    return grouped.swapaxes(1, 2).reshape(y.shape)


@grouped_attention.mistake(
    "Your scores are divided by sqrt(dim), the width of all query heads together.",
    "A dot product runs over one head, whoever shares it: sqrt(head_dim).",
)
def scores_are_divided_by_sqrt_of_the_width(q, k, v, positions):
    return _grouped(q, k, v, positions, scale=math.sqrt(q.shape[1] * q.shape[3]))


@grouped_attention.mistake(
    "Your scores are divided by the square root of n_kv_heads * head_dim.",
    "The scale does not depend on the number of heads: sqrt(head_dim).",
)
def scores_are_divided_by_another_root(q, k, v, positions):
    return _grouped(q, k, v, positions, scale=math.sqrt(k.shape[1] * q.shape[3]))


@grouped_attention.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "Without the scale the softmax is far too sharp.",
)
def scores_are_not_divided(q, k, v, positions):
    return _grouped(q, k, v, positions, scale=1)


@grouped_attention.mistake(
    "Your function adds up the queries of a group before it looks at the keys.",
    "The group shares keys and values, not queries: each of its heads has scores and a softmax of its own.",
)
def adds_up_queries_of_group_before(q, k, v, positions):
    return repeat(
        attend(q.reshape(len(q), k.shape[1], -1, *q.shape[2:]).sum(2), k, v, seen_by_heads(positions, k.shape[2])),
        q.shape[1] // k.shape[1],
    )


@grouped_attention.mistake(
    "Your queries see one token of the future: the mask is off by one.",
    "A query at position m sees keys 0 ... m.",
)
def queries_see_one_token_of_future(q, k, v, positions):
    return _grouped(q, k, v, positions, late=1)


@grouped_attention.mistake(
    "Your queries do not see themselves.",
    "A query at position m sees keys 0 ... m, with m: <=, not <.",
)
def queries_do_not_see_themselves(q, k, v, positions):
    return _grouped(q, k, v, positions, late=-1)


@grouped_attention.mistake(
    "Your function masks after the softmax: the remaining weights do not sum to 1.",
    "Set scores of hidden keys to -inf before the softmax.",
)
def masks_after_softmax(q, k, v, positions):
    return _grouped(q, k, v, positions, attention=mask_after)


@grouped_attention.mistake(
    "Your softmax runs over the queries.",
    "The weights of one query sum to 1 along the last axis of the scores, the keys.",
)
def softmax_runs_over_queries(q, k, v, positions):
    return _grouped(q, k, v, positions, axis=-2)


@grouped_attention.mistake(
    "Your mask takes the last query for the last key.",
    "That holds only while the cache is exactly full. There may be room after the last token, and gaps: compare the "
    "keys with `positions`.",
)
def mask_takes_last_query_for_last_key(q, k, v, positions):
    return _grouped(q, k, v, positions, visible=end_aligned(q.shape[2], k.shape[2]))


@grouped_attention.mistake(
    "Your mask lets the positions run on by one from the first of each sequence.",
    "There may be gaps: compare the keys with every query's own position, positions[b, t].",
)
def positions_run_on(q, k, v, positions):
    return _grouped(q, k, v, without_gaps(positions))


@grouped_attention.mistake(
    "Your function uses the first sequence's positions for the whole batch.",
    "Every sequence of a batch has its own positions: the mask has an axis for the batch.",
)
def uses_the_first_positions_for_all(q, k, v, positions):
    return _grouped(q, k, v, positions[:1])


@grouped_attention.mistake(
    "Your function takes the exponential of scores as they are, and large ones overflow.",
    "float32 ends at exp(88), and far below every exponential is 0: 0 / 0. Subtract the row's largest score first.",
)
def grouped_overflowing(q, k, v, positions):
    return _grouped(q, k, v, positions, attention=unshifted)
