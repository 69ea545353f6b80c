"""Functions that the mistakes of several exercises are made of, and the package's with the same arguments."""

from __future__ import annotations

import math

import numpy as np


def softmax(scores, axis=-1):
    """The right softmax, over any axis."""
    exponentials = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def visible_keys(positions, n_keys):
    """True where a query at positions[..., t] may look at a key: (..., T, S)."""
    return np.arange(n_keys) <= positions[..., None]


def attend(q, k, v, visible, *, scale=None, axis=-1):
    """Attention with whatever mask, scale and axis of the softmax; scores are q . k / scale."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]) if scale is None else scale)
    return softmax(np.where(visible, scores, q.dtype.type(-np.inf)), axis) @ v


def mask_after(q, k, v, visible):
    """Zeros in the probabilities, which then do not sum to 1."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]))
    return np.where(visible, softmax(scores), q.dtype.type(0)) @ v


def from_zero(positions):
    """Positions 0 ... T - 1, as if nothing came before."""
    return np.broadcast_to(np.arange(positions.shape[-1]), positions.shape)


def seen_by_heads(positions, n_keys):
    return visible_keys(positions, n_keys)[:, None]


def end_aligned(n_queries, n_keys):
    """The mask that takes the last query for the last key."""
    return np.tri(n_queries, n_keys, n_keys - n_queries, dtype=bool)


def without_gaps(positions):
    """Positions that run on by one from the first."""
    return positions[..., :1] + np.arange(positions.shape[-1])


def unshifted(q, k, v, visible):
    """Attention without a maximum subtracted: exp overflows, or all of it is 0."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]))
    weights = np.exp(np.where(visible, scores, q.dtype.type(-np.inf)))
    return weights / weights.sum(axis=-1, keepdims=True) @ v
