"""Clip the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .gradient_global_norm import gradient_global_norm
from .inputs import Arrays, tensors


def make_clip(rng: np.random.Generator, D: int, hidden: int, percent: int) -> Arrays:
    """Gradients whose norm is `percent` of the limit; for 0 all are zero and the limit is 1.

    With D = 4 they are so small that the summand counts.
    """
    gradients = [np.float32(1e-5 if D == 4 else 1) * g for g in tensors(rng, D, hidden)]
    if percent == 0:
        return [np.zeros_like(g) for g in gradients], 1.0
    return list(gradients), 100 * gradient_global_norm(gradients) / percent


def clip(gradients, max_norm):
    scale = min(1.0, max_norm / (gradient_global_norm(gradients) + 1e-6))
    return tuple(g * g.dtype.type(scale) for g in gradients)


def torch_clip(gradients, max_norm):
    import torch

    parameters: Any = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]
    for parameter, g in zip(parameters, gradients):
        parameter.grad = torch.tensor(g, dtype=torch.float64)
    torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    return tuple(parameter.grad.numpy() for parameter in parameters)


@exercise(
    title="Clip the gradient",
    task="Shorten the gradient, all tensors by one factor, so that its global norm is at most max_norm.",
    difficulty=2,
    minutes=15,
    reference=clip,
    make=make_clip,
    shapes=(
        {"D": 2, "hidden": 2, "percent": 300},
        {"D": 2, "hidden": 2, "percent": 50},
        {"D": 1, "hidden": 1, "percent": 1000},
        {"D": 3, "hidden": 5, "percent": 130},
        {"D": 4, "hidden": 3, "percent": 400},
        {"D": 8, "hidden": 4, "percent": 5},
        {"D": 2, "hidden": 3, "percent": 0},
        {"D": 20, "hidden": 31, "percent": 2500},
    ),
    axes=("row", "column"),
    outputs=("gradient 0", "gradient 1", "gradient 2"),
    oracle=torch_clip,
    hints=(
        "Clipping keeps the direction of the whole gradient and limits its length: one factor for all tensors.",
        "The factor is max_norm / norm where the norm is too large, and 1 where it is not.",
        "scale = min(1.0, max_norm / (norm + 1e-6))\nreturn [g * scale for g in gradients]",
    ),
    why=(
        "One factor for all tensors leaves the direction as it is and limits only how far the step goes. The minimum "
        "with 1 leaves short gradients alone. The tiny summand keeps a norm of 0 from dividing, and it is PyTorch's, "
        "so both give the same numbers."
    ),
)
def clip_by_global_norm(gradients, max_norm):
    """Shorten the gradient so that its global norm is at most max_norm; its direction stays.

    The gradients [3.0] and [4.0] become [0.6] and [0.8] with max_norm 1, and stay as they are with
    max_norm 6. As in PyTorch, 1e-6 is added to the norm.

    Parameters
    ----------
    gradients : list of ndarrays of different shapes
    max_norm : float

    Returns
    -------
    list or tuple of ndarrays
    """
    scale = min(1.0, max_norm / (gradient_global_norm(gradients) + 1e-6))
    return [g * np.float32(scale) for g in gradients]


@clip_by_global_norm.mistake(
    "Your function clips each tensor by its own norm.",
    "That changes the direction of the step: large tensors are held back and small ones are not. One norm "
    "over all tensors, one factor.",
)
def clips_each_tensor_by_its_own_norm(gradients, max_norm):
    return tuple(clip([g], max_norm)[0] for g in gradients)


@clip_by_global_norm.mistake(
    "Your function clips every number to ± max_norm.",
    "That is clipping by value; it bends the direction. Here the length of the whole gradient is limited.",
)
def clips_every_number_to_max_norm(gradients, max_norm):
    return tuple(np.clip(g, -max_norm, max_norm).astype(g.dtype) for g in gradients)


@clip_by_global_norm.mistake(
    "Your function makes the norm max_norm even where it is smaller.",
    "Small gradients stay as they are: the factor is at most 1.",
)
def always_scales_to_max_norm(gradients, max_norm):
    return tuple(g * g.dtype.type(max_norm / (gradient_global_norm(gradients) + 1e-6)) for g in gradients)


@clip_by_global_norm.mistake(
    "Your function normalises a long gradient to length 1, whatever max_norm is.",
    "The factor is max_norm / norm, not 1 / norm.",
)
def normalises_long_gradient_to_length_1(gradients, max_norm):
    return tuple(
        g * g.dtype.type(1 / gradient_global_norm(gradients) if gradient_global_norm(gradients) > max_norm else 1)
        for g in gradients
    )


@clip_by_global_norm.mistake(
    "Your function divides by the squared norm.",
    "max_norm / norm**2 makes long gradients too short: the root of the sum of squares is missing.",
)
def divides_by_squared_norm(gradients, max_norm):
    return tuple(
        g * g.dtype.type(min(1.0, max_norm / (gradient_global_norm(gradients) ** 2 + 1e-6))) for g in gradients
    )


@clip_by_global_norm.mistake(
    "Your function leaves out a step whose gradient is too long: it returns zeros.",
    "A long gradient still has a good direction: shorten it.",
)
def leaves_out_long_steps(gradients, max_norm):
    return tuple(g * g.dtype.type(gradient_global_norm(gradients) <= max_norm) for g in gradients)


@clip_by_global_norm.mistake(
    "Your function does not add 1e-6 to the norm.",
    "PyTorch divides by norm + 1e-6, which a norm of 0 needs and a tiny one shows: max_norm / (norm + 1e-6).",
)
def adds_nothing_to_the_norm(gradients, max_norm):
    norm = gradient_global_norm(gradients)
    return tuple(g * g.dtype.type(max_norm / norm if norm > max_norm else 1) for g in gradients)
