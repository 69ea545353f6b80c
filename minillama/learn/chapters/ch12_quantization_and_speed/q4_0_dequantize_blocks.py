"""Unpack 4 bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....quantization.formats import FORMATS
from ...exercises.exercise import exercise
from .inputs import half_bytes
from .variants import halves, high_first, neighbours, q4_0_numbers


def make_q4_0_bytes(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    d = rng.normal(size=n) * np.exp(rng.normal(size=n))
    return (np.concatenate((half_bytes(d), rng.integers(0, 256, (n, 16), np.uint8)), axis=1),)


def gguf_dequantize_q4_0(blocks):
    import gguf

    return gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q4_0)


@exercise(
    title="Unpack 4 bits",
    task="Turn blocks of 18 bytes in the format Q4_0 into 32 numbers each.",
    difficulty=2,
    minutes=15,
    same_as=FORMATS["Q4_0"].dequantize,
    make=make_q4_0_bytes,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 8}, {"n": 33}),
    axes=("block", "element"),
    oracle=gguf_dequantize_q4_0,
    hints=(
        "Two bytes of scale, then 16 bytes with two numbers each. Numbers 0 ... 15 stand for -8 ... 7.",
        "byte & 15 is the lower half, byte >> 4 the upper one. The lower halves are the elements 0 ... 15, the upper "
        "ones the elements 16 ... 31. .view(np.float16) reads two bytes as one number.",
        "d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)   # (n, 1)\n"
        "q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)\n"
        "return d * (q.astype(np.float32) - 8)",
    ),
    why=(
        "A mask takes the lower half of a byte and a shift the upper one. The two are 16 elements apart, and not "
        "neighbours, so that one instruction splits 16 bytes into two runs that lie as they are needed. Numbers "
        "become float32 before 8 is subtracted, since an unsigned byte cannot be negative."
    ),
)
def q4_0_dequantize_blocks(blocks):
    """Turn Q4_0 blocks into numbers: w = d * (q - 8).

    The 18 bytes of a block: a float16 scale d, then 16 bytes with two numbers q of 4 bits each.
    Byte i of the 16 holds q[i] in its lower half and q[i + 16] in its upper half.

    Parameters
    ----------
    blocks : uint8 ndarray of shape (n, 18)

    Returns
    -------
    w : float32 ndarray of shape (n, 32)
    """
    d = np.ascontiguousarray(blocks[:, :2]).view(np.float16).astype(np.float32)  # (n, 1)
    q = np.concatenate((blocks[:, 2:] & 15, blocks[:, 2:] >> 4), axis=1)  # (n, 32)
    return d * (q.astype(np.float32) - 8)


def twos_complement(q):
    return np.where(q > 7, q - 16, q)


def dequantized(numbers, offset=8.0, scale=halves):
    return lambda blocks: (scale(blocks) * (numbers(blocks) - offset)).astype(np.float32)


def big_endian(blocks):
    return np.ascontiguousarray(blocks[..., 1::-1]).view(np.float16).astype(np.float32)


q4_0_dequantize_blocks.mistake(
    "Your function takes the halves of a byte for neighbours, elements 2i and 2i + 1.",
    "In Q4_0 byte i holds element i in its lower half and element i + 16 in its upper half: concatenate all "
    "lower halves and all upper ones, do not interleave them.",
    dequantized(neighbours),
)

q4_0_dequantize_blocks.mistake(
    "Your function puts the upper halves first.",
    "The lower halves (byte & 15) are the elements 0 ... 15.",
    dequantized(high_first),
)

q4_0_dequantize_blocks.mistake(
    "Your function does not subtract 8.",
    "The stored numbers have no sign: 0 stands for -8, 8 for 0, 15 for 7.",
    dequantized(q4_0_numbers, 0.0),
)


@q4_0_dequantize_blocks.mistake(
    "Your function reads the four bits as a two's complement number.",
    "The sign is kept as an offset: w = d * (q - 8). In two's complement 8 would be -8; here it is 0.",
)
def reads_twos_complement(blocks):
    return (halves(blocks) * twos_complement(q4_0_numbers(blocks))).astype(np.float32)


q4_0_dequantize_blocks.mistake(
    "Your function subtracts 7.5, the middle of 0 ... 15.",
    "Zero has to be representable: q = 8 is exactly 0, so the levels reach from -8 to 7.",
    dequantized(q4_0_numbers, 7.5),
)

q4_0_dequantize_blocks.mistake(
    "Your function reads the scale with its two bytes exchanged.",
    "GGUF is little-endian: the lower byte comes first, as NumPy's view reads it on common machines.",
    dequantized(q4_0_numbers, scale=big_endian),
)


@q4_0_dequantize_blocks.mistake(
    "Your function subtracts 8 while the numbers are still bytes.",
    "A uint8 below 8 wraps round to 248 ... 255. Convert to a signed type first.",
)
def subtracts_8_while_numbers_are_still_bytes(blocks):
    return (halves(blocks) * ((q4_0_numbers(blocks) - 8) % 256)).astype(np.float32)
