"""Token embedding: row `tokens[b, t]` of the table stands for that token.

    x[b, t] = weight[tokens[b, t]]

Backward, every row collects the gradients of all places where its token stands:

    dweight[v] = sum of dx[b, t] over all (b, t) with tokens[b, t] = v

LLaMA does not scale it and adds no position: RoPE brings positions in at every layer.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..compute.array_types import Float, Ints
from ..compute.jit import kernel, threaded
from ..quantization.formats import Weight


class EmbeddingSaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    tokens: Ints  # (...)
    weight: Weight  # (V, D)


def check_ids(tokens: Ints, vocab_size: int) -> None:
    """Refuse ids that are no rows of the table.

    A model does so at its door (`checked_ids`). The layer does it again, because it can be called
    by itself, and its kernel would read memory past the table.

    Raises
    ------
    ValueError
    """
    if not tokens.size:
        return
    low, high = int(tokens.min()), int(tokens.max())
    if low < 0 or high >= vocab_size:
        raise unknown_id(low if low < 0 else high, vocab_size)


def unknown_id(token: int, vocab_size: int) -> ValueError:
    """The error that says which ids there are."""
    return ValueError(f"token ids must be in [0, {vocab_size}), the vocabulary of the model; got {token}")


def as_tokens(tokens: ArrayLike) -> NDArray[np.int64]:
    """Token ids as an int64 array (B, T); one sequence (T,) becomes a batch of one.

    Raises
    ------
    ValueError
        When they are not integers, not of one or two dimensions, or none.
    """
    array = np.asarray(tokens)
    if array.size == 0:
        raise ValueError("there are no tokens: the model needs at least one (BOS starts an empty text)")
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        raise ValueError(f"tokens must be integers of shape (T,) or (B, T), got {array.dtype} of shape {array.shape}")
    return np.ascontiguousarray(np.atleast_2d(array), np.int64)


def checked_ids(tokens: ArrayLike, vocab_size: int) -> NDArray[np.int64]:
    """`as_tokens`, and every id in the vocabulary: the door through which ids come in.

    Raises
    ------
    ValueError
        As `as_tokens`; and when an id is outside the vocabulary.
    """
    ids = as_tokens(tokens)
    check_ids(ids, vocab_size)
    return ids


def embedding_forward(tokens: Ints, weight: Weight) -> tuple[Float, EmbeddingSaved]:
    """Look up the row of every token.

    Parameters
    ----------
    tokens : integer ndarray of shape (...)
    weight : (V, D), an ndarray or packed

    Returns
    -------
    x : ndarray of shape (..., D), float32 from a packed table, else the table's dtype
    saved : EmbeddingSaved

    Raises
    ------
    ValueError
        When an id lies outside the table (NumPy would silently take -1 as the last row).
    """
    check_ids(tokens, weight.shape[0])
    rows = tokens.reshape(-1)
    x = weight[rows] if isinstance(weight, np.ndarray) else weight.to_float32(rows)
    return x.reshape(*tokens.shape, weight.shape[1]), EmbeddingSaved(tokens, weight)


def embedding_backward(dx: Float, saved: EmbeddingSaved) -> Float:
    """Gradient of the table: `dx` (..., D) added up by token.

    Returns
    -------
    dweight : ndarray of shape (V, D), same dtype as `dx`
        Zero for tokens that do not occur.
    """
    tokens, weight = saved
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


def embedding_forward_fast(tokens: Ints, weight: Weight) -> tuple[Float, EmbeddingSaved]:
    """`embedding_forward`, compiled for many rows of a plain table.

    A packed table, and the single row of a decoding step, cost next to nothing either way.
    """
    if not isinstance(weight, np.ndarray) or tokens.size < 64:
        return embedding_forward(tokens, weight)
    check_ids(tokens, weight.shape[0])
    x = np.empty((tokens.size, weight.shape[1]), weight.dtype)
    _gather(tokens.size, tokens.reshape(-1), weight, x, size=x.size)
    return x.reshape(*tokens.shape, weight.shape[1]), EmbeddingSaved(tokens, weight)


def embedding_backward_fast(dx: Float, saved: EmbeddingSaved) -> Float:
    """`embedding_backward`, compiled; float32 and float64 (NumPy does the others)."""
    if dx.dtype == np.float16:
        return embedding_backward(dx, saved)  # Numba on CPU has no float16
    return embedding_backward_onto(dx, saved, np.zeros(saved.weight.shape, dx.dtype))


def embedding_backward_onto(dx: Float, saved: EmbeddingSaved, dweight: Float) -> Float:
    """`embedding_backward_fast`, added to `dweight` (V, D) in place: a tied head's gradient has the same rows."""
    tokens, weight = saved
    _scatter_add(tokens.reshape(-1), np.ascontiguousarray(dx).reshape(-1, weight.shape[1]), dweight)
    return dweight
