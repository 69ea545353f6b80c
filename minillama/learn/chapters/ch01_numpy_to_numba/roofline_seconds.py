"""The roofline."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_work(rng: np.random.Generator, n: int) -> tuple[Any, ...]:
    """Work on both sides of the ridge, and some close to it."""
    bandwidth, peak = float(rng.uniform(5e9, 5e10)), float(rng.uniform(5e10, 5e11))
    n_bytes = rng.uniform(1e3, 1e9, n)
    intensity = peak / bandwidth * 4.0 ** rng.uniform(-2, 2, n)
    if n > 1:
        intensity[:2] = peak / bandwidth * np.array([0.25, 4])
    return (n_bytes * intensity), n_bytes, peak, bandwidth


@exercise(
    title="The roofline",
    task="The least seconds that work can take on a machine of a given bandwidth and peak, as a roofline says.",
    difficulty=1,
    minutes=5,
    make=make_work,
    shapes=({"n": 1}, {"n": 2}, {"n": 3}, {"n": 8}, {"n": 50}),
    axes=("kernel",),
    hints=(
        "Arithmetic takes flops / peak_flops seconds, memory n_bytes / bandwidth. Both happen at the same time.",
        "The slower of the two decides.",
        "return np.maximum(flops / peak_flops, n_bytes / bandwidth)",
    ),
    why=(
        "Since both work at the same time, a kernel takes as long as the slower of the two needs, and not the sum: "
        "that is a maximum, element by element. Which of the two wins says what is worth improving, fewer bytes or "
        "fewer operations."
    ),
    rtol=1e-5,
)
def roofline_seconds(flops, n_bytes, peak_flops, bandwidth):
    """The least time that each kernel can take on a machine.

    Parameters
    ----------
    flops, n_bytes : ndarray of shape (n,)
        Arithmetic operations of n kernels, and bytes that they move to and from memory.
    peak_flops, bandwidth : float
        Operations and bytes per second of the machine, which works at both at the same time.

    Returns
    -------
    seconds : ndarray of shape (n,)
    """
    return np.maximum(flops / peak_flops, n_bytes / bandwidth)


@roofline_seconds.mistake(
    "Your function adds the two times.",
    "A CPU computes while the next numbers are on their way: the longer time is what remains.",
)
def adds_two_times(flops, n_bytes, peak_flops, bandwidth):
    return flops / peak_flops + n_bytes / bandwidth


@roofline_seconds.mistake(
    "Your function takes the shorter of the two times.",
    "The result is there when both are done: the maximum.",
)
def takes_shorter_of_two_times(flops, n_bytes, peak_flops, bandwidth):
    return np.minimum(flops / peak_flops, n_bytes / bandwidth)


@roofline_seconds.mistake(
    "Your function looks at memory alone.",
    "Work with many operations for each byte is limited by the arithmetic.",
)
def looks_at_memory_alone(flops, n_bytes, peak_flops, bandwidth):
    return n_bytes / bandwidth


@roofline_seconds.mistake(
    "Your function looks at arithmetic alone.",
    "Work with few operations for each byte waits for memory; decoding a token is of that kind.",
)
def looks_at_arithmetic_alone(flops, n_bytes, peak_flops, bandwidth):
    return flops / peak_flops


@roofline_seconds.mistake(
    "Your function returns operations per second, the height of the roof.",
    "Divide the work by it: seconds = flops / min(peak_flops, bandwidth * flops / n_bytes).",
)
def returns_operations_per_second(flops, n_bytes, peak_flops, bandwidth):
    return np.minimum(peak_flops, bandwidth * flops / n_bytes)
