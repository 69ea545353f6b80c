"""Pairwise summation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_long(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A large number, then many small ones that a running sum rounds off again and again."""
    x = np.full(n, rng.uniform(0.55, 0.7)) * rng.uniform(0.99, 1.01, n)
    x[0] = 4.0 * n
    return (x.astype(np.float32),)


def torch_sum(x):
    import torch

    return torch.tensor(x, dtype=torch.float64).sum().numpy()


@exercise(
    title="Pairwise summation",
    task="Add up many float32 numbers so that the error does not grow with their count: halves, and halves of halves.",
    difficulty=2,
    minutes=15,
    make=make_long,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 1000}, {"n": 60001}),
    oracle=torch_sum,
    rtol=1e-5,
    hints=(
        "A running sum gets large, and a small number added to a large one loses its last digits. When are both "
        "summands about the same size?",
        "The sum of an array is the sum of its first half plus the sum of its second half, both found the same way. "
        "Short arrays (up to a hundred or so) may be added in a loop.",
        "if len(x) <= 32:\n    add up in a loop of float32, return\nmiddle = len(x) // 2\n"
        "return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])",
    ),
    why=(
        "In a running sum a number that joins late meets a total far larger than itself and loses its last digits. "
        "Halving keeps both sides of an addition at a similar size, and each number takes part in about log2(n) "
        "additions instead of up to n. Below 32 numbers a plain loop is as good and saves most of the calls."
    ),
)
def pairwise_sum(x):
    """The sum of float32 numbers, as the sum of two halves that are summed in the same way.

    The error of a running sum grows with the count of numbers, that of the pairwise sum with its
    logarithm. float64 inside would pass too; the task is to do without.

    Parameters
    ----------
    x : float32 ndarray of shape (n,), n at least 1

    Returns
    -------
    total : float32
    """
    if len(x) <= 32:
        total = np.float32(0)
        for number in x:
            total += number
        return total
    middle = len(x) // 2
    return pairwise_sum(x[:middle]) + pairwise_sum(x[middle:])


@pairwise_sum.mistake(
    "Your function adds one number after the other to a float32.",
    "Once the sum is large, every addition rounds off a part of the small number, always the same way here. "
    "Add halves to halves, so that both summands are of one size.",
)
def running(x):
    return np.cumsum(x)[-1]


@pairwise_sum.mistake(
    "Your function loses the last number of every array of odd length.",
    "The two halves of 7 are 3 and 4: x[:middle] and x[middle:].",
)
def drops_odd(x):
    while len(x) > 1:
        x = x[: len(x) // 2] + x[len(x) // 2 : 2 * (len(x) // 2)]
    return x[0]


@pairwise_sum.mistake(
    "Your function skips the number in the middle.",
    "x[:middle] ends before the middle, so the second half has to begin with it: x[middle:].",
)
def skips_middle(x):
    if len(x) < 3:
        return pairwise_sum(x)
    middle = len(x) // 2
    return skips_middle(x[:middle]) + skips_middle(x[middle + 1 :])


@pairwise_sum.mistake(
    "Your function adds the first half to itself.",
    "The two recursive calls need different halves.",
)
def first_half_twice(x):
    return x[0] if len(x) == 1 else 2 * first_half_twice(x[: (len(x) + 1) // 2])


@pairwise_sum.mistake(
    "Your function returns the mean.",
    "The sum is wanted: do not divide by the number of elements.",
)
def returns_mean(x):
    return pairwise_sum(x) / np.float32(len(x))
