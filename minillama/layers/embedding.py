"""Token embedding: row `tokens[b, t]` of the table stands for that token.

    x[b, t] = weight[tokens[b, t]]

Backward, every row collects the gradients of all places where its token stands:

    dweight[v] = sum of dx[b, t] over all (b, t) with tokens[b, t] = v

LLaMA does not scale it and adds no position: RoPE brings positions in at every layer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..jit import kernel, threaded
from ..quantization import Weight

Float = NDArray[np.floating]
Ints = NDArray[np.integer]


class EmbeddingCache(NamedTuple):
    """What the backward pass needs from the forward pass."""

    tokens: Ints  # (...)
    weight: Weight  # (V, D)


def _check(tokens: Ints, vocab_size: int) -> None:
    if tokens.size and not 0 <= tokens.min() <= tokens.max() < vocab_size:
        wrong = tokens.min() if tokens.min() < 0 else tokens.max()
        raise ValueError(f"token ids must be in [0, {vocab_size}), the vocabulary of the model; got {wrong}")


def embedding_forward(tokens: Ints, weight: Weight) -> tuple[Float, EmbeddingCache]:
    """Look up the row of every token.

    Parameters
    ----------
    tokens : integer ndarray of shape (...)
    weight : (V, D), an ndarray or packed

    Returns
    -------
    x : ndarray of shape (..., D), float32 from a packed table, else the table's dtype
    cache : EmbeddingCache

    Raises
    ------
    ValueError
        When an id lies outside the table (NumPy would take -1 as the last row in silence).
    """
    _check(tokens, weight.shape[0])
    rows = tokens.reshape(-1)
    x = weight[rows] if isinstance(weight, np.ndarray) else weight.to_float32(rows)
    return x.reshape(*tokens.shape, weight.shape[1]), EmbeddingCache(tokens, weight)


def embedding_backward(dx: Float, cache: EmbeddingCache) -> Float:
    """Gradient of the table: `dx` (..., D) added up by token.

    Returns
    -------
    dweight : ndarray of shape (V, D), same dtype as `dx`
        Zero for tokens that do not occur.
    """
    tokens, weight = cache
    dweight = np.zeros(weight.shape, dx.dtype)
    np.add.at(dweight, tokens.reshape(-1), dx.reshape(-1, weight.shape[1]))
    return dweight


# --- numba kernels: the same contract --------------------------------------------------


@threaded(from_size=16_384, borrows=False)
def _gather(first, last, tokens, weight, x):  # tokens (N,), weight (V, D), x (N, D)
    for i in range(first, last):
        x[i] = weight[tokens[i]]


@kernel(borrows=True)
def _scatter_add(tokens, dx, dweight):  # one thread: two tokens may meet in a row
    for i in range(tokens.size):
        row = dweight[tokens[i]]
        for j in range(row.size):
            row[j] += dx[i, j]


def embedding_forward_fast(tokens: Ints, weight: Weight) -> tuple[Float, EmbeddingCache]:
    """`embedding_forward`, compiled for many rows of a plain table.

    A packed table, and the single row of a decoding step, cost next to nothing either way.
    """
    if not isinstance(weight, np.ndarray) or tokens.size < 64:
        return embedding_forward(tokens, weight)
    _check(tokens, weight.shape[0])
    x = np.empty((tokens.size, weight.shape[1]), weight.dtype)
    _gather(tokens.size, tokens.reshape(-1), weight, x, size=x.size)
    return x.reshape(*tokens.shape, weight.shape[1]), EmbeddingCache(tokens, weight)


def embedding_backward_fast(dx: Float, cache: EmbeddingCache) -> Float:
    """`embedding_backward`, compiled; float32 and float64 (NumPy does the others)."""
    tokens, weight = cache
    if dx.dtype == np.float16:
        return embedding_backward(dx, cache)  # Numba on CPU has no float16
    dweight = np.zeros(weight.shape, dx.dtype)
    _scatter_add(tokens.reshape(-1), np.ascontiguousarray(dx).reshape(-1, weight.shape[1]), dweight)
    return dweight
