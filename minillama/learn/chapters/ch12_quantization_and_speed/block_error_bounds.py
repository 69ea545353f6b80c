"""How wrong can a number be?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import BLOCK, signed_largest


def make_blocks(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    x = (rng.normal(size=(n, BLOCK)) + rng.normal(size=(n, 1))) * np.exp(rng.normal(size=(n, 1)))
    x[::2] *= -np.sign(signed_largest(x))[::2]  # the largest one negative in every second block
    return (x.astype(np.float32),)


@exercise(
    title="How wrong can a number be?",
    task="The largest possible error of any number of a block in Q8_0, Q4_0 and Q4_1, from the block's numbers.",
    difficulty=2,
    minutes=15,
    make=make_blocks,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 9}, {"n": 40}),
    axes=("block",),
    outputs=("q8_0", "q4_0", "q4_1"),
    hints=(
        "Rounding to the nearest level is off by half the distance d of two levels at most, as long as the number "
        "lies between the lowest and the highest level. In one of the three formats it need not.",
        "Q8_0: d = max|x| / 127. Q4_1: d = (max - min) / 15. In Q4_0, d = max|x| / 8 and the levels are -8 d ... 7 d: "
        "a number of size 8 d on the side of the 7 is off by a whole d.",
        "size = np.abs(x).max(axis=1)\nreturn size / 127 / 2, size / 8, (x.max(axis=1) - x.min(axis=1)) / 15 / 2",
    ),
    why=(
        "Where levels cover the range, the worst place is the middle between two of them, half a step away. Q4_0 has "
        "eight levels on one side and seven on the other, so a number opposite to the largest is a whole step from "
        "the last level. Q4_1 pays for a minimum and spreads its levels over the true range, which helps blocks that "
        "are one-sided."
    ),
)
def block_error_bounds(x):
    """The largest error that any number with this block's scale can have, |w - x|, in three formats.

    Q8_0 has levels d * (-127 ... 127) with d = max|x| / 127; Q4_0 has d * (-8 ... 7) with
    d = (number of largest size) / -8; Q4_1 has m + d * (0 ... 15) with m = min x and
    d = (max x - min x) / 15. Every number goes to the nearest level that there is. The rounding of
    d and m to float16 is left out.

    Take any number that the format allows in a block with this d (and m), not the 32 that happen
    to be there: of size up to max|x| for Q8_0 and Q4_0, from min x to max x for Q4_1.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)

    Returns
    -------
    q8_0, q4_0, q4_1 : ndarrays of shape (n,)
    """
    size = np.abs(x).max(axis=1)
    q8_0 = size / 127 / 2  # the nearest level is half a step away at most
    q4_0 = size / 8  # there is no level +8: a number there is clipped by a whole step
    q4_1 = (x.max(axis=1) - x.min(axis=1)) / 15 / 2
    return q8_0, q4_0, q4_1


def bounds_with(part, value):
    """The right bounds, one of them exchanged."""
    return lambda x: tuple(value(x) if i == part else bound for i, bound in enumerate(block_error_bounds(x)))


block_error_bounds.mistake(
    "Your bound for Q4_0 is half a step.",
    "That holds between the levels. Q4_0 has no level +8: a number as large as the largest, with the other "
    "sign, is clipped to 7 and off by a whole step d.",
    bounds_with(1, lambda x: np.abs(x).max(axis=1) / 16),
)

block_error_bounds.mistake(
    "Your bound for Q8_0 is a whole step.",
    "The nearest level is at most half a step away, and no number of a Q8_0 block is clipped.",
    bounds_with(0, lambda x: np.abs(x).max(axis=1) / 127),
)

block_error_bounds.mistake(
    "Your bound for Q4_1 divides the range by 16 levels.",
    "16 levels have 15 steps between them: d = (max - min) / 15.",
    bounds_with(2, lambda x: np.ptp(x, axis=1) / 32),
)

block_error_bounds.mistake(
    "Your bound for Q4_1 comes from the largest size, not from the range.",
    "Q4_1 keeps a minimum: its levels reach from the least to the largest number, wherever zero is.",
    bounds_with(2, lambda x: np.abs(x).max(axis=1) / 15),
)

block_error_bounds.mistake(
    "Your bound for Q4_1 is a whole step.",
    "Both ends of the range are levels, so nothing is clipped: half a step.",
    bounds_with(2, lambda x: np.ptp(x, axis=1) / 15),
)


@block_error_bounds.mistake(
    "Your function takes the largest number where it needs the largest size.",
    "A block's scale follows its absolute values: np.abs(x).max(axis=1).",
)
def takes_the_largest_number_for_the_largest_size(x):
    return (x.max(axis=1) / 254, x.max(axis=1) / 8, np.ptp(x, axis=1) / 30)


@block_error_bounds.mistake(
    "Your function has one bound for all blocks.",
    "Every row of x is a block with a scale of its own; that is what blocks are for.",
)
def has_one_bound_for_all_blocks(x):
    return tuple(np.full(len(x), bound.max()) for bound in block_error_bounds(x))
