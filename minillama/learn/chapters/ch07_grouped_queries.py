"""Chapter 07, grouped queries: which key head a query head reads, the kernel, pooling, the two limits, bytes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...layers.attention import attention_forward, attention_forward_fast
from ..exercise import Exercise, Mistake, Speed
from .ch06_attention import AXES, as_op, attend, make_heads, mask_after, seen_by_heads, torch_attention

# --- key_head_of_query_heads --------------------------------------------------------------


def _make_counts(rng: np.random.Generator, K: int, group: int) -> tuple[Any, ...]:
    return K * group, K


KEY_HEAD_OF_QUERY_HEADS = Exercise(
    id="key_head_of_query_heads",
    chapter="07",
    title="Which key head?",
    task="For every query head the number of the key head that it reads: neighbours share one.",
    difficulty=1,
    minutes=5,
    reference=lambda n_heads, n_kv_heads: [j // (n_heads // n_kv_heads) for j in range(n_heads)],
    make=_make_counts,
    shapes=(
        {"K": 2, "group": 2},
        {"K": 1, "group": 1},
        {"K": 1, "group": 3},
        {"K": 3, "group": 1},
        {"K": 2, "group": 3},
        {"K": 3, "group": 2},
        {"K": 8, "group": 8},
    ),
    exact=True,
    hints=(
        "With 6 query heads and 2 key heads, heads 0, 1 and 2 read key head 0, heads 3, 4 and 5 read key head 1. How "
        "many query heads belong to one key head?",
        "The group has n_heads / n_kv_heads query heads. The key head of query head j is j divided by the size of the "
        "group, rounded down.",
        "return np.arange(n_heads) // (n_heads // n_kv_heads)",
    ),
    mistakes=(
        Mistake(
            "Your function deals the key heads out in turn: j % n_kv_heads (tile, not repeat).",
            "Neighbouring query heads share a key head: 0 0 1 1, not 0 1 0 1. The weights were trained that way round.",
            lambda n_heads, n_kv_heads: [j % n_kv_heads for j in range(n_heads)],
        ),
        Mistake(
            "Your function divides by the number of key heads instead of by the size of a group.",
            "A group has n_heads // n_kv_heads query heads: that is what to divide by.",
            lambda n_heads, n_kv_heads: [j // n_kv_heads for j in range(n_heads)],
        ),
        Mistake(
            "Your function gives every query head a key head of its own.",
            "That is multi-head attention. There are only n_kv_heads key heads.",
            lambda n_heads, n_kv_heads: list(range(n_heads)),
        ),
        Mistake(
            "Your function gives all query heads key head 0.",
            "That is multi-query attention, the limit n_kv_heads = 1.",
            lambda n_heads, n_kv_heads: [0] * n_heads,
        ),
        Mistake(
            "Your function takes the place within the group for the number of the group.",
            "j % group counts 0 ... group - 1 within each group; j // group numbers the groups.",
            lambda n_heads, n_kv_heads: [j % (n_heads // n_kv_heads) for j in range(n_heads)],
        ),
        Mistake(
            "Your function numbers the key heads from the last to the first.",
            "Query head 0 reads key head 0.",
            lambda n_heads, n_kv_heads: [n_kv_heads - 1 - j // (n_heads // n_kv_heads) for j in range(n_heads)],
        ),
    ),
)

# --- repeat_kv_heads ----------------------------------------------------------------------


def _make_keys(rng: np.random.Generator, B: int, K: int, group: int, S: int, head_dim: int) -> tuple[Any, ...]:
    return rng.normal(size=(B, K, S, head_dim)).astype(np.float32), group


def _torch_repeat(k, group):
    import torch

    return torch.tensor(k).repeat_interleave(group, dim=1).numpy()


def _repeat_flat(k, group):
    return np.repeat(k, group).reshape(k.shape[0], -1, *k.shape[2:])


def _repeat_positions(k, group):
    return np.repeat(k, group, axis=2).reshape(k.shape[0], -1, *k.shape[2:])


def _repeat_batch(k, group):
    return np.tile(k, (group, 1, 1, 1)).reshape(k.shape[0], -1, *k.shape[2:])


REPEAT_KV_HEADS = Exercise(
    id="repeat_kv_heads",
    chapter="07",
    title="Copies of the key heads",
    task="Repeat every key head `group` times, so that there are as many as query heads: Meta's repeat_kv.",
    difficulty=1,
    minutes=5,
    reference=lambda k, group: np.repeat(k, group, axis=1),
    make=_make_keys,
    shapes=(
        {"B": 1, "K": 2, "group": 2, "S": 2, "head_dim": 2},
        {"B": 1, "K": 1, "group": 1, "S": 1, "head_dim": 2},
        {"B": 2, "K": 1, "group": 3, "S": 4, "head_dim": 2},
        {"B": 3, "K": 3, "group": 2, "S": 5, "head_dim": 4},
        {"B": 2, "K": 2, "group": 4, "S": 3, "head_dim": 6},
    ),
    axes=("batch", "head", "key", "dim"),
    oracle=_torch_repeat,
    hints=(
        "The copies of a head stand side by side: heads a, b become a, a, b, b. NumPy has a function that repeats "
        "along an axis.",
        "np.tile gives a, b, a, b; np.repeat gives a, a, b, b. The head is axis 1.",
        "return np.repeat(k, group, axis=1)",
    ),
    mistakes=(
        Mistake(
            "Your function tiles: heads a, b become a, b, a, b.",
            "Neighbours share a key head: a, a, b, b. In NumPy np.repeat, in PyTorch repeat_interleave (Tensor.repeat "
            "is NumPy's tile).",
            lambda k, group: np.tile(k, (1, group, 1, 1)),
        ),
        Mistake(
            "Your function repeats single numbers, not heads.",
            "np.repeat without an axis flattens first: say axis=1.",
            _repeat_flat,
        ),
        Mistake(
            "Your function repeats the keys of each head.",
            "Axis 2 is the key's position. What is shared are heads: axis 1.",
            _repeat_positions,
        ),
        Mistake(
            "Your function mixes the sequences of the batch.",
            "Repeat along axis 1, the head; a reshape over (batch, head) must keep the batch in front.",
            _repeat_batch,
        ),
        Mistake(
            "All your heads are copies of head 0.",
            "Each of the K heads has to be there, `group` times.",
            lambda k, group: np.repeat(k[:, :1], group * k.shape[1], axis=1),
        ),
    ),
)

# --- grouped_attention --------------------------------------------------------------------


def _tile(a, n):
    return np.tile(a, (1, n, 1, 1))


def _repeat(a, n):
    return np.repeat(a, n, axis=1)


def _grouped(q, k, v, positions, *, keys=_repeat, values=_repeat, late=0, attention=attend, **how):
    """Grouped attention from repeated heads, with a part exchanged."""
    group = q.shape[1] // k.shape[1]
    return attention(q, keys(k, group), values(v, group), seen_by_heads(positions + late, k.shape[2]), **how)


def _grouped_out_of_order(q, k, v, positions):
    """The heads of the result in the order (place in the group, group)."""
    y = _grouped(q, k, v, positions)
    grouped = y.reshape(len(y), k.shape[1], -1, *y.shape[2:])  # (B, K, H / K, T, head_dim)
    return grouped.swapaxes(1, 2).reshape(y.shape)


def _grouped_naive(q, k, v, positions):
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


def _grouped_torch(q, k, v, positions):
    import torch

    group = q.shape[1] // k.shape[1]
    visible = torch.arange(k.shape[2]) <= positions[:, None, :, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1), attn_mask=visible
    )


GROUPED_ATTENTION = Exercise(
    id="grouped_attention",
    chapter="07",
    title="Grouped-query attention",
    task="Causal attention where each key and value head serves a group of neighbouring query heads.",
    difficulty=3,
    minutes=30,
    reference=lambda q, k, v, positions: attention_forward(q, k, v, positions)[0],
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
    op=as_op,
    atol=1e-5,
    speed=Speed(
        dims={"B": 1, "T": 1, "past": 4095, "K": 4, "group": 4, "head_dim": 64},
        flops=lambda B, T, past, K, group, head_dim: 4.0 * B * T * K * group * (past + T) * head_dim,
        bytes=lambda B, T, past, K, group, head_dim: 8.0 * B * K * (past + T + T * group) * head_dim,
        fast=lambda q, k, v, positions: attention_forward_fast(q, k, v, positions)[0],
        naive=_grouped_naive,
        torch=_grouped_torch,
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
    mistakes=(
        Mistake(
            "Your query heads take the key heads in turn: head j reads key head j % n_kv_heads.",
            "Neighbours share: head j reads key head j // (n_heads / n_kv_heads). np.repeat, not np.tile; in PyTorch "
            "repeat_interleave, not repeat.",
            lambda q, k, v, p: _grouped(q, k, v, p, keys=_tile, values=_tile),
        ),
        Mistake(
            "Your keys are repeated, but your values are tiled.",
            "A query head reads keys and values of the same head, j // group for both.",
            lambda q, k, v, p: _grouped(q, k, v, p, values=_tile),
        ),
        Mistake(
            "Your values are repeated, but your keys are tiled.",
            "A query head reads keys and values of the same head, j // group for both.",
            lambda q, k, v, p: _grouped(q, k, v, p, keys=_tile),
        ),
        Mistake(
            "All your query heads read key head 0.",
            "That is right only for n_kv_heads = 1. Head j reads key head j // (n_heads / n_kv_heads).",
            lambda q, k, v, p: _grouped(q, k[:, :1], v[:, :1], p),
        ),
        Mistake(
            "Your heads are computed rightly and come out in the wrong order.",
            "After a reshape to (B, K, group, ...) head j is at [j // group, j % group]: keep these two axes in this "
            "order when you reshape back.",
            _grouped_out_of_order,
        ),
        Mistake(
            "Your scores are divided by sqrt(dim), the width of all query heads together.",
            "A dot product runs over one head, whoever shares it: sqrt(head_dim).",
            lambda q, k, v, p: _grouped(q, k, v, p, scale=math.sqrt(q.shape[1] * q.shape[3])),
        ),
        Mistake(
            "Your scores are divided by the square root of n_kv_heads * head_dim.",
            "The scale does not depend on the number of heads: sqrt(head_dim).",
            lambda q, k, v, p: _grouped(q, k, v, p, scale=math.sqrt(k.shape[1] * q.shape[3])),
        ),
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "Without the scale the softmax is far too sharp.",
            lambda q, k, v, p: _grouped(q, k, v, p, scale=1),
        ),
        Mistake(
            "Your function adds up the queries of a group before it looks at the keys.",
            "The group shares keys and values, not queries: each of its heads has scores and a softmax of its own.",
            lambda q, k, v, p: _repeat(
                attend(q.reshape(len(q), k.shape[1], -1, *q.shape[2:]).sum(2), k, v, seen_by_heads(p, k.shape[2])),
                q.shape[1] // k.shape[1],
            ),
        ),
        Mistake(
            "Your queries see one token of the future: the mask is off by one.",
            "A query at position m sees keys 0 ... m.",
            lambda q, k, v, p: _grouped(q, k, v, p, late=1),
        ),
        Mistake(
            "Your queries do not see themselves.",
            "A query at position m sees keys 0 ... m, with m: <=, not <.",
            lambda q, k, v, p: _grouped(q, k, v, p, late=-1),
        ),
        Mistake(
            "Your function masks after the softmax: the remaining weights do not sum to 1.",
            "Set scores of hidden keys to -inf before the softmax.",
            lambda q, k, v, p: _grouped(q, k, v, p, attention=mask_after),
        ),
        Mistake(
            "Your softmax runs over the queries.",
            "The weights of one query sum to 1 along the last axis of the scores, the keys.",
            lambda q, k, v, p: _grouped(q, k, v, p, axis=-2),
        ),
    ),
)

# --- pool_heads_into_groups and expand_groups_to_heads -------------------------------------


def _make_heads_rows(rng: np.random.Generator, K: int, group: int, head_dim: int, D: int) -> tuple[Any, ...]:
    """The rows of wk or wv for K * group heads; the columns are many enough to be halved by mistake."""
    return rng.normal(size=(K * group * head_dim, D)).astype(np.float32), K * group, K


def _by_head(w, n_heads):
    return w.reshape(n_heads, -1, w.shape[1])  # (head, head_dim, D)


def _pool(w, n_heads, n_kv_heads):
    head_dim = len(w) // n_heads
    return w.reshape(n_kv_heads, -1, head_dim, w.shape[1]).mean(axis=1).reshape(-1, w.shape[1])


def _pool_tiled(w, n_heads, n_kv_heads):
    head_dim = len(w) // n_heads
    return w.reshape(-1, n_kv_heads, head_dim, w.shape[1]).mean(axis=0).reshape(-1, w.shape[1])


def _pool_rows(w, n_heads, n_kv_heads):
    return w.reshape(-1, n_heads // n_kv_heads, w.shape[1]).mean(axis=1)


def _pool_first(w, n_heads, n_kv_heads):
    return _by_head(w, n_heads)[:: n_heads // n_kv_heads].reshape(-1, w.shape[1])


def _pool_front(w, n_heads, n_kv_heads):
    return _by_head(w, n_heads)[:n_kv_heads].reshape(-1, w.shape[1])


def _pool_all(w, n_heads, n_kv_heads):
    return np.tile(_by_head(w, n_heads).mean(axis=0), (n_kv_heads, 1))


_POOL_SHAPES = (
    {"K": 2, "group": 2, "head_dim": 2, "D": 1},
    {"K": 1, "group": 1, "head_dim": 2, "D": 1},
    {"K": 1, "group": 3, "head_dim": 4, "D": 5},
    {"K": 3, "group": 1, "head_dim": 2, "D": 4},
    {"K": 2, "group": 3, "head_dim": 4, "D": 3},
    {"K": 4, "group": 2, "head_dim": 8, "D": 20},
)

POOL_HEADS_INTO_GROUPS = Exercise(
    id="pool_heads_into_groups",
    chapter="07",
    title="From MHA to GQA",
    task="Make the key (or value) weights of a GQA model from those of an MHA model: the mean over each group's heads.",
    difficulty=2,
    minutes=10,
    reference=_pool,
    make=_make_heads_rows,
    shapes=_POOL_SHAPES,
    axes=("row", "column"),
    hints=(
        "Row h * head_dim + i of w belongs to head h. Which heads belong to one group, and which of their rows are "
        "averaged with one another?",
        "A reshape to (n_kv_heads, group, head_dim, D) gives each index an axis. The mean goes over the group.",
        "head_dim = len(w) // n_heads\n"
        "grouped = w.reshape(n_kv_heads, n_heads // n_kv_heads, head_dim, w.shape[1])\n"
        "return grouped.mean(axis=1).reshape(n_kv_heads * head_dim, w.shape[1])",
    ),
    mistakes=(
        Mistake(
            "Your function averages neighbouring rows, not heads.",
            "Rows next to one another are dims of one head. Average row i of each head of the group.",
            _pool_rows,
        ),
        Mistake(
            "Your function averages heads that are n_kv_heads apart.",
            "A group is made of neighbouring heads: split the heads in (n_kv_heads, group), not in "
            "(group, n_kv_heads).",
            _pool_tiled,
        ),
        Mistake(
            "Your function adds the heads of a group up instead of averaging them.",
            "A sum makes keys `group` times as long, and so all scores larger: take the mean.",
            lambda w, n_heads, n_kv_heads: _pool(w, n_heads, n_kv_heads) * np.float32(n_heads // n_kv_heads),
        ),
        Mistake(
            "Your function keeps the first head of each group.",
            "That is possible, but throws the other heads away; here the mean of the group is asked for.",
            _pool_first,
        ),
        Mistake(
            "Your function keeps the first n_kv_heads heads.",
            "They all belong to the first groups. Every group has to give one head, the mean of its own.",
            _pool_front,
        ),
        Mistake(
            "Your function averages all heads and repeats the result.",
            "That is MQA with copies. Each group has a mean of its own.",
            _pool_all,
        ),
    ),
)


def _expand(w, n_heads, n_kv_heads):
    return np.repeat(_by_head(w, n_kv_heads), n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])


def _make_group_rows(rng: np.random.Generator, K: int, group: int, head_dim: int, D: int) -> tuple[Any, ...]:
    return rng.normal(size=(K * head_dim, D)).astype(np.float32), K * group, K


def _expand_padded(w, n_heads, n_kv_heads):
    head_dim, group = len(w) // n_kv_heads, n_heads // n_kv_heads
    out = np.zeros((n_kv_heads, group, head_dim, w.shape[1]), w.dtype)
    out[:, 0] = _by_head(w, n_kv_heads)
    return out.reshape(-1, w.shape[1])


EXPAND_GROUPS_TO_HEADS = Exercise(
    id="expand_groups_to_heads",
    chapter="07",
    title="Every GQA is an MHA",
    task="Make key (or value) weights with n_heads heads that compute exactly what the grouped ones compute.",
    difficulty=2,
    minutes=10,
    reference=_expand,
    make=_make_group_rows,
    shapes=_POOL_SHAPES,
    axes=("row", "column"),
    hints=(
        "When every query head has a key head of its own, which weights must that key head have so that nothing "
        "changes?",
        "Those of its group: every head's block of head_dim rows is there `group` times, side by side. Repeat blocks, "
        "not rows.",
        "heads = w.reshape(n_kv_heads, -1, w.shape[1])           # (K, head_dim, D)\n"
        "return np.repeat(heads, n_heads // n_kv_heads, axis=0).reshape(-1, w.shape[1])",
    ),
    mistakes=(
        Mistake(
            "Your function tiles: the key heads a, b become a, b, a, b.",
            "Neighbouring query heads read the same key head: a, a, b, b.",
            lambda w, n_heads, n_kv_heads: np.tile(w, (n_heads // n_kv_heads, 1)),
        ),
        Mistake(
            "Your function repeats single rows.",
            "A head is a block of head_dim rows, and its rows have to stay in order: repeat blocks.",
            lambda w, n_heads, n_kv_heads: np.repeat(w, n_heads // n_kv_heads, axis=0),
        ),
        Mistake(
            "Your function shares the weights out: each copy is divided by the size of the group.",
            "Every query head reads its own copy, and must find there what it found before: no division.",
            lambda w, n_heads, n_kv_heads: _expand(w, n_heads, n_kv_heads) / np.float32(n_heads // n_kv_heads),
        ),
        Mistake(
            "Only the first head of each group gets the weights; the others are zero.",
            "With a key of zeros a query head would look at everything alike. Every head of the group needs the copy.",
            _expand_padded,
        ),
        Mistake(
            "All your heads are copies of key head 0.",
            "Each group has a key head of its own.",
            lambda w, n_heads, n_kv_heads: np.tile(w[: len(w) // n_kv_heads], (n_heads, 1)),
        ),
    ),
)

# --- kv_cache_bytes_grouped ---------------------------------------------------------------


def _make_sizes(
    rng: np.random.Generator, n_layers: int, n_kv_heads: int, group: int, head_dim: int, n_tokens: int, bytes_each: int
) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    n_heads = n_kv_heads * group
    return n_layers, n_heads * head_dim, n_heads, n_kv_heads, n_tokens, bytes_each


def _cache_bytes(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    config = ModelConfig(
        dim=dim, n_layers=n_layers, n_heads=n_heads, n_kv_heads=n_kv_heads, hidden_dim=1, vocab_size=1, max_seq_len=1
    )
    return config.kv_cache_bytes(n_tokens, bytes_per_number)


KV_CACHE_BYTES_GROUPED = Exercise(
    id="kv_cache_bytes_grouped",
    chapter="07",
    title="What the cache costs",
    task="The bytes that keys and values of n_tokens positions take in all layers, for any number of key heads.",
    difficulty=1,
    minutes=5,
    reference=_cache_bytes,
    make=_make_sizes,
    shapes=(
        {"n_layers": 2, "n_kv_heads": 3, "group": 2, "head_dim": 4, "n_tokens": 5, "bytes_each": 4},
        {"n_layers": 1, "n_kv_heads": 1, "group": 1, "head_dim": 2, "n_tokens": 1, "bytes_each": 2},
        {"n_layers": 30, "n_kv_heads": 3, "group": 3, "head_dim": 64, "n_tokens": 8192, "bytes_each": 4},
        {"n_layers": 32, "n_kv_heads": 32, "group": 1, "head_dim": 128, "n_tokens": 4096, "bytes_each": 2},
        {"n_layers": 80, "n_kv_heads": 8, "group": 8, "head_dim": 128, "n_tokens": 4096, "bytes_each": 2},
    ),
    exact=True,
    hints=(
        "For one position, one layer and one key head: how many numbers does the cache keep? Keys and values.",
        "2 * n_layers * n_kv_heads * head_dim numbers for each position. head_dim is dim divided by the number of "
        "*query* heads.",
        "return 2 * n_layers * n_kv_heads * (dim // n_heads) * n_tokens * bytes_per_number",
    ),
    mistakes=(
        Mistake(
            "Your function counts query heads: it is the cache of an MHA model.",
            "Only keys and values are kept: n_kv_heads heads of width dim / n_heads. (The width dim / n_kv_heads gives "
            "the same wrong number.)",
            lambda n, d, h, k, t, b: 2 * n * h * (d // h) * t * b,
        ),
        Mistake(
            "Your function forgets that keys and values are kept both.",
            "Two arrays of the same size: a factor of 2.",
            lambda n, d, h, k, t, b: n * k * (d // h) * t * b,
        ),
        Mistake(
            "Your function counts one layer.",
            "Every layer has keys and values of its own.",
            lambda n, d, h, k, t, b: 2 * k * (d // h) * t * b,
        ),
        Mistake(
            "Your function counts numbers, not bytes.",
            "A float16 takes 2 bytes, a float32 takes 4: multiply by bytes_per_number.",
            lambda n, d, h, k, t, b: 2 * n * k * (d // h) * t,
        ),
        Mistake(
            "Your function counts the bytes of one position.",
            "The cache holds n_tokens positions.",
            lambda n, d, h, k, t, b: 2 * n * k * (d // h) * b,
        ),
        Mistake(
            "Your function gives every key head the full width dim.",
            "A head is head_dim = dim / n_heads wide.",
            lambda n, d, h, k, t, b: 2 * n * k * d * t * b,
        ),
    ),
)

EXERCISES = (
    KEY_HEAD_OF_QUERY_HEADS,
    REPEAT_KV_HEADS,
    GROUPED_ATTENTION,
    POOL_HEADS_INTO_GROUPS,
    EXPAND_GROUPS_TO_HEADS,
    KV_CACHE_BYTES_GROUPED,
)
