"""15 bits in two bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quantization.repacked_kernels import quantize_rows
from ...exercises.exercise import exercise
from .inputs import BLOCK
from .variants import reciprocal


def make_planes(rng: np.random.Generator, B: int) -> tuple[Any, ...]:
    """Numbers near whole multiples of a step, so that every right way of rounding agrees; zeros, and tiny ones."""
    q = rng.integers(-16000, 16000, (B, BLOCK)) + rng.uniform(-0.3, 0.3, (B, BLOCK))
    q[np.arange(B), rng.integers(0, BLOCK, B)] = 127 * 128 * np.where(np.arange(B) % 2, 1, -1)
    x = q * (2.0 ** rng.integers(-14, -9, (B, 1)))
    if B > 2:
        x[1] = 0
        x[-1] *= 2.0**-30
    return (x.reshape(-1).astype(np.float32),)


def planes(x):
    return tuple(part[0] for part in quantize_rows(x[None])[:4])


def observe_planes(function, args):
    """The planes may be split in more than one way: what counts is 128 * high + low, both in int8."""
    high, low, d, total = function(*args)
    for name, plane in (("high", high), ("low", low)):
        if np.asarray(plane).dtype != np.int8:
            raise TypeError(f"{name} should be an array of int8, is one of {np.asarray(plane).dtype}")
    return 128 * high.astype(np.int32) + low, d, total


@exercise(
    title="15 bits in two bytes",
    task="Round activations to 15 bits, one scale for 32, and split every integer into two signed bytes.",
    difficulty=2,
    minutes=20,
    same_as=planes,
    make=make_planes,
    shapes=({"B": 1}, {"B": 2}, {"B": 3}, {"B": 5}, {"B": 18}),
    axes=("element",),
    outputs=("128 * high + low", "d", "total"),
    observe=observe_planes,
    hints=(
        "The largest integer has to be 127 * 128, so that its upper part still fits in a signed byte.",
        "q = rint(x / d) with d = max|x| / (127 * 128); high = rint(q / 128), low = q - 128 * high, which lies in "
        "-64 ... 64. A block of zeros has d = 0: do not divide by it.",
        "blocks = x.reshape(-1, 32)\n"
        "d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)\n"
        "q = np.rint(blocks / np.where(d == 0, np.float32(1), d))\n"
        "high = np.rint(q / 128)\n"
        "low = q - 128 * high             # both .reshape(-1).astype(np.int8)\n"
        "return high, low, d[:, 0], q.sum(axis=1)",
    ),
    why=(
        "The instruction multiplies bytes, so a finer activation becomes two of them, and two integer products, one "
        "times 128, give what 15 bits would. Rounding `high` to the nearest leaves -64 to 64 for `low`, which fits "
        "into a signed byte. The total is what the zero point of unsigned weights is corrected with."
    ),
    rtol=1e-5,
)
def split_in_planes(x):
    """Round activations to 15 bits, the sign among them, in two planes of signed bytes.

    d = max|x| / (127 * 128) over each block of 32
    x = d * (128 * high + low)      but for the rounding to the nearest integer
    total = sum over the block of 128 * high + low

    A block of zeros has d = 0 and zeros everywhere. There is more than one way to split an integer
    in `high` and `low`; any is right in which both are int8.

    Parameters
    ----------
    x : float32 ndarray of shape (32 * B,)

    Returns
    -------
    high, low : int8 ndarrays of shape (32 * B,)
    d : float32 ndarray of shape (B,)
    total : ndarray of shape (B,)
    """
    blocks = x.reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127 * 128)
    q = np.rint(blocks / np.where(d == 0, np.float32(1), d))
    high = np.rint(q / 128)
    low = q - 128 * high  # -64 ... 64
    return high.reshape(-1).astype(np.int8), low.reshape(-1).astype(np.int8), d[:, 0], q.sum(axis=1)


def planes_with(x, levels=127 * 128, base=128, one_scale=False, sum_of="q", guarded=True):
    blocks = x.reshape(-1, BLOCK)
    largest = np.abs(blocks).max(axis=1, keepdims=True)
    largest = np.full_like(largest, largest.max()) if one_scale else largest
    d = (largest / np.float32(levels)).astype(np.float32)
    q = np.rint(blocks * reciprocal(d) if guarded else blocks / d)
    high = np.rint(q / base)
    total = (blocks if sum_of == "x" else q).sum(axis=1)
    parts = (high.astype(np.int8).reshape(-1), (q - base * high).astype(np.int8).reshape(-1))
    return (*parts, d[:, 0], np.full_like(total, q.sum()) if sum_of == "all" else total.astype(np.float32))


@split_in_planes.mistake(
    "Your function splits at 256 instead of 128.",
    "Both planes are signed bytes: a step of 128 leaves -64 ... 64 for the lower one and room for the upper one.",
)
def splits_at_256_instead_of_128(x):
    return planes_with(x, base=256)


@split_in_planes.mistake(
    "Your function rounds to 7 bits: the scale is max|x| / 127.",
    "That is Q8_0. Here the largest integer is 127 * 128 = 16256.",
)
def rounds_to_7_bits(x):
    return planes_with(x, levels=127)


@split_in_planes.mistake(
    "Your scale is max|x| / 32767, as for int16.",
    "The upper part of 32767 is 256: it does not fit in a signed byte.",
)
def scale_is_32767(x):
    return planes_with(x, levels=32767)


@split_in_planes.mistake(
    "Your lower plane is empty.",
    "What the upper plane leaves over, q - 128 * high, is seven bits of precision.",
)
def high_only(x):
    high, _, d, _ = planes(x)
    return high, np.zeros_like(high), d, 128 * high.astype(np.float32).reshape(-1, BLOCK).sum(axis=1)


@split_in_planes.mistake(
    "Your function has one scale for the whole row.",
    "Every 32 activations have their own: one large number must not coarsen all others.",
)
def has_one_scale_for_whole_row(x):
    return planes_with(x, one_scale=True)


@split_in_planes.mistake(
    "Your total is the sum of the numbers, not of their integers.",
    "The zero point is subtracted among integers: total is the sum of 128 * high + low over the block.",
)
def total_is_sum_of_numbers(x):
    return planes_with(x, sum_of="x")


@split_in_planes.mistake(
    "Your total is the sum over the whole row.",
    "There is one total for each block of 32.",
)
def total_is_sum_over_whole_row(x):
    return planes_with(x, sum_of="all")


@split_in_planes.mistake(
    "Your function divides by zero in a block of zeros.",
    "Activations that are all 0 have d = 0, and 0 / 0 is NaN, which spreads to everything. Divide by 1 there.",
)
def divides_by_zero_in_block_of_zeros(x):
    return planes_with(x, guarded=False)
