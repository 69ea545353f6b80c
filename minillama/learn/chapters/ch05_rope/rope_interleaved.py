"""Rotate neighbouring pairs."""

from __future__ import annotations

import numpy as np

from ....layers.rope import rope_forward_fast
from ...exercises.exercise import Speed, exercise
from .inputs import AXES, SHAPES, make_inputs
from .variants import EVEN, ODD, first_of_batch, half, interleaved, overwritten, without_gaps


def torch_interleaved(x, cos, sin, positions):
    """Meta's way: pairs of neighbours as complex numbers."""
    import torch

    pairs = torch.view_as_complex(torch.tensor(x, dtype=torch.float64).reshape(*x.shape[:-1], -1, 2))
    turn = torch.complex(torch.tensor(cos, dtype=torch.float64), torch.tensor(sin, dtype=torch.float64))
    turned = pairs * turn[torch.tensor(positions)][:, None]
    return torch.view_as_real(turned).flatten(-2).numpy()


def naive(x, cos, sin, positions):
    y = np.empty_like(x)
    batch, heads, n_tokens, head_dim = x.shape
    for b in range(batch):
        for h in range(heads):
            for t in range(n_tokens):
                for i in range(head_dim // 2):
                    c, s = cos[positions[b, t], i], sin[positions[b, t], i]
                    even, odd = x[b, h, t, 2 * i], x[b, h, t, 2 * i + 1]
                    y[b, h, t, 2 * i] = even * c - odd * s
                    y[b, h, t, 2 * i + 1] = even * s + odd * c
    return y


def torch_turn(x, cos, sin, positions):
    """For the speed card: tensors in, tensors out, float32."""
    import torch

    turned = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2)) * torch.complex(cos, sin)[positions][:, None]
    return torch.view_as_real(turned).flatten(-2)


@exercise(
    title="Rotate neighbouring pairs",
    task="Rotate the pairs (x[2i], x[2i+1]) of every head by the angles of their positions: Meta's layout.",
    difficulty=2,
    minutes=15,
    same_as=interleaved,
    replaces="rope",
    make=make_inputs,
    shapes=SHAPES,
    axes=AXES,
    oracle=torch_interleaved,
    speed=Speed(
        dims={"B": 1, "T": 512, "H": 9, "head_dim": 64},
        flops=lambda B, T, H, head_dim: 3 * B * T * H * head_dim,
        bytes=lambda B, T, H, head_dim: 4 * (2 * B * T * H * head_dim + B * T * head_dim) + 8 * B * T,
        naive=naive,
        fast=lambda x, cos, sin, positions: rope_forward_fast(x, cos, sin, positions)[0],
        torch=torch_turn,
    ),
    hints=(
        "Each pair is a point in the plane: turning it by an angle a gives (x cos a - y sin a, x sin a + y cos a). "
        "Which numbers of x make a pair, and which angle does it turn by?",
        "cos[positions] has shape (B, T, head_dim/2). x has (B, H, T, head_dim): an axis for the heads is missing. "
        "x[..., 0::2] are the first members of all pairs, x[..., 1::2] the second.",
        "c, s = cos[positions][:, None], sin[positions][:, None]\n"
        "y = np.empty_like(x)\n"
        "y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s      # and the odd ones likewise, with s and c",
    ),
    why=(
        "Every second number, from 0 and from 1, are the two coordinates of all pairs, so two slices do the work of a "
        "loop. All heads of a token turn alike: the looked-up rows get an axis of 1 in their place. The result is a "
        "new array, since each of its numbers needs both old ones."
    ),
)
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
    c, s = cos[positions][:, None], sin[positions][:, None]  # (B, 1, T, head_dim / 2)
    even, odd = x[..., 0::2], x[..., 1::2]
    y = np.empty_like(x)
    y[..., 0::2] = even * c - odd * s
    y[..., 1::2] = even * s + odd * c
    return y


@rope_interleaved.mistake(
    "Your function rotates the pairs (x[i], x[i + head_dim/2]).",
    "This exercise asks for neighbours, (x[2i], x[2i+1]). That is Hugging Face's rotate-half form: the "
    "trigonometry is right, only the pairing differs. Reshape the last axis to (head_dim/2, 2) before you "
    "rotate.",
)
def rotates_halves(x, cos, sin, positions):
    return half(x, cos, sin, positions)


@rope_interleaved.mistake(
    "Your function turns every pair the wrong way round.",
    "The sign of one sine is turned: x[2i] takes minus the sine, x[2i+1] takes plus.",
)
def turned_back(x, cos, sin, positions):
    return interleaved(x, cos, -sin, positions)


@rope_interleaved.mistake(
    "Your function counts positions from 0 in every call.",
    "With a cache a chunk does not start at position 0, and each sequence of a batch has its own: use "
    "`positions` to look up cos and sin.",
)
def from_zero(x, cos, sin, positions):
    return interleaved(x, cos, sin, np.broadcast_to(np.arange(x.shape[2]), positions.shape))


@rope_interleaved.mistake(
    "Your function uses the angle of the next position.",
    "Position 0 is not turned at all: the table's row for position m is row m.",
)
def one_late(x, cos, sin, positions):
    return interleaved(x, cos, sin, positions + 1)


@rope_interleaved.mistake(
    "Your function turns by the index of the head, not of the position.",
    "cos[positions] has axes (batch, position, pair); x has (batch, head, position, dim). Insert the head's "
    "axis: cos[positions][:, None].",
)
def head_as_position(x, cos, sin, positions):
    heads = np.broadcast_to(np.arange(x.shape[1])[:, None], x.shape[1:3])
    c, s = cos[heads], sin[heads]
    y = np.empty_like(x)
    y[..., 0::2] = x[..., 0::2] * c - x[..., 1::2] * s
    y[..., 1::2] = x[..., 0::2] * s + x[..., 1::2] * c
    return y


@rope_interleaved.mistake(
    "Your function has overwritten the first number of each pair before the second one used it.",
    "Both new numbers need both old ones: keep the old ones in variables, or write into a new array.",
)
def overwrites_the_even_ones(x, cos, sin, positions):
    return overwritten(x, cos, sin, positions, EVEN, ODD)


@rope_interleaved.mistake(
    "Your function uses the first sequence's positions for the whole batch.",
    "Every sequence of a batch has its own positions: cos[positions] has the shape (B, T, head_dim/2).",
)
def uses_the_first_positions_for_all(x, cos, sin, positions):
    return interleaved(x, cos, sin, first_of_batch(positions))


@rope_interleaved.mistake(
    "Your function lets the positions run on by one from the first of each sequence.",
    "There may be gaps, and any order: look up every row's own position, positions[b, t].",
)
def positions_run_on(x, cos, sin, positions):
    return interleaved(x, cos, sin, without_gaps(positions))


@rope_interleaved.mistake(
    "Your function rotates neighbours rightly, but puts the results into halves.",
    "Each pair stays where it is: y[..., 0::2] and y[..., 1::2], or np.stack(..., axis=-1) and a reshape. "
    "np.concatenate puts all first members in front.",
)
def results_in_halves(x, cos, sin, positions):
    y = interleaved(x, cos, sin, positions)
    return np.concatenate((y[..., 0::2], y[..., 1::2]), axis=-1)
