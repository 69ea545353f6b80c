"""Where the norm stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import SCALES, make_flat, torch_forward
from .rmsnorm_forward import rmsnorm_forward
from .variants import forward


def make_add(rng: np.random.Generator, N: int, D: int) -> tuple[Any, ...]:
    x, weight, eps = make_flat(rng, N, D)
    update = rng.normal(size=x.shape) * SCALES[np.arange(N) % 4][:, None]
    return x, update.astype(np.float32), weight, eps


def torch_add(x, update, weight, eps):
    import torch

    h = torch.tensor(x, dtype=torch.float64) + torch.tensor(update, dtype=torch.float64)
    return h.numpy(), torch_forward(h.numpy(), weight, eps)


@exercise(
    title="Where the norm stands",
    task="Add a layer's result to the residual stream and normalise a copy for the next layer: (h, y).",
    difficulty=1,
    minutes=10,
    make=make_add,
    shapes=(
        {"N": 1, "D": 4},
        {"N": 1, "D": 1},
        {"N": 2, "D": 3},
        {"N": 5, "D": 8},
        {"N": 7, "D": 65},
    ),
    axes=("row", "dim"),
    outputs=("h", "y"),
    oracle=torch_add,
    hints=(
        "Pre-norm: the stream h continues as it is, nothing ever divides it. The next layer reads a normalised copy.",
        "h is the plain sum. y is rmsnorm_forward of which of the three: x, update or h?",
        "h = x + update\nreturn h, rmsnorm_forward(h, weight, eps)",
    ),
    why=(
        "The stream has to stay the plain sum of what all layers have said; a norm in its way would rescale it again "
        "and again, and the gradient with it. So the norm works on a copy that the next layer alone reads. The sum "
        "comes first, since that layer has to see what the one before it has added."
    ),
)
def add_rmsnorm(x, update, weight, eps):
    """Add a layer's result to the residual stream, and normalise a copy for the next layer.

    Parameters
    ----------
    x : float32 ndarray of shape (N, D)
        The residual stream before the layer.
    update : float32 ndarray of shape (N, D)
        The layer's result.
    weight : float32 ndarray of shape (D,)
        Of the next layer's norm.
    eps : float

    Returns
    -------
    h : float32 ndarray of shape (N, D)
        The residual stream after the layer.
    y : float32 ndarray of shape (N, D)
        What the next layer reads.
    """
    h = x + update
    return h, rmsnorm_forward(h, weight, eps)


@add_rmsnorm.mistake(
    "Your function passes the normalised rows on as the stream.",
    "That is post-norm, as in the first Transformer. In LLaMA the stream itself is never normalised: return "
    "the sum as h.",
)
def passes_normalised_rows_on_as_stream(x, update, weight, eps):
    return (forward(x + update, weight, eps), forward(x + update, weight, eps))


@add_rmsnorm.mistake(
    "Your y is the norm of the stream before the update.",
    "The next layer must see what this one has written: normalise h, not x.",
)
def y_is_norm_of_stream_before_update(x, update, weight, eps):
    return (x + update, forward(x, weight, eps))


@add_rmsnorm.mistake(
    "Your y is the norm of the update alone.",
    "The next layer reads the whole stream: normalise h = x + update.",
)
def y_is_norm_of_update_alone(x, update, weight, eps):
    return (x + update, forward(update, weight, eps))


@add_rmsnorm.mistake(
    "Your function normalises the update before it is added.",
    "A layer's result is added as it is; its input was normalised.",
)
def normalises_update_before_it_is_added(x, update, weight, eps):
    return add_rmsnorm(x, forward(update, weight, eps), weight, eps)


@add_rmsnorm.mistake(
    "Your h is the stream without the update.",
    "The stream carries the sum of all layers' results: h = x + update, and y is made from it.",
)
def h_is_stream_without_update(x, update, weight, eps):
    return (x, forward(x + update, weight, eps))
