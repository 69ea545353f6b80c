"""Look up the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.embedding import embedding_forward
from ...exercises.exercise import exercise


def gather(tokens, weight):
    return embedding_forward(tokens, weight)[0]


def make_gather(rng: np.random.Generator, B: int, T: int, V: int, D: int) -> tuple[Any, ...]:
    """Ids that repeat and are never all in order; the last id of the vocabulary is among them."""
    if V < 3:
        raise ValueError("at least 3 tokens, so that rows can be confused")
    tokens = rng.integers(0, V, (B, T))
    tokens[0, 0] = V - 1
    return tokens, rng.normal(size=(V, D)).astype(np.float32)


def torch_gather(tokens, weight):
    import torch

    return torch.nn.functional.embedding(torch.tensor(tokens), torch.tensor(weight)).numpy()


@exercise(
    title="Look up the rows",
    difficulty=1,
    minutes=5,
    same_as=gather,
    replaces="embedding",
    make=make_gather,
    shapes=(
        {"B": 1, "T": 1, "V": 3, "D": 2},
        {"B": 1, "T": 2, "V": 5, "D": 1},
        {"B": 2, "T": 3, "V": 6, "D": 4},
        {"B": 3, "T": 5, "V": 4, "D": 9},
        {"B": 2, "T": 17, "V": 40, "D": 16},
    ),
    axes=("batch", "position", "dim"),
    dtype_matters=True,
    oracle=torch_gather,
    hints=(
        "The table has one row for each token of the vocabulary. No arithmetic is needed at all.",
        "NumPy takes an array of integers as an index: the result has the shape of the index, with the row's axis "
        "after it.",
        "return weight[tokens]",
    ),
    why=(
        "A one-hot vector times the table would give the same row, after reading all V of them; an index reads one. "
        "An index array puts a row in the place of each of its numbers, so no loop is needed. The result is a copy, "
        "which later layers may change without harm to the table."
    ),
)
def gather_embeddings(tokens, weight):
    """Return the row of the embedding table for every token.

    x[b, t] = weight[tokens[b, t]]

    Parameters
    ----------
    tokens : integer ndarray of shape (B, T)
        Ids from 0 to V - 1.
    weight : ndarray of shape (V, D)

    Returns
    -------
    x : ndarray of shape (B, T, D), same dtype as `weight`
    """
    return weight[tokens]


@gather_embeddings.mistake(
    "Your function takes the row behind the right one.",
    "Ids count from 0: token 0 is row 0.",
)
def takes_the_next_row(tokens, weight):
    return weight[(tokens + 1) % len(weight)]


@gather_embeddings.mistake(
    "Your function multiplies the rows by sqrt(D).",
    "The first transformer of 2017 did so, and Gemma does. LLaMA takes the rows as they are.",
)
def multiplies_rows_by_sqrt(tokens, weight):
    return gather(tokens, weight) * np.sqrt(weight.shape[1]).astype(np.float32)


@gather_embeddings.mistake(
    "Your function looks up the position, not the token.",
    "The index is tokens[b, t]. LLaMA has no table of positions; RoPE brings them in later.",
)
def looks_up_the_position(tokens, weight):
    return weight[np.broadcast_to(np.arange(tokens.shape[1]) % len(weight), tokens.shape)]


@gather_embeddings.mistake(
    "Your function adds a number for the position to every row.",
    "LLaMA's embedding knows nothing of positions: the same token has the same row everywhere.",
)
def adds_number_for_position_to_every_row(tokens, weight):
    return gather(tokens, weight) + np.sin(np.arange(tokens.shape[1], dtype=np.float32))[:, None]


@gather_embeddings.mistake(
    "Your function runs through the sequences in the wrong order: batch and position are exchanged.",
    "The result for tokens (B, T) is (B, T, D): keep the order of the axes, reshape only what you flattened.",
)
def runs_through_sequences_in_wrong_order(tokens, weight):
    return weight[tokens.T.reshape(tokens.shape)]


@gather_embeddings.mistake(
    "Your function brings every row to length 1.",
    "The lengths of the rows are learned and carry information; RMSNorm in the first layer does the scaling.",
)
def brings_every_row_to_length_1(tokens, weight):
    return gather(tokens, weight) / np.linalg.norm(gather(tokens, weight), axis=-1, keepdims=True)
