"""A chunk after the cache."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....layers.rope import rope_table
from ...exercises.exercise import exercise
from .inputs import AXES
from .variants import half, interleaved


def make_offsets(rng: np.random.Generator, B: int, T: int, H: int, head_dim: int) -> tuple[Any, ...]:
    """x and how many tokens of every sequence lie in the cache already: never as many for two of them.

    In a large batch they are more than 600: as far as float32 still knows its angles to the tolerance.
    """
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    x = rng.normal(size=(B, H, T, head_dim)).astype(np.float32)
    lengths = rng.permutation(B + 8)[:B] + T + 600 * (B > 2)
    return x, lengths, 10000.0 if T % 2 else 500000.0


def torch_offsets(x, lengths, theta):
    import torch

    frequencies = theta ** (-torch.arange(0, x.shape[-1], 2, dtype=torch.float64) / x.shape[-1])
    positions = torch.tensor(lengths)[:, None] + torch.arange(x.shape[2])
    angles = (positions[..., None] * frequencies)[:, None]  # (B, 1, T, head_dim / 2)
    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2).numpy()


@exercise(
    title="A chunk after the cache",
    task="Rotate new rows of sequences that have lengths[b] tokens in their caches already (Meta's layout).",
    difficulty=2,
    minutes=15,
    make=make_offsets,
    shapes=(
        {"B": 1, "T": 2, "H": 1, "head_dim": 4},
        {"B": 1, "T": 1, "H": 1, "head_dim": 2},
        {"B": 2, "T": 1, "H": 3, "head_dim": 6},
        {"B": 3, "T": 5, "H": 2, "head_dim": 8},
        {"B": 2, "T": 8, "H": 3, "head_dim": 32},
    ),
    axes=AXES,
    oracle=torch_offsets,
    atol=1e-4,
    hints=(
        "The tokens in the cache have the positions 0 ... lengths[b] - 1. Which position has the first new one?",
        "Positions have the shape (B, T): lengths[:, None] + np.arange(T). From there on it is rope_angles, cosine "
        "and sine, and the rotation of neighbours.",
        "positions = lengths[:, None] + np.arange(x.shape[2])            # (B, T)\n"
        "frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)\n"
        "angles = (positions[..., None] * frequencies)[:, None]          # (B, 1, T, head_dim/2)",
    ),
    why=(
        "A rotated key is kept for good, so it has to be turned by its place in the whole text, not in the chunk. "
        "Sequences of a batch have different lengths, hence a row of positions for each. Angles are computed in "
        "float64 and only their cosines and sines are rounded: as a float16, an angle near 4000 would be off by up to "
        "a radian."
    ),
)
def rope_offsets(x, lengths, theta):
    """Rotate the next rows of sequences that are in a cache already (Meta's layout).

    Row t of sequence b stands at position lengths[b] + t. A chunk of any size, rotated like this, is
    what rotating the whole sequence at once would have given for these rows.

    Parameters
    ----------
    x : ndarray of shape (B, H, T, head_dim)
    lengths : integer ndarray of shape (B,)
        How many tokens of each sequence came before, the new rows not among them; hundreds in a
        long text.
    theta : float

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `x`
    """
    positions = lengths[:, None] + np.arange(x.shape[2])  # (B, T)
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = (positions[..., None] * frequencies)[:, None]  # (B, 1, T, head_dim / 2)
    c, s = np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype)
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


def at(x, positions, theta):
    positions = np.broadcast_to(positions, (x.shape[0], x.shape[2]))
    return interleaved(x, *rope_table(x.shape[-1], int(positions.max()) + 1, theta), positions)


@rope_offsets.mistake(
    "Your function begins every chunk at position 0.",
    "The rows continue sequences: the first one stands at position lengths[b].",
)
def begins_every_chunk_at_position_0(x, lengths, theta):
    return at(x, np.arange(x.shape[2]), theta)


@rope_offsets.mistake(
    "Your function gives every sequence the offset of the first.",
    "Sequences of a batch differ in length: positions have the shape (B, T), not (T,).",
)
def gives_every_sequence_offset_of_first(x, lengths, theta):
    return rope_offsets(x, np.full_like(lengths, lengths[0]), theta)


@rope_offsets.mistake(
    "Your function gives every sequence the offset of the longest.",
    "That is right for padded caches only. Here each sequence continues at its own length.",
)
def gives_every_sequence_offset_of_longest(x, lengths, theta):
    return rope_offsets(x, np.full_like(lengths, lengths.max()), theta)


@rope_offsets.mistake(
    "Your function gives all rows of a chunk the same position.",
    "Row t of the chunk stands t further on: lengths[:, None] + np.arange(T).",
)
def gives_all_rows_the_same_position(x, lengths, theta):
    return at(x, lengths[:, None], theta)


@rope_offsets.mistake(
    "Your function is one position late.",
    "Positions count from 0: after n tokens the next one has the position n, not n + 1.",
)
def is_one_position_late(x, lengths, theta):
    return rope_offsets(x, lengths + 1, theta)


@rope_offsets.mistake(
    "Your function is one position early.",
    "The last token in the cache has the position lengths[b] - 1; the first new one has lengths[b].",
)
def is_one_position_early(x, lengths, theta):
    return rope_offsets(x, lengths - 1, theta)


@rope_offsets.mistake(
    "Your function takes the lengths to include the new rows.",
    "lengths[b] counts what came before the chunk: its first row stands at lengths[b], its last at lengths[b] + T - 1.",
)
def lengths_with_the_new_rows(x, lengths, theta):
    return rope_offsets(x, lengths - x.shape[2], theta)


@rope_offsets.mistake(
    "Your function adds the length to the angles, not to the positions.",
    "Each pair turns at its own frequency: (position + length) * frequency, not position * frequency + length.",
)
def constant_angle(x, lengths, theta):
    """The offset added to the angles: every pair is shifted by the same angle."""
    frequencies = theta ** (-np.arange(0, x.shape[-1], 2) / x.shape[-1])
    angles = lengths[:, None, None] + np.arange(x.shape[2])[:, None] * frequencies  # (B, T, head_dim / 2)
    rows = np.arange(angles.shape[0] * angles.shape[1]).reshape(angles.shape[:2])
    flat = angles.reshape(-1, angles.shape[-1])
    return interleaved(x, np.cos(flat).astype(x.dtype), np.sin(flat).astype(x.dtype), rows)


@rope_offsets.mistake(
    "Your function rotates the pairs (x[i], x[i + head_dim/2]).",
    "The positions are right; this exercise asks for neighbours, (x[2i], x[2i+1]).",
)
def rotates_halves(x, lengths, theta):
    return half(
        x,
        *rope_table(x.shape[-1], int(lengths.max()) + x.shape[2], theta),
        lengths[:, None] + np.arange(x.shape[2]),
    )


@rope_offsets.mistake(
    "Your function uses theta = 10000 whatever it is given.",
    "Models that reach further have a larger theta: take the argument.",
)
def uses_theta_10000_whatever_it_is_given(x, lengths, theta):
    return rope_offsets(x, lengths, 10000.0)
