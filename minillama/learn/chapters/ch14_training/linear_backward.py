"""A matrix, backwards."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array
from .variants import linear_gradients


def make_linear(rng: np.random.Generator, B: int, T: int, D_out: int, D_in: int) -> Arrays:
    return normal_array(rng, B, T, D_out), normal_array(rng, B, T, D_in), normal_array(rng, D_out, D_in)


def torch_linear(dy, x, weight):
    import torch

    dy, x, weight = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (dy, x, weight))
    torch.nn.functional.linear(x, weight).backward(dy)
    return x.grad.numpy(), weight.grad.numpy()


@exercise(
    title="A matrix, backwards",
    task="Gradients of x (B, T, D_in) and of weight (D_out, D_in) in y = x @ weight.T, from dy (B, T, D_out).",
    difficulty=1,
    minutes=15,
    same_as=linear_gradients,
    make=make_linear,
    shapes=(
        {"B": 1, "T": 2, "D_out": 3, "D_in": 3},
        {"B": 1, "T": 1, "D_out": 2, "D_in": 3},
        {"B": 2, "T": 3, "D_out": 4, "D_in": 4},
        {"B": 3, "T": 5, "D_out": 7, "D_in": 4},
        {"B": 2, "T": 17, "D_out": 20, "D_in": 33},
    ),
    axes=("batch", "position", "dim"),
    outputs=("dx", "dweight"),
    oracle=torch_linear,
    hints=(
        "Write one number: y[t, o] = sum over i of x[t, i] weight[o, i]. Which y does x[t, i] reach, and with which "
        "factor? Which y does weight[o, i] reach?",
        "dx[t, i] = sum over o of dy[t, o] weight[o, i]: a product of matrices. dweight[o, i] = sum over all rows t "
        "of all sequences of dy[t, o] x[t, i]: another one, if batch and position become one axis.",
        "rows_of_dy, rows_of_x = dy.reshape(-1, D_out), x.reshape(-1, D_in)\n"
        "dx = dy @ weight\n"
        "dweight = rows_of_dy.T @ rows_of_x",
    ),
    why=(
        "Each input reaches every output through one weight, so going back means meeting the same matrix from its "
        "other side, without the transpose. A weight is used by all rows of all sequences, and what is used several "
        "times adds up its gradients. With batch and position as one axis, that sum is a matrix product."
    ),
)
def linear_backward(dy, x, weight):
    """The gradients of y = x @ weight.T.

    Parameters
    ----------
    dy : ndarray of shape (B, T, D_out)
    x : ndarray of shape (B, T, D_in)
    weight : ndarray of shape (D_out, D_in)

    Returns
    -------
    dx : ndarray of shape (B, T, D_in)
    dweight : ndarray of shape (D_out, D_in)
    """
    rows_of_dy, rows_of_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return dy @ weight, rows_of_dy.T @ rows_of_x


@linear_backward.mistake(
    "Your dx multiplies with weight.T, as the way forward does.",
    "Forward takes D_in to D_out. Backward goes from D_out to D_in: dy @ weight, without the transpose. With "
    "a square matrix nothing crashes.",
)
def dx_multiplies_with_the_transpose(dy, x, weight):
    return (dy @ weight.T, linear_gradients(dy, x, weight)[1])


@linear_backward.mistake(
    "Your dweight is transposed.",
    "A gradient has the shape of its parameter, (D_out, D_in): dy.T @ x, not x.T @ dy.",
)
def dweight_is_transposed(dy, x, weight):
    return (dy @ weight, linear_gradients(dy, x, weight)[1].T.copy())


@linear_backward.mistake(
    "Your dweight is divided by the number of sequences.",
    "dy says how the loss changes, whatever its mean is taken over: that division is in dy already. Sum.",
)
def dweight_is_divided_by_number_of_sequences(dy, x, weight):
    return (dy @ weight, linear_gradients(dy, x, weight)[1] / np.float32(len(x)))


@linear_backward.mistake(
    "Your dweight is a mean over all rows.",
    "Every row used the same matrix, and their effects on the loss add up: a sum over rows.",
)
def dweight_is_mean_over_all_rows(dy, x, weight):
    return (dy @ weight, linear_gradients(dy, x, weight)[1] / np.float32(x[..., 0].size))


@linear_backward.mistake(
    "Your dweight comes from the last sequence of the batch alone.",
    "A loop over the batch has to add (+=) to one array; an assignment keeps the last.",
)
def dweight_comes_from_last_sequence_of_batch(dy, x, weight):
    return (dy @ weight, dy[-1].T @ x[-1])


@linear_backward.mistake(
    "Your dweight has an axis for the batch: one gradient for each sequence.",
    "There is one matrix for all sequences, so its gradient is summed over them too: make batch and position "
    "one axis first.",
)
def dweight_has_axis_for_batch(dy, x, weight):
    return (dy @ weight, dy.swapaxes(1, 2) @ x)
