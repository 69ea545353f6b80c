"""One vpdpbusd."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_dot4(rng: np.random.Generator, lanes: int) -> tuple[Any, ...]:
    weights = rng.integers(0, 256, 4 * lanes).astype(np.uint8)
    weights[:4] = 255, 250, 3, 200
    x = np.array([127, 120, -128, rng.integers(-100, -20)], np.int8)
    return rng.integers(-(10**6), 10**6, lanes).astype(np.int32), weights, x


@exercise(
    title="One vpdpbusd",
    task="Compute what the CPU's instruction does: in every lane, four products of bytes added to a 32-bit sum.",
    difficulty=1,
    minutes=10,
    make=make_dot4,
    shapes=({"lanes": 2}, {"lanes": 1}, {"lanes": 4}, {"lanes": 8}, {"lanes": 16}),
    axes=("lane",),
    exact=True,
    hints=(
        "Lane n owns four neighbouring bytes of the weights. All lanes meet the same four activations.",
        "weights.reshape(-1, 4) has a row for each lane. The weights have no sign, the activations have one: convert "
        "both to int32 as they are, then multiply.",
        "products = weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)\nreturn sums + products.sum(axis=1)",
    ),
    why=(
        "The product of an unsigned and a signed byte needs more than 8 bits, so both are widened before they are "
        "multiplied. Each lane has four weights of its own, while the four activations are common to all, which is "
        "what the reshape to (lanes, 4) says. It adds to what is there, so a loop over the columns needs no further "
        "addition."
    ),
)
def dot4_lanes(sums, weights, x):
    """What one vpdpbusd does, for any number of lanes (16 with AVX-512, 8 with AVX, 4 on Arm).

    result[n] = sums[n] + sum over k = 0 ... 3 of weights[4 n + k] * x[k]

    Parameters
    ----------
    sums : int32 ndarray of shape (lanes,)
    weights : uint8 ndarray of shape (4 * lanes,)
    x : int8 ndarray of shape (4,)

    Returns
    -------
    int32 ndarray of shape (lanes,)
    """
    products = weights.reshape(-1, 4).astype(np.int32) * x.astype(np.int32)  # (lanes, 4)
    return sums + products.sum(axis=1, dtype=np.int32)


@dot4_lanes.mistake(
    "Your function takes the weights for signed bytes.",
    "The `u` of vpdpbusd: one operand is unsigned, 0 ... 255. That is why weights are stored with their zero "
    "point added.",
)
def takes_weights_for_signed_bytes(sums, weights, x):
    return dot4_lanes(sums, weights.view(np.int8), x)


@dot4_lanes.mistake(
    "Your function takes the activations for unsigned bytes.",
    "The `s` of vpdpbusd: the other operand is signed, -128 ... 127.",
)
def takes_activations_for_unsigned_bytes(sums, weights, x):
    return dot4_lanes(sums, weights, x.view(np.uint8))


@dot4_lanes.mistake(
    "Your function gives lane n the bytes n, n + lanes, n + 2 lanes ...",
    "A lane is 32 bits wide: it owns four neighbouring bytes, 4n ... 4n + 3.",
)
def dot4_twos(sums, weights, x):
    return sums + (weights.reshape(4, -1).astype(np.int32) * x.astype(np.int32)[:, None]).sum(axis=0, dtype=np.int32)


@dot4_lanes.mistake(
    "Your function forgets the sums that were there.",
    "The instruction accumulates: the result is the old sum plus the four products.",
)
def forgets_sums_that_were_there(sums, weights, x):
    return dot4_lanes(np.zeros_like(sums), weights, x)


@dot4_lanes.mistake(
    "Your function keeps sums of two products within 16 bits, as the older vpmaddubsw does.",
    "255 * 127 + 250 * 120 does not fit in int16. vpdpbusd adds all four products in 32 bits; nothing saturates.",
)
def dot4_saturated(sums, weights, x):
    products = weights.reshape(-1, 2, 2).astype(np.int32) * x.astype(np.int32).reshape(2, 2)
    return sums + np.clip(products.sum(axis=2), -32768, 32767).sum(axis=1, dtype=np.int32)


@dot4_lanes.mistake(
    "Your function multiplies in 8 bits, where products wrap round.",
    "Convert to int32 before the multiplication.",
)
def multiplies_in_8_bits(sums, weights, x):
    return sums + (weights.view(np.int8).reshape(-1, 4) * x).astype(np.int32).sum(axis=1, dtype=np.int32)
