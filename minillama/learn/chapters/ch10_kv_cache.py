"""Chapter 10, the KV cache: room that grows, the mask of a chunk, one decode step, windows, going back."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...inference.session import common_prefix
from ...layers.attention import attention_forward, attention_forward_fast
from ..exercise import Exercise, Mistake, Speed

# --- append_with_growth -------------------------------------------------------------------


def _make_append(rng: np.random.Generator, K: int, head_dim: int, capacity: int, chunk: int) -> tuple[Any, ...]:
    """An array with two positions filled, and chunks that fill it, overfill it, and then come one by one."""
    if capacity < 2:
        raise ValueError("two positions are filled from the start")
    sizes = (1, chunk, 1, 1, 1, 1, 3 * capacity + chunk, 1)
    buffer = np.zeros((K, capacity, head_dim), np.float32)
    buffer[:, :2] = rng.normal(size=(K, 2, head_dim))
    return buffer, 2, [rng.normal(size=(K, t, head_dim)).astype(np.float32) for t in sizes]


def _observe_append(function, args):
    """Append all chunks, one after the other: what the caller sees after every call, and what is there at the end."""
    buffer, length, chunks = args
    lengths, capacities, moved = [], [], []
    for new in chunks:
        old = buffer
        buffer, length = function(buffer, length, new)
        lengths.append(int(length))
        capacities.append(buffer.shape[1])
        moved.append(not np.shares_memory(old, buffer))
    return np.array(lengths), buffer[:, :length].copy(), np.array(capacities), np.array(moved)


def _grown(buffer, capacity):
    new = np.zeros((buffer.shape[0], capacity, buffer.shape[2]), buffer.dtype)
    new[:, : buffer.shape[1]] = buffer
    return new


def _append(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        buffer = _grown(buffer, max(needed, 2 * buffer.shape[1]))
    buffer[:, length:needed] = new
    return buffer, needed


def _append_exactly(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        buffer = _grown(buffer, needed)
    buffer[:, length:needed] = new
    return buffer, needed


def _append_always_copies(buffer, length, new):
    return _append(buffer.copy(), length, new)


def _append_joins(buffer, length, new):
    return np.concatenate((buffer[:, :length], new), axis=1), length + new.shape[1]


def _append_forgets(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        capacity = max(needed, 2 * buffer.shape[1])
        buffer = np.zeros((buffer.shape[0], capacity, buffer.shape[2]), buffer.dtype)
    buffer[:, length:needed] = new
    return buffer, needed


def _append_behind_the_room(buffer, length, new):
    return np.concatenate((buffer, new), axis=1), length + new.shape[1]


def _append_at_start(buffer, length, new):
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        buffer = _grown(buffer, max(needed, 2 * buffer.shape[1]))
    buffer[:, : new.shape[1]] = new
    return buffer, needed


def _append_counts_calls(buffer, length, new):
    return _append(buffer, length, new)[0], length + 1


def _append_resized(buffer, length, new):
    """The bytes one after the other in a larger array: heads run into one another."""
    needed = length + new.shape[1]
    if needed > buffer.shape[1]:
        shape = buffer.shape[0], max(needed, 2 * buffer.shape[1]), buffer.shape[2]
        flat = np.zeros(int(np.prod(shape)), buffer.dtype)
        flat[: buffer.size] = buffer.reshape(-1)
        buffer = flat.reshape(shape)
    buffer[:, length:needed] = new
    return buffer, needed


APPEND = Exercise(
    id="append_with_growth",
    chapter="10",
    title="Room that grows",
    task="Store new keys behind those already there; when the room is used up, move to an array twice as long.",
    difficulty=2,
    minutes=15,
    reference=_append,
    make=_make_append,
    observe=_observe_append,
    outputs=("lengths", "contents", "capacities", "moved"),
    axes=("call",),
    shapes=(
        {"K": 1, "head_dim": 2, "capacity": 2, "chunk": 1},
        {"K": 2, "head_dim": 2, "capacity": 2, "chunk": 3},
        {"K": 2, "head_dim": 4, "capacity": 5, "chunk": 2},
        {"K": 3, "head_dim": 6, "capacity": 4, "chunk": 5},
        {"K": 5, "head_dim": 8, "capacity": 16, "chunk": 7},
    ),
    hints=(
        "Two numbers describe the array: its capacity, buffer.shape[1], and how much of it is filled, `length`. "
        "Only when length + t passes the capacity is another array needed.",
        "The new capacity is max(needed, 2 * capacity): doubling is not enough for a long chunk. Copy what was "
        "there along the axis of positions, then write at [:, length:needed].",
        "needed = length + new.shape[1]\n"
        "if needed > buffer.shape[1]:\n"
        "    larger = np.zeros((K, max(needed, 2 * buffer.shape[1]), head_dim), buffer.dtype)\n"
        "    larger[:, : buffer.shape[1]] = buffer      # and from here on buffer = larger\n"
        "buffer[:, length:needed] = new",
    ),
    mistakes=(
        Mistake(
            "Your function makes the array only as long as it has to be.",
            "Then every single token moves the whole cache: n tokens copy n * n / 2 positions. With doubling all "
            "copies together are fewer than 2 n positions.",
            _append_exactly,
        ),
        Mistake(
            "Your function joins old and new in an array without room to spare, in every call.",
            "The contents are right, but n tokens copy n * n / 2 positions. While there is room, write into the array "
            "that was given; when there is none, make the next one twice as long.",
            _append_joins,
        ),
        Mistake(
            "Your function makes a new array in every call.",
            "While there is room, write into the array that was given: a token's work must not grow with the length.",
            _append_always_copies,
        ),
        Mistake(
            "Your function forgets what was stored when it grows.",
            "The larger array starts empty: copy the old positions into it before you write the new ones.",
            _append_forgets,
        ),
        Mistake(
            "Your function joins the new positions to the end of the array, behind the unused room.",
            "The array is longer than what is filled: the next free position is `length`, not buffer.shape[1].",
            _append_behind_the_room,
        ),
        Mistake(
            "Your function writes every chunk at position 0.",
            "Positions 0 ... length - 1 are taken: write at length ... length + t - 1.",
            _append_at_start,
        ),
        Mistake(
            "Your function counts calls, not positions.",
            "A chunk brings t = new.shape[1] positions at once: the length grows by t.",
            _append_counts_calls,
        ),
        Mistake(
            "Your function moves the numbers as one flat run: heads run into one another.",
            "Positions are the second of three axes. Copy with a slice along it, larger[:, :capacity] = buffer; "
            "np.resize and ndarray.resize know nothing of axes.",
            _append_resized,
        ),
    ),
)

# --- chunk_mask -----------------------------------------------------------------------------


def _make_mask(rng: np.random.Generator, B: int, T: int, room: int) -> tuple[Any, ...]:
    """Chunks of T positions that start anywhere, each row at its own place; `room` unused keys at the end."""
    start = rng.integers(1, 6, (B, 1)) + np.arange(B)[:, None]
    positions = start + np.arange(T)
    return positions, int(positions.max()) + 1 + room


def _mask(positions, n_keys):
    return np.arange(n_keys) <= positions[..., None]


def _mask_lower_triangle(positions, n_keys):
    triangle = np.tril(np.ones((positions.shape[1], n_keys), bool))
    return np.broadcast_to(triangle, (*positions.shape, n_keys)).copy()


def _mask_bottom_right(positions, n_keys):
    n_queries = positions.shape[1]
    triangle = np.tril(np.ones((n_queries, n_keys), bool), n_keys - n_queries)
    return np.broadcast_to(triangle, (*positions.shape, n_keys)).copy()


def _mask_whole_chunk(positions, n_keys):
    return np.broadcast_to(np.arange(n_keys) <= positions[:, -1:, None], (*positions.shape, n_keys)).copy()


def _mask_first_row(positions, n_keys):
    return np.broadcast_to(_mask(positions[:1], n_keys), (*positions.shape, n_keys)).copy()


def _torch_mask(positions, n_keys):
    """The rows of the square causal mask that belong to the chunk."""
    import torch

    return torch.ones(n_keys, n_keys, dtype=torch.bool).tril()[torch.tensor(positions)].numpy()


CHUNK_MASK = Exercise(
    id="chunk_mask",
    chapter="10",
    title="The mask of a chunk",
    task="Say which keys of the cache every query of a chunk may see: those at and before its own position.",
    difficulty=1,
    minutes=10,
    reference=_mask,
    make=_make_mask,
    oracle=_torch_mask,
    shapes=(
        {"B": 1, "T": 2, "room": 1},
        {"B": 1, "T": 1, "room": 2},
        {"B": 2, "T": 3, "room": 4},
        {"B": 3, "T": 5, "room": 7},
        {"B": 2, "T": 17, "room": 30},
    ),
    axes=("batch", "query", "key"),
    hints=(
        "The index of a key in the cache is its position. A query at position m sees the keys 0 ... m, wherever its "
        "chunk starts and however long the array is.",
        "Compare two arrays: np.arange(n_keys), of shape (S,), and positions with one more axis, of shape (B, T, 1).",
        "return np.arange(n_keys) <= positions[:, :, None]",
    ),
    mistakes=(
        Mistake(
            "Your mask is the lower triangle from the top left: it takes the chunk for the beginning of the text.",
            "Query 0 of the chunk stands at positions[b, 0] and sees all that came before. Compare with the "
            "positions, not with the index inside the chunk.",
            _mask_lower_triangle,
        ),
        Mistake(
            "Your mask is a triangle in the bottom right corner: it takes the last key for that of the last query.",
            "The array has unused room at its end, and rows of a batch differ in length: only the positions say where "
            "a query stands.",
            _mask_bottom_right,
        ),
        Mistake(
            "Your mask hides every query's own key.",
            "A token sees itself: key <= position, not key < position.",
            lambda positions, n: np.arange(n) < positions[..., None],
        ),
        Mistake(
            "Your mask lets all queries of the chunk see the whole chunk.",
            "Inside a chunk it is causal too: each query ends at its own position, not at that of the last one.",
            _mask_whole_chunk,
        ),
        Mistake(
            "Your mask is True where a key is hidden.",
            "Here True means visible (as in PyTorch's scaled_dot_product_attention; other libraries turn it round).",
            lambda positions, n: ~_mask(positions, n),
        ),
        Mistake(
            "Your function uses the positions of the first sequence for the whole batch.",
            "Each sequence has its own length: the mask has an axis for the batch.",
            _mask_first_row,
        ),
        Mistake(
            "Your function returns numbers to add to the scores, 0 and -inf.",
            "The exercise asks for True and False; np.where(mask, 0, -inf) makes the other from it.",
            lambda positions, n: np.where(_mask(positions, n), 0.0, -np.inf),
        ),
    ),
)

# --- attention_decode_step --------------------------------------------------------------------


def _make_decode(rng: np.random.Generator, B: int, H: int, K: int, S: int, head_dim: int) -> tuple[Any, ...]:
    """A cache whose rows have different lengths, with stale numbers behind them."""
    if H % K or S < 3:
        raise ValueError("H must be a multiple of K, and there must be room for a new token")
    q = 2 * rng.normal(size=(B, H, head_dim)).astype(np.float32)
    k_new, v_new = rng.normal(size=(2, B, K, head_dim)).astype(np.float32)
    k_cache, v_cache = rng.normal(size=(2, B, K, S, head_dim)).astype(np.float32)
    lengths = rng.integers(1, S - 1, B)
    if B > 1:
        lengths[0], lengths[-1] = S - 2, 0
    return q, k_new, v_new, k_cache, v_cache, lengths


def _observe_decode(function, args):
    y = function(*args)
    return y, args[3], args[4], args[5]


def _store(k_new, v_new, k_cache, v_cache, where):
    for b, position in enumerate(where):
        k_cache[b, :, position] = k_new[b]
        v_cache[b, :, position] = v_new[b]


def _decode(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return attention_forward(q[:, :, None], k_cache, v_cache, lengths[:, None])[0][:, :, 0]


def _attend(q, k, v, visible, scale):
    """Attention with any mask (B, S); k and v already have H heads."""
    scores = np.einsum("bhd,bhsd->bhs", q, k) * scale
    scores = np.where(visible[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.einsum("bhs,bhsd->bhd", weights / weights.sum(axis=-1, keepdims=True), v).astype(q.dtype)


def _decode_with(q, k_cache, v_cache, visible, *, scale=None, tiled=False):
    group = q.shape[1] // k_cache.shape[1]
    heads = np.arange(q.shape[1]) % k_cache.shape[1] if tiled else np.arange(q.shape[1]) // group
    scale = q.shape[2] ** -0.5 if scale is None else scale
    return _attend(q, k_cache[:, heads], v_cache[:, heads], visible, scale)


def _decode_without_itself(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return _decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) < lengths[:, None])


def _decode_whole_array(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return _decode_with(q, k_cache, v_cache, np.ones((len(q), k_cache.shape[2]), bool))


def _decode_to_longest(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    visible = np.broadcast_to(np.arange(k_cache.shape[2]) <= lengths.max(), (len(q), k_cache.shape[2]))
    return _decode_with(q, k_cache, v_cache, visible)


def _decode_tiled(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return _decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= lengths[:, None], tiled=True)


def _decode_unscaled(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return _decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= lengths[:, None], scale=1.0)


def _decode_not_stored(q, k_new, v_new, k_cache, v_cache, lengths):
    return _decode(q, k_new, v_new, k_cache.copy(), v_cache.copy(), lengths)


def _decode_overwrites_last(q, k_new, v_new, k_cache, v_cache, lengths):
    before = np.maximum(lengths - 1, 0)
    _store(k_new, v_new, k_cache, v_cache, before)
    return _decode_with(q, k_cache, v_cache, np.arange(k_cache.shape[2]) <= before[:, None])


def _torch_decode(q, k_new, v_new, k_cache, v_cache, lengths):
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
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return np.stack(rows)


def _decode_naive(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
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


def _decode_fast(q, k_new, v_new, k_cache, v_cache, lengths):
    _store(k_new, v_new, k_cache, v_cache, lengths)
    return attention_forward_fast(q[:, :, None], k_cache, v_cache, lengths[:, None])[0][:, :, 0]


def _decode_in_torch(q, k_new, v_new, k_cache, v_cache, lengths):
    import torch

    rows = torch.arange(len(q))
    k_cache[rows, :, lengths], v_cache[rows, :, lengths] = k_new, v_new
    visible = torch.arange(k_cache.shape[2]) <= lengths[:, None]
    return torch.nn.functional.scaled_dot_product_attention(
        q[:, :, None], k_cache, v_cache, attn_mask=visible[:, None, None], enable_gqa=True
    )[:, :, 0]


DECODE_STEP = Exercise(
    id="attention_decode_step",
    chapter="10",
    title="One token with a cache",
    task="Store the new token's key and value, and attend from its query to everything its sequence holds.",
    difficulty=3,
    minutes=25,
    reference=_decode,
    make=_make_decode,
    observe=_observe_decode,
    outputs=("y", "k_cache", "v_cache", "lengths"),
    oracle=_torch_decode,
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
    mistakes=(
        Mistake(
            "Your query does not see its own token.",
            "The new key is at index lengths[b]: a slice up to and including it is [: lengths[b] + 1].",
            _decode_without_itself,
        ),
        Mistake(
            "Your query sees the whole array, unused room included.",
            "Behind lengths[b] there is stale memory, or what `rewind` has left there: cut the keys off, or mask them.",
            _decode_whole_array,
        ),
        Mistake(
            "Your function takes the longest sequence's length for all.",
            "Sequences of a batch differ in length: row b ends at lengths[b].",
            _decode_to_longest,
        ),
        Mistake(
            "Your function gives key head h % K to query head h (np.tile).",
            "Neighbouring query heads share one: key head h // (H / K), np.repeat.",
            _decode_tiled,
        ),
        Mistake(
            "Your scores are not divided by sqrt(head_dim).",
            "The same scale as without a cache: q . k / sqrt(head_dim).",
            _decode_unscaled,
        ),
        Mistake(
            "Your result is right, but the new key and value are not in the cache.",
            "The next token needs them: write into k_cache and v_cache, not into a copy.",
            _decode_not_stored,
        ),
        Mistake(
            "Your function overwrites the last token of each sequence.",
            "lengths[b] tokens are at 0 ... lengths[b] - 1: the first free position is lengths[b].",
            _decode_overwrites_last,
        ),
    ),
    speed=Speed(
        dims={"B": 1, "H": 9, "K": 3, "S": 4096, "head_dim": 64},
        flops=lambda B, H, K, S, head_dim: 4.0 * B * H * S * head_dim,
        bytes=lambda B, H, K, S, head_dim: 4.0 * 2 * B * K * S * head_dim,
        naive=_decode_naive,
        fast=_decode_fast,
        torch=_decode_in_torch,
    ),
)

# --- sliding_window_attention -------------------------------------------------------------------


def _make_window(
    rng: np.random.Generator, B: int, H: int, K: int, T: int, window: int, head_dim: int
) -> tuple[Any, ...]:
    """A chunk that starts where the window has already left something behind, and unused room at the end."""
    if H % K:
        raise ValueError("H must be a multiple of K")
    start = rng.integers(window + 1, 2 * window + 4, (B, 1))
    start[1:2] = 0
    positions = start + np.arange(T)
    n_keys = int(positions.max()) + 3
    q = 2 * rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    k, v = rng.normal(size=(2, B, K, n_keys, head_dim)).astype(np.float32)
    return q, k, v, positions, window


def _masked_attention(q, k, v, visible, *, after=False):
    """Attention with the mask (B, T, S); `after` applies it to the probabilities instead of the scores."""
    group = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = q @ k.swapaxes(2, 3) / np.float32(np.sqrt(q.shape[3]))
    if not after:
        scores = np.where(visible[:, None], scores, np.float32(-np.inf))
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    return np.where(visible[:, None], weights, np.float32(0)) @ v


def _distance(k, positions):
    return positions[:, :, None] - np.arange(k.shape[2])  # (B, T, S): 0 for a query's own key


def _window(q, k, v, positions, window):
    distance = _distance(k, positions)
    return _masked_attention(q, k, v, (distance >= 0) & (distance < window))


def _window_one_more(q, k, v, positions, window):
    return _window(q, k, v, positions, window + 1)


def _window_full(q, k, v, positions, window):
    return attention_forward(q, k, v, positions)[0]


def _window_both_sides(q, k, v, positions, window):
    return _masked_attention(q, k, v, np.abs(_distance(k, positions)) < window)


def _window_of_chunk(q, k, v, positions, window):
    distance = _distance(k, positions)
    return _masked_attention(q, k, v, (distance >= 0) & (distance[:, :1] < window))


def _window_first_keys(q, k, v, positions, window):
    keys = np.arange(k.shape[2])
    return _masked_attention(q, k, v, (keys <= positions[:, :, None]) & (keys < window))


def _window_after_softmax(q, k, v, positions, window):
    distance = _distance(k, positions)
    return _masked_attention(q, k, v, (distance >= 0) & (distance < window), after=True)


def _window_from_zero(q, k, v, positions, window):
    return _window(q, k, v, np.broadcast_to(np.arange(positions.shape[1]), positions.shape), window)


def _torch_window(q, k, v, positions, window):
    import torch

    keys, queries = torch.arange(k.shape[2]), torch.tensor(positions)[:, :, None]
    visible = (keys <= queries) & (keys > queries - window)
    q, k, v = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=visible[:, None], enable_gqa=True)
    return y.numpy()


SLIDING_WINDOW = Exercise(
    id="sliding_window_attention",
    chapter="10",
    title="A window that slides",
    task="Attention in which a query sees its own key and the window - 1 before it: a cache of bounded size.",
    difficulty=2,
    minutes=20,
    reference=_window,
    make=_make_window,
    oracle=_torch_window,
    shapes=(
        {"B": 1, "H": 1, "K": 1, "T": 2, "window": 2, "head_dim": 2},
        {"B": 1, "H": 2, "K": 1, "T": 1, "window": 1, "head_dim": 2},
        {"B": 2, "H": 4, "K": 2, "T": 3, "window": 3, "head_dim": 4},
        {"B": 3, "H": 6, "K": 2, "T": 7, "window": 4, "head_dim": 8},
        {"B": 2, "H": 3, "K": 3, "T": 9, "window": 16, "head_dim": 6},
    ),
    axes=("batch", "head", "query", "dim"),
    hints=(
        "Only the mask differs from causal attention: it gets a second condition. How far away, counted in "
        "positions, may a key be?",
        "The distance of key s from a query at position m is m - s. Visible are distances 0 ... window - 1.",
        "distance = positions[:, :, None] - np.arange(k.shape[2])      # (B, T, S)\n"
        "visible = (distance >= 0) & (distance < window)\n"
        "scores = np.where(visible[:, None], scores, -np.inf)          # before the softmax",
    ),
    mistakes=(
        Mistake(
            "Your window is one key too long.",
            "The query's own key counts: distances 0 ... window - 1, which is m - s < window and not <=.",
            _window_one_more,
        ),
        Mistake(
            "Your function ignores the window.",
            "It is plain causal attention: keys at a distance of `window` and more have to be hidden too.",
            _window_full,
        ),
        Mistake(
            "Your window reaches into the future.",
            "The distance m - s must not be negative: an absolute value lets a query see the keys behind it.",
            _window_both_sides,
        ),
        Mistake(
            "Your window is that of the chunk's first query, for all of them.",
            "The window slides: each query of a chunk has its own.",
            _window_of_chunk,
        ),
        Mistake(
            "Your function keeps the first keys of the text, not the last ones.",
            "The window ends at the query: keys m - window + 1 ... m.",
            _window_first_keys,
        ),
        Mistake(
            "Your function hides keys after the softmax: the weights no longer add up to 1.",
            "Put -inf in the scores first; then the softmax shares all the weight among visible keys.",
            _window_after_softmax,
        ),
        Mistake(
            "Your function counts positions from 0 in every chunk.",
            "The first query of a chunk stands at positions[b, 0]: use the positions that are given.",
            _window_from_zero,
        ),
    ),
)

# --- ring_slots --------------------------------------------------------------------------------


def _make_ring(rng: np.random.Generator, n_seen: int, window: int) -> tuple[Any, ...]:
    return n_seen, window


def _ring(n_seen, window):
    slots = np.full(window, -1)
    for position in range(max(0, n_seen - window), n_seen):
        slots[position % window] = position
    return slots.tolist()


def _ring_from_oldest(n_seen, window):
    return np.maximum(max(0, n_seen - window) + np.arange(window), -1) * (np.arange(window) < n_seen) - (
        np.arange(window) >= n_seen
    )


def _ring_no_empty(n_seen, window):
    slots = np.arange(window)
    return slots + window * ((n_seen - 1 - slots) // window).clip(0)


def _ring_first_stay(n_seen, window):
    slots = np.arange(window)
    return np.where(slots < n_seen, slots, -1)


def _ring_newest_first(n_seen, window):
    positions = n_seen - 1 - np.arange(window)
    return np.where(positions >= 0, positions, -1)


RING = Exercise(
    id="ring_slots",
    chapter="10",
    title="A cache that overwrites its oldest",
    task="Say which position every slot of a ring of `window` slots holds after n_seen tokens; -1 where none does.",
    difficulty=2,
    minutes=10,
    reference=_ring,
    make=_make_ring,
    exact=True,
    shapes=(
        {"n_seen": 1, "window": 2},
        {"n_seen": 2, "window": 3},
        {"n_seen": 4, "window": 3},
        {"n_seen": 6, "window": 3},
        {"n_seen": 17, "window": 5},
        {"n_seen": 9, "window": 16},
        {"n_seen": 1000, "window": 7},
    ),
    hints=(
        "Position p is written to slot p % window, over whatever was there. Nothing ever moves.",
        "Only the last `window` positions are still there: max(0, n_seen - window) ... n_seen - 1.",
        "slots = np.full(window, -1)\nfor p in range(max(0, n_seen - window), n_seen):\n    slots[p % window] = p",
    ),
    mistakes=(
        Mistake(
            "Your slots are in the order of the text, the oldest first.",
            "In a ring nothing moves: position p stays in slot p % window until it is overwritten.",
            _ring_from_oldest,
        ),
        Mistake(
            "Your slots are in the order of the text, the newest first.",
            "In a ring nothing moves: position p stays in slot p % window until it is overwritten.",
            _ring_newest_first,
        ),
        Mistake(
            "Your function counts one token too many.",
            "After n_seen tokens the last position is n_seen - 1: counting begins at 0.",
            lambda n, w: _ring(n + 1, w),
        ),
        Mistake(
            "Your function gives positions to slots that nothing was written to.",
            "With fewer tokens than slots some slots are empty: -1, or attention would read what is not there.",
            _ring_no_empty,
        ),
        Mistake(
            "Your first tokens stay for ever.",
            "When the ring is full the next token overwrites the oldest: slot p % window then holds p.",
            _ring_first_stay,
        ),
    ),
)

# --- plan_rewind -----------------------------------------------------------------------------------


def _make_plan(rng: np.random.Generator, shared: int, old: int, new: int) -> tuple[Any, ...]:
    """Two texts with a common beginning. Behind it they differ first, and then agree here and there."""
    if shared + new == 0:
        raise ValueError("there must be a token to run")
    beginning = rng.integers(0, 50, shared).tolist()
    cached, wanted = rng.integers(100, 150, old).tolist(), rng.integers(200, 250, new).tolist()
    for i in range(1, min(old, new)):
        if i % 3:
            wanted[i] = cached[i]
    return beginning + cached, beginning + wanted


def _plan(cached, wanted):
    keep = min(common_prefix(cached, wanted), len(wanted) - 1)
    return keep, wanted[keep:]


def _plan_feeds_nothing(cached, wanted):
    keep = common_prefix(cached, wanted)
    return keep, wanted[keep:]


def _plan_all_or_nothing(cached, wanted):
    keep = len(cached) if wanted[: len(cached)] == cached else 0
    keep = min(keep, len(wanted) - 1)
    return keep, wanted[keep:]


def _plan_counts_matches(cached, wanted):
    keep = min(sum(a == b for a, b in zip(cached, wanted)), len(wanted) - 1)
    return keep, wanted[keep:]


def _plan_compares_lengths(cached, wanted):
    keep = min(len(cached), len(wanted) - 1)
    return keep, wanted[keep:]


def _plan_one_too_few(cached, wanted):
    keep = max(min(common_prefix(cached, wanted), len(wanted)) - 1, 0)
    return keep, wanted[keep:]


PLAN = Exercise(
    id="plan_rewind",
    chapter="10",
    title="What can stay",
    task="The cache holds one text, another is wanted: how many positions can stay, and which tokens must run?",
    difficulty=1,
    minutes=10,
    reference=_plan,
    make=_make_plan,
    exact=True,
    outputs=("keep", "feed"),
    shapes=(
        {"shared": 1, "old": 1, "new": 1},
        {"shared": 2, "old": 0, "new": 0},
        {"shared": 0, "old": 3, "new": 2},
        {"shared": 3, "old": 0, "new": 2},
        {"shared": 4, "old": 3, "new": 0},
        {"shared": 5, "old": 6, "new": 7},
    ),
    hints=(
        "A key at position m depends on all tokens 0 ... m. At the first token that differs everything behind it is "
        "worthless, even where single tokens agree again.",
        "Count from the start while both agree. One special case: when the cache already holds all of the wanted "
        "text, its last token has to run again, for the logits.",
        "keep = 0\n"
        "while keep < min(len(cached), len(wanted) - 1) and cached[keep] == wanted[keep]:\n"
        "    keep += 1\n"
        "return keep, wanted[keep:]",
    ),
    mistakes=(
        Mistake(
            "Your function runs no token when the cache already holds the whole text.",
            "Logits are not in the cache: at least the last token has to run. Keep at most len(wanted) - 1.",
            _plan_feeds_nothing,
        ),
        Mistake(
            "Your function keeps all or nothing.",
            "When texts part ways in the middle, what came before is still right: keep the common beginning.",
            _plan_all_or_nothing,
        ),
        Mistake(
            "Your function counts all tokens that agree, also behind the first difference.",
            "Behind a different token every key differs, for it was computed from what came before: stop counting.",
            _plan_counts_matches,
        ),
        Mistake(
            "Your function looks at the lengths and not at the tokens.",
            "Tokens that differ have other keys: compare them one by one.",
            _plan_compares_lengths,
        ),
        Mistake(
            "Your function always runs the last common token again.",
            "That is needed only when nothing else runs: otherwise the first new token can follow it from the cache.",
            _plan_one_too_few,
        ),
    ),
)

EXERCISES = (CHUNK_MASK, APPEND, DECODE_STEP, PLAN, RING, SLIDING_WINDOW)
