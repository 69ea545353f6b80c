"""The gradient."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import AXES, SHAPES, make_inputs
from .rope_interleaved import rope_interleaved
from .variants import EVEN, ODD, first_of_batch, half, interleaved, overwritten, without_gaps


def torch_gradient(dy, cos, sin, positions):
    import torch

    x = torch.zeros(dy.shape, dtype=torch.float64, requires_grad=True)
    c, s = (torch.tensor(a, dtype=torch.float64)[torch.tensor(positions)][:, None] for a in (cos, sin))
    even, odd = x[..., 0::2], x[..., 1::2]
    y = torch.stack((even * c - odd * s, even * s + odd * c), dim=-1).flatten(-2)
    y.backward(torch.tensor(dy, dtype=torch.float64))
    assert x.grad is not None
    return x.grad.numpy()


@exercise(
    title="The gradient",
    task="From the gradient of the rotated rows, compute that of the rows before the rotation (Meta's layout).",
    difficulty=1,
    minutes=10,
    make=make_inputs,
    shapes=SHAPES,
    axes=AXES,
    oracle=torch_gradient,
    hints=(
        "A linear map y = R x has the gradient dx = transpose(R) dy. What is the transpose of a rotation?",
        "The transpose of [[cos, -sin], [sin, cos]] is [[cos, sin], [-sin, cos]]: the rotation by minus the angle.",
        "return rope_interleaved(dy, cos, -sin, positions)",
    ),
    why=(
        "The way back through a matrix is its transpose, and the transpose of a rotation is the rotation by the "
        "opposite angle. A cosine does not notice the sign of its angle and a sine takes it on, so a minus before sin "
        "is all. Nothing of x is needed, and the forward pass has nothing to keep but the table."
    ),
)
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
    return rope_interleaved(dy, cos, -sin, positions)


@rope_backward.mistake(
    "Your function turns the gradient forward once more.",
    "The gradient passes the transposed matrix, and the transpose of a rotation turns the other way: the "
    "sines change their sign.",
)
def turns_forward_once_more(dy, cos, sin, positions):
    return interleaved(dy, cos, sin, positions)


@rope_backward.mistake(
    "Your function has turned the sign of the whole matrix.",
    "Turning back by an angle changes the sign of the sines alone; the cosine of -a is that of a.",
)
def turns_the_sign_of_the_whole_matrix(dy, cos, sin, positions):
    return interleaved(dy, -cos, sin, positions)


@rope_backward.mistake(
    "Your function returns the gradient as it came.",
    "A rotation keeps lengths, but not directions: the gradient has to be turned back.",
)
def returns_gradient_as_it_came(dy, cos, sin, positions):
    return dy.copy()


@rope_backward.mistake(
    "Your function turns back the pairs (x[i], x[i + head_dim/2]).",
    "Here the forward pass has rotated neighbours, (x[2i], x[2i+1]): the gradient has the same pairs.",
)
def turns_back_halves(dy, cos, sin, positions):
    return half(dy, cos, -sin, positions)


@rope_backward.mistake(
    "Your function counts positions from 0 in every call.",
    "The backward pass uses the very angles of the forward pass: look them up with `positions`.",
)
def counts_positions_from_0_in_every_call(dy, cos, sin, positions):
    return rope_backward(dy, cos, sin, np.broadcast_to(np.arange(dy.shape[2]), positions.shape))


@rope_backward.mistake(
    "Your function has overwritten the first number of each pair before the second one used it.",
    "Both new numbers need both old ones: keep the old ones in variables, or write into a new array.",
)
def overwrites_the_even_ones(dy, cos, sin, positions):
    return overwritten(dy, cos, -sin, positions, EVEN, ODD)


@rope_backward.mistake(
    "Your function uses the first sequence's positions for the whole batch.",
    "Every sequence of a batch has its own positions: cos[positions] has the shape (B, T, head_dim/2).",
)
def uses_the_first_positions_for_all(dy, cos, sin, positions):
    return rope_backward(dy, cos, sin, first_of_batch(positions))


@rope_backward.mistake(
    "Your function lets the positions run on by one from the first of each sequence.",
    "There may be gaps, and any order: look up every row's own position, positions[b, t].",
)
def positions_run_on(dy, cos, sin, positions):
    return rope_backward(dy, cos, sin, without_gaps(positions))
