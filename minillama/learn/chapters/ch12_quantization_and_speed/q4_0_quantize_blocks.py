"""Quantise to 4 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quantization.formats import quantize
from ...exercises.exercise import exercise
from .inputs import BLOCK, half_bytes, signed_largest
from .variants import largest_of, reciprocal


def make_q4_0(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """A block of exact halves with a number that rounds past the last level; and random ones, the last tiny."""
    x = rng.normal(size=(n, BLOCK)) * np.exp(rng.normal(size=(n, 1)))
    x[0] = 0.5 * rng.permutation(np.r_[np.arange(-7.5, 7), np.arange(-6.5, 7), -8.0, 7.8, 7.75])
    x[1::2] *= np.sign(np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1))[1::2]  # largest one positive
    if n > 2:
        x[-1] *= 2.0**-15
    return (x.astype(np.float32),)


def _q4_0(x):
    return quantize(x, "Q4_0").data


def gguf_q4_0(x):
    import gguf

    return gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q4_0)


@exercise(
    title="Quantise to 4 bits",
    task="Quantise blocks of 32 numbers as Q4_0, to the very bytes that a GGUF file holds.",
    difficulty=3,
    minutes=25,
    same_as=_q4_0,
    make=make_q4_0,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 7}, {"n": 20}),
    axes=("block", "byte"),
    oracle=gguf_q4_0,
    exact=True,
    hints=(
        "There are 16 levels, -8 ... 7: one more on the negative side. The number of largest size gets that extra "
        "level, whatever its own sign is; the sign goes into d.",
        "d = (the number of largest size, with its sign) / -8. Then q = trunc(x / d + 8.5), and a number on the "
        "other side may come out as 16: clip to 15.",
        "largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)   # (n, 1)\n"
        "d = largest / np.float32(-8)\n"
        "q = np.minimum(np.trunc(x / d + np.float32(8.5)), 15).astype(np.uint8)\n"
        "bytes: d.astype(np.float16).view(np.uint8), then q[:, :16] | q[:, 16:] << 4",
    ),
    why=(
        "Sixteen levels cannot lie evenly around zero: eight are below and seven above. A scale that takes over the "
        "sign of the largest number spends the extra level on it, so that just that number is met. A number as large "
        "on the other side would become 16, and is held at 15 before it spills into the other half of its byte."
    ),
)
def q4_0_quantize_blocks(x):
    """Quantise blocks of 32 numbers as Q4_0, to the bytes of a GGUF file.

    The levels are d * (q - 8) with q = 0 ... 15. The number of largest size (the first of them) gets
    q = 0, whatever its sign; every other gets the nearest q that there is. Where x / d lies just
    half way between two, the larger q is taken.

    The integers come from d in float32; it is stored as float16. Layout as in
    `q4_0_dequantize_blocks`. No block consists of zeros only.

    Parameters
    ----------
    x : float32 ndarray of shape (n, 32)

    Returns
    -------
    blocks : uint8 ndarray of shape (n, 18)
    """
    largest = np.take_along_axis(x, np.abs(x).argmax(axis=1)[:, None], axis=1)  # with its sign
    d = largest / np.float32(-8)
    q = np.minimum(np.trunc(x / d + np.float32(8.5)), 15).astype(np.uint8)
    scale = d.astype(np.float16).view(np.uint8)  # (n, 2)
    return np.concatenate((scale, q[:, :16] | q[:, 16:] << 4), axis=1)


def q4_0_from(d, q, pack=lambda q: q[:, :16] | q[:, 16:] << 4):
    q = q.astype(np.int64).astype(np.uint8)
    return np.concatenate((half_bytes(d), pack(q)), axis=1)


def q4_0_levels(x, d):
    return np.trunc(x * reciprocal(d) + np.float32(8.5))


def q4_0_scale(x):
    return (signed_largest(x) / np.float32(-8)).astype(np.float32)


def q4_0_of_scale(scale, low=0, high=15):
    def function(x):
        d = scale(x).astype(np.float32)
        return q4_0_from(d, np.clip(q4_0_levels(x, d), low, high))

    return function


def q4_0_packed(pack):
    def function(x):
        d = q4_0_scale(x)
        return q4_0_from(d, np.clip(q4_0_levels(x, d), 0, 15), pack)

    return function


q4_0_quantize_blocks.mistake(
    "Your scale is max|x| / 8, always positive.",
    "The extra level -8 then serves only blocks whose largest number is negative. Q4_0 divides the largest "
    "number, with its sign, by -8: d may be negative.",
    q4_0_of_scale(lambda x: largest_of(x) / np.float32(8)),
)

q4_0_quantize_blocks.mistake(
    "Your scale is max|x| / 7: you use only 15 of the 16 levels.",
    "Symmetrical levels waste q = 0. Q4_0 puts the number of largest size at level -8.",
    q4_0_of_scale(lambda x: largest_of(x) / np.float32(7)),
)

q4_0_quantize_blocks.mistake(
    "Your scale has the wrong sign: the largest number is divided by 8, not by -8.",
    "The number of largest size must land on q = 0, which stands for -8; with +8 it would need q = 16.",
    q4_0_of_scale(lambda x: signed_largest(x) / np.float32(8)),
)

q4_0_quantize_blocks.mistake(
    "Your function lets a number become 16, which spills out of its four bits.",
    "A number almost as large as the largest one, with the other sign, rounds to 16. Clip to 15 before packing.",
    q4_0_of_scale(q4_0_scale, 0, 255),
)

q4_0_quantize_blocks.mistake(
    "Your function packs neighbours, elements 2i and 2i + 1, into a byte.",
    "Byte i holds element i (lower half) and element i + 16 (upper half).",
    q4_0_packed(lambda q: q[:, 0::2] | q[:, 1::2] << 4),
)

q4_0_quantize_blocks.mistake(
    "Your function puts elements 0 ... 15 into the upper halves of the bytes.",
    "The first 16 elements are the lower halves: q[:, :16] | q[:, 16:] << 4.",
    q4_0_packed(lambda q: q[:, 16:] | q[:, :16] << 4),
)


@q4_0_quantize_blocks.mistake(
    "Your function rounds exact halves to the even neighbour, as np.round does.",
    "The format says trunc(x / d + 8.5): halves go up.",
)
def q4_0_even(x):
    d = q4_0_scale(x)
    return q4_0_from(d, np.clip(np.rint(x * reciprocal(d)) + 8, 0, 15))


@q4_0_quantize_blocks.mistake(
    "Your function does not round: it adds 8, not 8.5.",
    "Truncating x / d + 8 loses half a step on average. The .5 makes it a rounding.",
)
def q4_0_cut(x):
    d = q4_0_scale(x)
    return q4_0_from(d, np.clip(np.trunc(x * reciprocal(d) + np.float32(8)), 0, 15))
