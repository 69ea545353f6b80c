"""Multiply packed weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ....quantization.formats import FORMATS, PackedArray
from ....quantization.kernels import matvec_packed
from ...exercises.exercise import Speed, exercise
from .inputs import BLOCK, half_bytes
from .variants import halves, high_first, neighbours, q4_0_numbers


def make_q4_0_matrix(rng: np.random.Generator, R: int, B: int) -> tuple[Any, ...]:
    d = rng.normal(size=R * B) * 0.1
    blocks = np.concatenate((half_bytes(d), rng.integers(0, 256, (R * B, 16), np.uint8)), axis=1)
    return blocks.reshape(R, B, 18), (rng.normal(size=BLOCK * B) + 0.5).astype(np.float32)


def q4_0_product(numbers, offset=8, scale=halves):
    def function(blocks, x):
        weight = scale(blocks).astype(np.float64) * (numbers(blocks) - offset)
        return (weight.reshape(len(blocks), -1) @ x).astype(np.float32)

    return function


def q4_0_naive(blocks, x):
    y = np.zeros(len(blocks), np.float32)
    for r in range(len(blocks)):
        for b in range(blocks.shape[1]):
            d = float(blocks[r, b, :2].view(np.float16)[0])
            total = 0.0
            for i in range(16):
                byte = int(blocks[r, b, 2 + i])
                total += ((byte & 15) - 8) * float(x[32 * b + i]) + ((byte >> 4) - 8) * float(x[32 * b + 16 + i])
            y[r] += d * total
    return y


def q4_0_fast(blocks, x):
    y = np.empty((1, len(blocks)), np.float32)
    matvec_packed(x[None], PackedArray(blocks.reshape(len(blocks), -1), FORMATS["Q4_0"], x.size), y)
    return y[0]


def q4_0_torch(blocks, x):
    """PyTorch has no Q4_0: unpacked, then multiplied."""
    import torch

    q = torch.cat((blocks[..., 2:] & 15, blocks[..., 2:] >> 4), dim=-1).float() - 8
    d = blocks[..., :2].contiguous().view(torch.float16).float()
    return (d * q).reshape(len(blocks), -1) @ x


def gguf_q4_0_product(blocks, x):
    """gguf's unpacking, PyTorch's product."""
    import gguf
    import torch

    weight = gguf.quants.dequantize(blocks.reshape(-1, 18), gguf.GGMLQuantizationType.Q4_0)
    return (torch.tensor(weight.reshape(len(blocks), -1)).double() @ torch.tensor(x).double()).numpy()


@njit(fastmath=True)
def _multiply_q4_0(d, blocks, x, y):
    for r in range(len(y)):
        for b in range(d.shape[1]):
            total = np.float32(0)
            for i in range(16):
                byte = np.int32(blocks[r, b, 2 + i])
                total += np.float32((byte & 15) - 8) * x[32 * b + i]
                total += np.float32((byte >> 4) - 8) * x[32 * b + 16 + i]
            y[r] += d[r, b] * total


@exercise(
    title="Multiply packed weights",
    task="Multiply a matrix that stays packed in Q4_0 with a vector; Numba makes it worth while.",
    difficulty=3,
    minutes=40,
    reference=q4_0_product(q4_0_numbers),
    make=make_q4_0_matrix,
    shapes=({"R": 2, "B": 2}, {"R": 1, "B": 1}, {"R": 3, "B": 2}, {"R": 7, "B": 5}, {"R": 24, "B": 18}),
    axes=("row",),
    oracle=gguf_q4_0_product,
    hints=(
        "First make it right with NumPy: unpack as in q4_0_dequantize_blocks, reshape to (R, C), multiply. Then make "
        "it fast: no array of all weights.",
        "In Numba: one loop over the rows, one over the blocks, one over the 16 bytes. A byte serves x[32 b + i] with "
        "its lower half and x[32 b + 16 + i] with its upper one. Numba has no float16: unpack the scales outside, "
        "with .view(np.float16).",
        "d = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)\n"
        "@njit(fastmath=True)\n"
        "def multiply(d, blocks, x, y):\n"
        "    for r in range(len(y)):\n"
        "        for b in range(d.shape[1]):\n"
        "            total = np.float32(0)\n"
        "            for i in range(16):\n"
        "                byte = np.int32(blocks[r, b, 2 + i])\n"
        "                total += np.float32((byte & 15) - 8) * x[32 * b + i] + ...\n"
        "            y[r] += d[r, b] * total",
    ),
    why=(
        "Decoding waits for memory, so weights that are unpacked in a register cost 4.5 bits each instead of 32. The "
        "scale comes out of the sum of a block, and each half of a byte meets its own activation, 16 apart. An array "
        "of unpacked weights would bring back the very traffic that the format saves."
    ),
    speed=Speed(
        dims={"R": 4096, "B": 18},
        flops=lambda R, B: 2.0 * R * B * BLOCK,
        bytes=lambda R, B: float(R * B * 18),
        fast=q4_0_fast,
        naive=q4_0_naive,
        torch=q4_0_torch,
    ),
)
def q4_0_matvec(blocks, x):
    """Multiply a matrix that stays packed in Q4_0 with a vector: y = W x.

    NumPy is enough to be right. With Numba, and without an array of all the unpacked weights, it
    becomes fast: the speed card compares it with plain loops and with the package's kernel.

    Parameters
    ----------
    blocks : uint8 ndarray of shape (R, B, 18)
        Block b of row r, laid out as in `q4_0_dequantize_blocks`.
    x : float32 ndarray of shape (32 * B,)

    Returns
    -------
    y : float32 ndarray of shape (R,)
    """
    d = np.ascontiguousarray(blocks[..., :2]).view(np.float16)[..., 0].astype(np.float32)  # (R, B)
    y = np.zeros(len(blocks), np.float32)
    _multiply_q4_0(d, blocks, x, y)
    return y


q4_0_matvec.mistake(
    "Your function takes the halves of a byte for neighbours, elements 2i and 2i + 1.",
    "Byte i of a block belongs to x[32 b + i] and x[32 b + 16 + i].",
    q4_0_product(neighbours),
)

q4_0_matvec.mistake(
    "Your function multiplies the lower halves with the second 16 activations.",
    "The lower half of byte i is element i, the upper half element i + 16.",
    q4_0_product(high_first),
)

q4_0_matvec.mistake(
    "Your function does not subtract 8.",
    "Numbers 0 ... 15 stand for -8 ... 7. The whole product is too large by 8 * sum(d * x).",
    q4_0_product(q4_0_numbers, 0),
)

q4_0_matvec.mistake(
    "Your function leaves the scales out.",
    "Each block's sum is multiplied with the float16 in its first two bytes.",
    q4_0_product(q4_0_numbers, scale=lambda blocks: np.ones((*blocks.shape[:2], 1))),
)

q4_0_matvec.mistake(
    "Your function uses the scale of a row's first block for all of them.",
    "Every block has a scale of its own.",
    q4_0_product(q4_0_numbers, scale=lambda blocks: halves(blocks)[:, :1]),
)
