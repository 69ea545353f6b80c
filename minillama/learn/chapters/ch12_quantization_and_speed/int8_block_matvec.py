"""Multiply in integers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from ....compute.jit import kernel
from ...exercises.exercise import Speed, exercise
from .inputs import BLOCK, block_sums


def make_int8(rng: np.random.Generator, R: int, B: int) -> tuple[Any, ...]:
    q = rng.integers(-127, 128, (R, BLOCK * B)).astype(np.int8)
    x = rng.integers(-60, 128, BLOCK * B).astype(np.int8)
    return q, rng.uniform(0.2, 2, (R, B)).astype(np.float32), x, rng.uniform(0.2, 2, B).astype(np.float32)


def int8(q, d, x, dx):
    return (block_sums(q, x) * d.astype(np.float64) @ dx).astype(np.float32)


def int8_naive(q, d, x, dx):
    y = np.zeros(len(q), np.float32)
    for r in range(len(q)):
        for b in range(len(dx)):
            total = 0
            for i in range(BLOCK * b, BLOCK * b + BLOCK):
                total += int(q[r, i]) * int(x[i])
            y[r] += d[r, b] * dx[b] * total
    return y


@kernel
def int8_compiled(q, d, x, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(dx.size):
            total = np.int32(0)
            for i in range(BLOCK * b, BLOCK * b + BLOCK):
                total += np.int32(np.int32(q[r, i]) * np.int32(x[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


def int8_fast(q, d, x, dx):
    y = np.empty(len(q), np.float32)
    int8_compiled(q, d, x, dx, y)
    return y


def int8_torch(q, d, x, dx):
    """PyTorch has no such product: float32 weights, unpacked."""
    weight = q.float() * d.repeat_interleave(BLOCK, dim=1)
    return weight @ (x.float() * dx.repeat_interleave(BLOCK))


def int8_oracle(q, d, x, dx):
    import torch

    arguments = (torch.tensor(q), torch.tensor(d, dtype=torch.float64), torch.tensor(x))
    weight = arguments[0].double() * arguments[1].repeat_interleave(BLOCK, dim=1)
    return (weight @ (arguments[2].double() * torch.tensor(dx).double().repeat_interleave(BLOCK))).numpy()


@njit(fastmath=True)
def _multiply_int8(q, d, x, dx, y):
    for r in range(len(q)):
        result = np.float32(0)
        for b in range(len(dx)):
            total = np.int32(0)
            for i in range(32 * b, 32 * b + 32):
                total += np.int32(np.int32(q[r, i]) * np.int32(x[i]))
            result += d[r, b] * dx[b] * np.float32(total)
        y[r] = result


@exercise(
    title="Multiply in integers",
    task="Multiply a matrix of int8 blocks with a vector of int8 blocks: exact integer sums, one scale for each block.",
    difficulty=2,
    minutes=20,
    reference=int8,
    make=make_int8,
    shapes=({"R": 2, "B": 2}, {"R": 1, "B": 1}, {"R": 3, "B": 1}, {"R": 5, "B": 3}, {"R": 16, "B": 18}),
    axes=("row",),
    oracle=int8_oracle,
    hints=(
        "Inside a block all products have the same factor d * dx: it can wait until the block's integers are added "
        "up. Of which type must the sum be?",
        "A product of two int8 needs 16 bits, the sum of 32 of them 20: compute in int32. Then multiply every "
        "block's sum with its own d[r, b] * dx[b] and add over the blocks.",
        "products = q.astype(np.int32) * x.astype(np.int32)          # (R, C)\n"
        "sums = products.reshape(len(q), -1, 32).sum(axis=2)           # (R, C / 32)\n"
        "return (sums * d * dx).sum(axis=1)",
    ),
    why=(
        "All numbers of a block share their scales, so these come out of the sum, and inside is a product of integers "
        "without any rounding. A product of two bytes takes up to 16 bits and a sum of 32 of them about 20, hence "
        "int32. Floats are used once for each block, a small part of the work."
    ),
    speed=Speed(
        dims={"R": 4096, "B": 18},
        flops=lambda R, B: 2.0 * R * B * BLOCK,
        bytes=lambda R, B: float(R * B * (BLOCK + 4)),
        fast=int8_fast,
        naive=int8_naive,
        torch=int8_torch,
    ),
)
def int8_block_matvec(q, d, x, dx):
    """Multiply a quantised matrix with a quantised vector.

    y[r] = sum over blocks b of  d[r, b] * dx[b] * (sum over i in block b of q[r, i] * x[i])

    The inner sum is exact. Block b holds the elements 32 b ... 32 b + 31.

    Parameters
    ----------
    q : int8 ndarray of shape (R, C), C a multiple of 32
    d : float32 ndarray of shape (R, C / 32)
    x : int8 ndarray of shape (C,)
    dx : float32 ndarray of shape (C / 32,)

    Returns
    -------
    y : float32 ndarray of shape (R,)
    """
    y = np.empty(len(q), np.float32)
    _multiply_int8(q, d, x, dx, y)
    return y


@int8_block_matvec.mistake(
    "Your products are computed in int8 and wrap round.",
    "NumPy's int8 * int8 is int8: 100 * 100 becomes 16. Convert to int32 before the multiplication.",
)
def products_are_computed_in_int8_and_wrap(q, d, x, dx):
    return block_sums(q, x, np.int8) * d @ dx


@int8_block_matvec.mistake(
    "Your sums are kept in int16 and wrap round.",
    "32 products of up to 127 * 127 reach half a million: the sum needs int32.",
)
def sums_are_kept_in_int16_and_wrap(q, d, x, dx):
    return block_sums(q, x, np.int16, np.int16) * d @ dx


@int8_block_matvec.mistake(
    "Your function forgets the scales of the vector.",
    "x is quantised too: every block's sum is multiplied with d[r, b] and with dx[b].",
)
def forgets_scales_of_vector(q, d, x, dx):
    return (block_sums(q, x) * d).sum(axis=1)


@int8_block_matvec.mistake(
    "Your function lays the scales out as d0 d1 ... d0 d1 ...: np.tile where np.repeat is wanted.",
    "The scale of element i is d[r, i // 32]: every scale serves 32 neighbours.",
)
def lays_scales_out_as_d0_d1_d0(q, d, x, dx):
    return (q * np.tile(d, BLOCK)) @ (x * np.tile(dx, BLOCK))


@int8_block_matvec.mistake(
    "Your function multiplies the whole row with the scale of its first block.",
    "Each block has its own scale, so the sum must be scaled block by block.",
)
def multiplies_whole_row_with_scale(q, d, x, dx):
    return block_sums(q, x).sum(axis=1) * d[:, 0] * dx[0]


@int8_block_matvec.mistake(
    "Your function adds up integers and scales separately: the sum of the sums times the sum of the scales.",
    "A sum of products is not the product of the sums: scale every block, then add.",
)
def adds_up_integers_and_scales_separately(q, d, x, dx):
    return block_sums(q, x).sum(axis=1) * (d * dx).sum(axis=1)
