"""The zero point."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import BLOCK, block_sums


def make_zero_point(rng: np.random.Generator, R: int, B: int, zero: int) -> tuple[Any, ...]:
    q = rng.integers(0, 2 * zero, (R, BLOCK * B), np.uint8)
    x = rng.integers(-40, 128, BLOCK * B).astype(np.int8)
    return block_sums(q, x), x, zero


@exercise(
    title="The zero point",
    task="Correct block sums of unsigned weights times activations, so that they are those of weights minus `zero`.",
    difficulty=1,
    minutes=10,
    make=make_zero_point,
    shapes=(
        {"R": 2, "B": 2, "zero": 8},
        {"R": 1, "B": 1, "zero": 8},
        {"R": 3, "B": 1, "zero": 16},
        {"R": 4, "B": 3, "zero": 128},
        {"R": 16, "B": 7, "zero": 8},
    ),
    axes=("row", "block"),
    hints=(
        "Write sum((q - zero) * x) as two sums. One of them is given, the other does not depend on the row.",
        "The second sum is zero * sum(x over the block): x.reshape(-1, 32).sum(axis=1), added up in int32.",
        "totals = x.astype(np.int32).reshape(-1, 32).sum(axis=1)   # (B,)\nreturn sums - zero * totals",
    ),
    why=(
        "What was added to every weight adds `zero` times the sum of the activations, whatever the weights are. That "
        "sum belongs to a block of x and not to a row, so it is computed once and serves all rows. It is taken in "
        "int32, because 32 signed bytes may add up to 4096 in size."
    ),
)
def zero_point_correction(sums, x, zero):
    """From sums with unsigned weights to sums with signed ones.

    The CPU multiplies unsigned weights, so `zero` was added to every one of them. Given

    sums[r, b] = sum over i in block b of u[r, i] * x[i],     u = q + zero

    return the sums of q[r, i] * x[i], without the weights.

    Parameters
    ----------
    sums : int32 ndarray of shape (R, B)
    x : int8 ndarray of shape (32 * B,)
    zero : int
        8, 16 or 128.

    Returns
    -------
    ndarray of integers of shape (R, B)
    """
    totals = x.astype(np.int32).reshape(-1, 32).sum(axis=1)  # (B,)
    return sums - zero * totals


@zero_point_correction.mistake(
    "Your function changes nothing.",
    "The weights were stored with `zero` added, to make them unsigned: that has to be taken off again.",
)
def changes_nothing(sums, x, zero):
    return sums.copy()


@zero_point_correction.mistake(
    "Your function subtracts zero once from every sum.",
    "Every one of the 32 weights is too large by zero, and each is multiplied with its own x: the sum of x.",
)
def subtracts_zero_once_from_every_sum(sums, x, zero):
    return sums - zero


@zero_point_correction.mistake(
    "Your function subtracts 32 * zero from every sum.",
    "That would be right if every x were 1. Each weight's excess is multiplied with its activation.",
)
def subtracts_32_times_zero(sums, x, zero):
    return sums - BLOCK * zero


@zero_point_correction.mistake(
    "Your function subtracts zero times the sum of all activations from every block.",
    "Each block knows only its own 32 activations: reshape x to (B, 32) and sum along the last axis.",
)
def subtracts_zero_times_sum_of_all_activations(sums, x, zero):
    return sums - zero * x.astype(np.int32).sum()


@zero_point_correction.mistake(
    "Your function adds the correction.",
    "sum((q - zero) x) = sum(q x) - zero sum(x): a minus.",
)
def adds_correction(sums, x, zero):
    return sums + zero * x.astype(np.int32).reshape(-1, BLOCK).sum(axis=1)


@zero_point_correction.mistake(
    "Your function adds the activations up in int8, where they wrap round.",
    "32 numbers of up to 127 reach 4064: int32 (NumPy's sum takes a wide integer by itself, unless dtype is given).",
)
def adds_activations_up_in_int8(sums, x, zero):
    return sums - zero * x.reshape(-1, BLOCK).sum(axis=1, dtype=np.int8).astype(np.int32)
