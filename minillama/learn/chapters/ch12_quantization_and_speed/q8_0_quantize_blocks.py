"""Quantise to 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import BLOCK
from .variants import largest_of, reciprocal


def make_q8_0(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A block of exact halves whose largest number is negative, one of zeros, and random ones, the last tiny."""
    x = rng.normal(size=(n, BLOCK)) * np.exp(rng.normal(size=(n, 1)))
    x[0] = 0.25 * rng.permutation(np.r_[np.arange(-15.5, 15), -127.0])
    if n > 1:
        x[1] = 0
    if n > 2:
        x[-1] *= 2.0**-15
    return (x.astype(np.float32),)


def gguf_q8_0(x):
    import gguf

    packed = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
    return packed[:, :2].copy().view(np.float16)[:, 0], packed[:, 2:].copy().view(np.int8)


@exercise(
    title="Quantise to 8 bits",
    task="Quantise blocks of 32 numbers as Q8_0: one float16 scale and 32 signed bytes each.",
    difficulty=2,
    minutes=15,
    make=make_q8_0,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 20}),
    axes=("block", "element"),
    outputs=("d", "q"),
    oracle=gguf_q8_0,
    hints=(
        "The number of largest size in a block must become 127 or -127. Which scale does that, and what does a "
        "block of zeros need?",
        "d = max|x| / 127 for each row, with keepdims=True so that it divides the row. Round to the nearest integer; "
        "an exact half goes away from zero, which np.round does not do.",
        "d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)\n"
        "scaled = x / np.where(d == 0, np.float32(1), d)\n"
        "q = np.trunc(scaled + np.copysign(0.5, scaled)).astype(np.int8)\n"
        "return d[:, 0].astype(np.float16), q",
    ),
    why=(
        "Divided by 127, the largest size uses a signed byte evenly on both sides of zero, and a scale of its own for "
        "each block keeps an outlier from spoiling a whole row. Halves are rounded by hand, because `np.round` sends "
        "them to the even neighbour. Only so are the bytes the same as those of llama.cpp."
    ),
)
def q8_0_quantize_blocks(x):
    """Quantise blocks of 32 numbers as Q8_0.

    d = max|x| / 127,     q[i] = round(x[i] / d), halves away from zero

    The integers come from d in float32; it is rounded to float16 only to be stored. A block of
    zeros has d = 0 and q = 0.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)
        A block in every row.

    Returns
    -------
    d : float16 ndarray of shape (n,)
    q : int8 ndarray of shape (n, 32)
    """
    d = np.abs(x).max(axis=1, keepdims=True) / np.float32(127)
    scaled = x / np.where(d == 0, np.float32(1), d)
    q = np.trunc(scaled + np.copysign(np.float32(0.5), scaled))  # np.round would send 0.5 to 0
    return d[:, 0].astype(np.float16), q.astype(np.int8)


def away(x):
    """Rounded to the nearest integer, halves away from zero."""
    return np.trunc(x + np.copysign(np.float32(0.5), x))


def q8_0_with(largest, rounding, levels=127.0, stored=np.float16):
    """The quantiser with some of its parts exchanged."""

    def function(x):
        d = (largest(x) / np.float32(levels)).astype(np.float32)
        return d[:, 0].astype(stored), rounding(x * reciprocal(d)).astype(np.int8)

    return function


q8_0_quantize_blocks.mistake(
    "Your function divides the largest size by 128.",
    "int8 reaches from -128 to 127: with d = max / 128 a positive largest number becomes 128, which does not "
    "fit. Q8_0 uses 127 on both sides.",
    q8_0_with(largest_of, away, 128.0),
)

q8_0_quantize_blocks.mistake(
    "Your function takes the largest number, not the largest size.",
    "A block whose largest number in size is negative needs its absolute value: np.abs(x).max(axis=1).",
    q8_0_with(lambda x: x.max(axis=1, keepdims=True), away),
)

q8_0_quantize_blocks.mistake(
    "Your function cuts the fraction off instead of rounding.",
    "astype(np.int8) goes towards zero: errors of up to a whole step, all in one direction. Round first.",
    q8_0_with(largest_of, np.trunc),
)

q8_0_quantize_blocks.mistake(
    "Your function rounds exact halves to the even neighbour, as np.round does.",
    "Q8_0 rounds halves away from zero, as C's roundf does: 0.5 becomes 1, -2.5 becomes -3.",
    q8_0_with(largest_of, np.round),
)

q8_0_quantize_blocks.mistake(
    "Your function rounds exact halves upwards: floor(x + 0.5).",
    "For negative numbers that goes towards zero. Add a half with the sign of the number, and truncate.",
    q8_0_with(largest_of, lambda s: np.floor(s + np.float32(0.5))),
)

q8_0_quantize_blocks.mistake(
    "Your function has one scale for all blocks.",
    "Each row of x is a block with a largest number of its own: axis=1.",
    q8_0_with(lambda x: np.full((len(x), 1), np.abs(x).max()), away),
)


@q8_0_quantize_blocks.mistake(
    "Your function divides by the scale after it was rounded to float16.",
    "The file stores the rounded scale, but the integers come from the unrounded one: that is how the format "
    "is defined, and other programs would get other bytes.",
)
def q8_0_rounded_scale(x):
    d = (largest_of(x) / np.float32(127)).astype(np.float16)
    return d[:, 0], away(x * reciprocal(d.astype(np.float32))).astype(np.int8)


q8_0_quantize_blocks.mistake(
    "Your function returns scales that are not rounded to float16.",
    "A Q8_0 block has two bytes for its scale: d.astype(np.float16).",
    q8_0_with(largest_of, away, stored=np.float32),
)
