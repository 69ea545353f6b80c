"""Rotary position embedding, RoPE (Su et al. 2021, arXiv:2104.09864; LLaMA 2 section 2.2).

Every pair of neighbours of a head turns by an angle that grows with the position m:

    angle_i = m * theta ** (-2 i / head_dim),           i = 0 ... head_dim / 2 - 1

    y[2i]     = x[2i] * cos(angle_i) - x[2i + 1] * sin(angle_i)
    y[2i + 1] = x[2i] * sin(angle_i) + x[2i + 1] * cos(angle_i)

so that the product of a query at position m with a key at position n depends on m - n only.
A rotation's transpose is its inverse: the gradient turns back by the same angle.

Two layouts exist. Meta's files, GGUF and llama2.c pair neighbours, as above ("interleaved"):
the layout inside this package. Hugging Face pairs x[i] with x[i + head_dim / 2]
("rotate half") and stores the rows of wq and wk in that order; `half_to_interleaved` brings
them back when such a file is loaded. With the wrong pairing everything runs and the text is
wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..compute.array_types import Float, Ints
from ..compute.jit import helper, threaded
from ..compute.simd import load_floats, multiply, multiply_add, store_floats
from ..compute.simd_pairs import load_twice, turn_pairs
from ..config import RopeScaling
from .rope_scaling import scaled_frequencies

# Numbers from which a second thread saves more than it costs.
_THREADED_SIZE = 16_384


class RoPESaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    cos: Float  # (S, head_dim / 2)
    sin: Float  # (S, head_dim / 2)
    positions: Ints  # (B, T)


def rope_table(
    head_dim: int,
    n_positions: int,
    theta: float,
    dtype: DTypeLike = np.float32,
    scaling: RopeScaling | None = None,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cosine and sine of every angle for positions 0 ... n_positions - 1.

    The angles are computed in float64 and rounded once: at position 4000 a float32 angle
    would already be off by 1e-4.

    Parameters
    ----------
    scaling : RopeScaling, optional
        What a relative of LLaMA 2 changes for longer texts; see rope_scaling.py.

    Returns
    -------
    cos, sin : ndarray of shape (n_positions, head_dim / 2)
    """
    frequencies = theta ** (-np.arange(0, head_dim, 2, dtype=np.float64) / head_dim)
    magnitude = 1.0
    if scaling is not None:
        frequencies, magnitude = scaled_frequencies(frequencies, theta, scaling)
    angles = np.arange(n_positions, dtype=np.float64)[:, None] * frequencies
    return (magnitude * np.cos(angles)).astype(dtype), (magnitude * np.sin(angles)).astype(dtype)


def _check(x: Float, cos: Float, positions: Ints) -> None:
    if x.ndim != 4 or x.shape[3] != 2 * cos.shape[1]:
        raise ValueError(f"x must be (B, H, T, {2 * cos.shape[1]}) for this table, got {x.shape}")
    if positions.shape != (x.shape[0], x.shape[2]):
        raise ValueError(f"positions must be (B, T) = {(x.shape[0], x.shape[2])}, got {positions.shape}")
    if positions.size and not 0 <= positions.min() <= positions.max() < len(cos):
        raise ValueError(f"positions must be in [0, {len(cos)}), got {positions.min()} to {positions.max()}")


def rope_forward(x: Float, cos: Float, sin: Float, positions: Ints) -> tuple[Float, RoPESaved]:
    """Rotate the neighbouring pairs of every head by the angles of their positions.

    Parameters
    ----------
    x : ndarray of shape (B, H, T, head_dim)
    cos, sin : ndarray of shape (S, head_dim / 2)
        From `rope_table`.
    positions : integer ndarray of shape (B, T)
        The position of every row of `x` in its own sequence, below S.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `x`
    saved : RoPESaved

    Raises
    ------
    ValueError
        When shapes do not fit or a position lies outside the table.
    """
    _check(x, cos, positions)
    c, s = cos[positions][:, None], sin[positions][:, None]  # (B, 1, T, head_dim / 2)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = even * c - odd * s
    y[..., 1::2] = even * s + odd * c
    return y, RoPESaved(cos, sin, positions)


def rope_backward(dy: Float, saved: RoPESaved) -> Float:
    """Gradient of `x`, from `dy` (B, H, T, head_dim): turned back by the same angles."""
    return rope_forward(dy, saved.cos, -saved.sin, saved.positions)[0]


def interleaved_to_half(rows: NDArray[Any], head_dim: int) -> NDArray[Any]:
    """Reorder the rows of wq or wk from Meta's layout to Hugging Face's, head by head.

    Row 2i + b of a head moves to row b * head_dim / 2 + i: [0, 1, 2, 3] -> [0, 2, 1, 3].

    Parameters
    ----------
    rows : ndarray of shape (n_heads * head_dim, ...)
        Any dtype: the rows of a packed matrix move as bytes.
    """
    shape = _heads_of(rows, head_dim)
    return rows.reshape(shape, head_dim // 2, 2, -1).swapaxes(1, 2).reshape(rows.shape)


def half_to_interleaved(rows: NDArray[Any], head_dim: int) -> NDArray[Any]:
    """The inverse of `interleaved_to_half`: Hugging Face's layout to Meta's."""
    shape = _heads_of(rows, head_dim)
    return rows.reshape(shape, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _heads_of(rows: NDArray[Any], head_dim: int) -> int:
    if head_dim % 2 or len(rows) % head_dim:
        raise ValueError(f"{len(rows)} rows are not whole heads of an even head_dim {head_dim}")
    return len(rows) // head_dim


# --- numba kernels: the same contract, one pass over memory ---------------------------


@helper(exact=True)
def rotate_row(x, cos, sin, y):  # x, y (head_dim,), may be the same; cos, sin (head_dim / 2,)
    for i in range(cos.size):
        even, odd = x[2 * i], x[2 * i + 1]
        y[2 * i] = even * cos[i] - odd * sin[i]
        y[2 * i + 1] = even * sin[i] + odd * cos[i]


@helper
def _rotate_row_in_vectors(x, cos, sin, y):  # float32, head_dim a multiple of 16
    for i in range(0, y.size, 16):
        pairs = load_floats(x, i)
        turned = multiply(turn_pairs(pairs), load_twice(sin, i // 2))
        store_floats(y, i, multiply_add(pairs, load_twice(cos, i // 2), turned))


@threaded(from_size=_THREADED_SIZE)
def _rotate_in_vectors(first, last, x, cos, sin, positions, y):
    _, n_heads, n_tokens, _ = x.shape
    for i in range(first, last):
        b, h = i // n_heads, i % n_heads
        for t in range(n_tokens):
            m = positions[b, t]
            _rotate_row_in_vectors(x[b, h, t], cos[m], sin[m], y[b, h, t])


@threaded(from_size=_THREADED_SIZE)
def _rotate(first, last, x, cos, sin, positions, y):
    _, n_heads, n_tokens, _ = x.shape
    for i in range(first, last):
        b, h = i // n_heads, i % n_heads
        for t in range(n_tokens):
            m = positions[b, t]
            rotate_row(x[b, h, t], cos[m], sin[m], y[b, h, t])


def rope_forward_fast(x: Float, cos: Float, sin: Float, positions: Ints) -> tuple[Float, RoPESaved]:
    """`rope_forward`, compiled."""
    _check(x, cos, positions)
    y = np.empty(x.shape, x.dtype)
    _rotate_into(y, x, cos, sin, positions)
    return y, RoPESaved(cos, sin, positions)


def _rotate_into(y: Float, x: Float, cos: Float, sin: Float, positions: Ints) -> None:
    rotate = _rotate
    if x.dtype == cos.dtype == np.float32 and x.shape[3] % 16 == 0 and x.strides[3] == y.strides[3] == x.itemsize:
        rotate = _rotate_in_vectors
        cos, sin = np.ascontiguousarray(cos), np.ascontiguousarray(sin)
    rotate(x.shape[0] * x.shape[1], x, cos, sin, positions, y, size=x.size)


def rope_backward_fast(dy: Float, saved: RoPESaved) -> Float:
    """`rope_backward`, compiled. The result lies in memory as `dy` does, for attention a token's heads side by side."""
    _check(dy, saved.cos, saved.positions)
    dx = np.empty_like(dy)
    _rotate_into(dx, dy, saved.cos, -saved.sin, saved.positions)
    return dx
