"""Chapter 05: RoPE, rotary position embedding.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check rope_interleaved`. `minillama learn lab 05`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def rope_angles(head_dim, positions, theta):
    """The angle by which every pair turns at the given positions.

    angle[t, i] = positions[t] * theta ** (-2 i / head_dim),     i = 0 ... head_dim / 2 - 1

    Parameters
    ----------
    head_dim : int
        Even.
    positions : integer ndarray of shape (T,)
        From 0 on, not always 0, 1, 2 ...: there may be gaps, and any order.
    theta : float

    Returns
    -------
    angles : ndarray of shape (T, head_dim / 2)
    """
    raise NotImplementedError


def rope_interleaved(x, cos, sin, positions):
    """Rotate the neighbouring pairs (x[2i], x[2i+1]) of every head: Meta's layout.

    y[2i]     = x[2i] * cos(angle_i) - x[2i + 1] * sin(angle_i)
    y[2i + 1] = x[2i] * sin(angle_i) + x[2i + 1] * cos(angle_i)

    Parameters
    ----------
    x : ndarray of shape (B, H, T, head_dim)
    cos, sin : ndarray of shape (S, head_dim / 2)
        One row for each position 0 ... S - 1.
    positions : integer ndarray of shape (B, T)
        The position of every row of `x` in its own sequence. There may be gaps, and any order.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `x`
    """
    raise NotImplementedError


def rope_half(x, cos, sin, positions):
    """The same rotation in Hugging Face's layout: the pairs are (x[i], x[i + head_dim / 2]).

    Parameters and result as in `rope_interleaved`: same dtype as `x`.
    """
    raise NotImplementedError


def permute_half_to_interleaved(rows, head_dim):
    """Reorder the rows of wq or wk from Hugging Face's layout to Meta's, head by head.

    Row b * head_dim / 2 + i of a head becomes row 2i + b: the first four rows of a head of
    4 dims, [0, 1, 2, 3], become [0, 2, 1, 3].

    Parameters
    ----------
    rows : ndarray of shape (H * head_dim, D)
    head_dim : int
        Even.

    Returns
    -------
    ndarray of the same shape
    """
    raise NotImplementedError


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
    raise NotImplementedError


def rope_backward(dy, cos, sin, positions):
    """The gradient of a loss through `rope_interleaved`, with respect to its x.

    Parameters
    ----------
    dy : ndarray of shape (B, H, T, head_dim)
        The gradient with respect to the rotated rows.
    cos, sin, positions
        What the forward pass was given.

    Returns
    -------
    dx : ndarray of shape (B, H, T, head_dim), same dtype as `dy`
    """
    raise NotImplementedError
