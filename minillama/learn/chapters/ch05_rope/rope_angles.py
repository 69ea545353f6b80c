"""The angles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .variants import without_gaps


def make_angles(rng: np.random.Generator, T: int, head_dim: int) -> tuple[Any, ...]:
    if head_dim % 2:
        raise ValueError("head_dim must be even")
    positions = rng.permutation(4096)[:T]
    return head_dim, np.sort(positions) if T < 5 else positions, 10000.0 if T % 2 else 500000.0


@exercise(
    title="The angles",
    task="The angle of every pair at any positions: m * theta ** (-2i / head_dim). Positions need not begin at 0.",
    difficulty=1,
    minutes=5,
    make=make_angles,
    shapes=(
        {"T": 1, "head_dim": 4},
        {"T": 2, "head_dim": 2},
        {"T": 3, "head_dim": 8},
        {"T": 5, "head_dim": 6},
        {"T": 8, "head_dim": 64},
    ),
    axes=("position", "pair"),
    hints=(
        "One frequency for each pair, from 1 for the first one down to almost 1/theta. An angle is position "
        "times frequency.",
        "The exponents are -0/head_dim, -2/head_dim, -4/head_dim …: np.arange(0, head_dim, 2).",
        "frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)   # (head_dim/2,)\n"
        "then an outer product with positions",
    ),
    why=(
        "The first pair turns by one radian for each position and the last by about 1 / theta: a clock with hands of "
        "all speeds, fast ones for neighbours and slow ones for long distances. Positions are used as they are given, "
        "because a chunk may begin anywhere. A column of positions times a row of frequencies is the whole table at "
        "once."
    ),
    rtol=1e-5,
)
def rope_angles(head_dim, positions, theta):
    """The angle by which every pair turns at the given positions.

    angle[t, i] = positions[t] * theta ** (-2 i / head_dim),     i = 0 ... head_dim / 2 - 1

    Parameters
    ----------
    head_dim : int
        Even.
    positions : integer ndarray of shape (T,)
        From 0 on, not always 0, 1, 2 ...: there may be gaps, and any order.
    theta : float

    Returns
    -------
    angles : ndarray of shape (T, head_dim / 2)
    """
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)  # (head_dim / 2,)
    return positions[:, None] * frequencies


@rope_angles.mistake(
    "Your exponent is -i/head_dim: the frequencies fall half as fast as they should.",
    "The exponent is -2i/head_dim with i = 0 … head_dim/2 - 1: it reaches almost -1 at the last pair.",
)
def frequencies_fall_half_as_fast(head_dim, positions, theta):
    return positions[:, None] * theta ** (-np.arange(head_dim // 2) / head_dim)


@rope_angles.mistake(
    "Your frequencies grow: the exponent has the wrong sign.",
    "The first pair turns fastest (frequency 1) and later ones more slowly.",
)
def frequencies_grow(head_dim, positions, theta):
    return positions[:, None] * theta ** (np.arange(0, head_dim, 2) / head_dim)


@rope_angles.mistake(
    "Your function uses 0, 1, 2 … instead of the positions it is given.",
    "In a cached chunk the first row is not position 0.",
)
def counts_positions_from_0(head_dim, positions, theta):
    return np.arange(len(positions))[:, None] * theta ** (-np.arange(0, head_dim, 2) / head_dim)


@rope_angles.mistake(
    "Your function uses theta = 10000 whatever it is given.",
    "Models that reach further have a larger theta (500000 in LLaMA 3): take the argument.",
)
def uses_theta_10000_whatever_it_is_given(head_dim, positions, theta):
    return rope_angles(head_dim, positions, 10000.0)


@rope_angles.mistake(
    "Your last pair has exponent -1: the steps of the exponent are a little too long.",
    "Divide 2i by head_dim, not by head_dim - 2.",
)
def last_exponent_is_minus_1(head_dim, positions, theta):
    return positions[:, None] * theta ** (-np.arange(0, head_dim, 2) / max(head_dim - 2, 1))


@rope_angles.mistake(
    "Your function lets the positions run on by one from the first.",
    "There may be gaps, and any order: take all of `positions`, not positions[0] alone.",
)
def positions_run_on(head_dim, positions, theta):
    return rope_angles(head_dim, without_gaps(positions), theta)


@rope_angles.mistake(
    "Your function counts the pairs from 1: no pair has the frequency 1.",
    "i runs from 0 to head_dim/2 - 1, so the first exponent is 0. (The paper counts from 1 and has i - 1 there.)",
)
def counts_pairs_from_1(head_dim, positions, theta):
    return positions[:, None] * theta ** (-np.arange(2, head_dim + 2, 2) / head_dim)


@rope_angles.mistake(
    "Your exponents are whole numbers: the division has dropped what is behind the point.",
    "-2i / head_dim is a fraction: / and not //.",
)
def whole_exponents(head_dim, positions, theta):
    return positions[:, None] * theta ** (-1.0 * np.arange(0, head_dim, 2) // head_dim)
