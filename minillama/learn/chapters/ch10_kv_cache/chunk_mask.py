"""The mask of a chunk."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_mask(rng: np.random.Generator, B: int, T: int, room: int) -> tuple[Any, ...]:
    """Chunks of T positions that start anywhere, each row at its own place; `room` unused keys at the end.

    With much room they start past 600.
    """
    start = (600 if room > 20 else 0) + rng.integers(1, 6, (B, 1)) + np.arange(B)[:, None]
    positions = start + np.arange(T) + (np.arange(T) > 2)  # a gap after three
    return positions, int(positions.max()) + 1 + room


def torch_mask(positions, n_keys):
    """The rows of the square causal mask that belong to the chunk."""
    import torch

    return torch.ones(n_keys, n_keys, dtype=torch.bool).tril()[torch.tensor(positions)].numpy()


@exercise(
    title="The mask of a chunk",
    task="Say which keys of the cache every query of a chunk may see: those at and before its own position.",
    difficulty=1,
    minutes=10,
    make=make_mask,
    oracle=torch_mask,
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
    why=(
        "Positions decide, not the shape: a chunk may begin anywhere, and each sequence of a batch somewhere else. "
        "Unused room lies behind every position and is hidden by the same comparison. With an axis of 1 in the place "
        "of the keys, broadcasting makes the whole table in one step."
    ),
)
def chunk_mask(positions, n_keys):
    """Which keys of the cache every query of a chunk may see.

    mask[b, t, s] = True where s <= positions[b, t]: a token sees itself and all before it.

    Parameters
    ----------
    positions : integer ndarray of shape (B, T)
        Where each query stands in its own sequence. A chunk need not start at 0, and may have gaps.
    n_keys : int
        Length S of the arrays of the cache; some of it may be unused.

    Returns
    -------
    mask : bool ndarray of shape (B, T, S)
    """
    return np.arange(n_keys) <= positions[:, :, None]


@chunk_mask.mistake(
    "Your mask is the lower triangle from the top left: it takes the chunk for the beginning of the text.",
    "Query 0 of the chunk stands at positions[b, 0] and sees all that came before. Compare with the "
    "positions, not with the index inside the chunk.",
)
def mask_lower_triangle(positions, n_keys):
    triangle = np.tril(np.ones((positions.shape[1], n_keys), bool))
    return np.broadcast_to(triangle, (*positions.shape, n_keys)).copy()


@chunk_mask.mistake(
    "Your mask is a triangle in the bottom right corner: it takes the last key for that of the last query.",
    "The array has unused room at its end, and rows of a batch differ in length: only the positions say "
    "where a query stands.",
)
def mask_bottom_right(positions, n_keys):
    n_queries = positions.shape[1]
    triangle = np.tril(np.ones((n_queries, n_keys), bool), n_keys - n_queries)
    return np.broadcast_to(triangle, (*positions.shape, n_keys)).copy()


@chunk_mask.mistake(
    "Your mask hides every query's own key.",
    "A token sees itself: key <= position, not key < position.",
)
def hides_every_querys_own_key(positions, n_keys):
    return np.arange(n_keys) < positions[..., None]


@chunk_mask.mistake(
    "Your mask lets all queries of the chunk see the whole chunk.",
    "Inside a chunk it is causal too: each query ends at its own position, not at that of the last one.",
)
def mask_whole_chunk(positions, n_keys):
    return np.broadcast_to(np.arange(n_keys) <= positions[:, -1:, None], (*positions.shape, n_keys)).copy()


@chunk_mask.mistake(
    "Your mask is True where a key is hidden.",
    "Here True means visible (as in PyTorch's scaled_dot_product_attention; other libraries turn it round).",
)
def mask_is_true_where_key_is_hidden(positions, n_keys):
    return ~chunk_mask(positions, n_keys)


@chunk_mask.mistake(
    "Your function uses the positions of the first sequence for the whole batch.",
    "Each sequence has its own length: the mask has an axis for the batch.",
)
def mask_first_row(positions, n_keys):
    return np.broadcast_to(chunk_mask(positions[:1], n_keys), (*positions.shape, n_keys)).copy()


@chunk_mask.mistake(
    "Your function returns numbers to add to the scores, 0 and -inf.",
    "The exercise asks for True and False; np.where(mask, 0, -inf) makes the other from it.",
)
def returns_numbers_to_add_to_scores(positions, n_keys):
    return np.where(chunk_mask(positions, n_keys), 0.0, -np.inf)
