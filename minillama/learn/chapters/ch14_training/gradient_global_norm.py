"""One norm for all."""

from __future__ import annotations

import math

import numpy as np

from ...exercises.exercise import exercise
from .inputs import tensors


def torch_norm(gradients):
    import torch

    return torch.nn.utils.get_total_norm([torch.tensor(g, dtype=torch.float64) for g in gradients]).item()


def make_gradients(rng, D, hidden):
    """Tensors of rather different sizes; with hidden = 5 all of them tiny."""
    size = np.float32(1e-12 if hidden == 5 else 1)
    return ([size * g for g in tensors(rng, D, hidden)],)


NORM_SHAPES = ({"D": 2, "hidden": 2}, {"D": 1, "hidden": 1}, {"D": 3, "hidden": 5}, {"D": 8, "hidden": 4})


@exercise(
    title="One norm for all",
    task="The length of the gradient: the root of the sum of the squares of all numbers of all tensors.",
    difficulty=1,
    minutes=10,
    make=make_gradients,
    shapes=(*NORM_SHAPES, {"D": 20, "hidden": 31}),
    oracle=torch_norm,
    hints=(
        "Think of all tensors, flattened and put one after another, as one long vector. What is its length?",
        "Squares add up over tensors, lengths do not: one sum over everything, then one root.",
        "return np.sqrt(sum(np.sum(np.square(g)) for g in gradients))",
    ),
    why=(
        "Tensors are only how parameters are stored; a step goes along one long vector, whose length is the root of "
        "all squares together. Squares of tensors can be added, their norms cannot. The sum is float64, because "
        "millions of tiny squares would vanish beside a large float32."
    ),
)
def gradient_global_norm(gradients):
    """The length of the gradient, all numbers of all tensors taken as one vector.

    Parameters
    ----------
    gradients : list of ndarrays of different shapes

    Returns
    -------
    float
    """
    return math.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients))


@gradient_global_norm.mistake(
    "Your function adds the norms of the tensors.",
    "Squares add up, lengths do not (3 and 4 give 5): the root comes last.",
)
def adds_norms_of_tensors(gradients):
    return sum(float(np.linalg.norm(g)) for g in gradients)


@gradient_global_norm.mistake(
    "Your function returns the sum of squares: the root is missing.",
    "A length is the root of the sum of squares.",
)
def returns_sum_of_squares(gradients):
    return gradient_global_norm(gradients) ** 2


@gradient_global_norm.mistake(
    "Your function returns the largest of the tensors' norms.",
    "All tensors together are one vector: add their squares.",
)
def returns_largest_of_tensors_norms(gradients):
    return max(float(np.linalg.norm(g)) for g in gradients)


@gradient_global_norm.mistake(
    "Your function takes the root of the mean square.",
    "The norm is a length, not an average: np.sum, not np.mean.",
)
def takes_root_of_mean_square(gradients):
    return gradient_global_norm(gradients) / math.sqrt(sum(g.size for g in gradients))


@gradient_global_norm.mistake(
    "Your function adds absolute values: the 1-norm.",
    "Clipping uses the 2-norm: squares and a root.",
)
def adds_absolute_values(gradients):
    return sum(float(np.abs(g).sum()) for g in gradients)


@gradient_global_norm.mistake(
    "Your function uses the spectral norm of the matrices.",
    "np.linalg.norm(m, 2) is the largest singular value of a matrix. Without the 2 it is the root of the sum "
    "of squares.",
)
def uses_spectral_norm_of_matrices(gradients):
    return math.sqrt(sum(float(np.linalg.norm(g, 2)) ** 2 for g in gradients))
