"""Choose a group size."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_group_sizes(rng: np.random.Generator, R: int, C: int, bits: int) -> tuple[Any, ...]:
    sizes = [size for size in (4, 8, 16, 32, 64, 128) if C % size == 0]
    if len(sizes) < 3 or not 3 <= bits <= 8:
        raise ValueError("C must be a multiple of three group sizes at least, bits from 3 to 8")
    w = rng.standard_t(4, (R, C)).astype(np.float32) * np.float32(0.05)
    if R == 1:  # whole multiples of the step, whatever the size: no error, and none is tolerated
        w = rng.integers(1 - 2 ** (bits - 1), 2 ** (bits - 1), (R, C)).astype(np.float32)
        w[:, ::4] = 2 ** (bits - 1) - 1
        return w, [int(size) for size in rng.permutation(sizes)], bits, 0.0
    if R > 1:
        w[-1, : C // 2] = 0  # groups of zeros: d is 0, and their error too
    sizes = [int(size) for size in rng.permutation(sizes)]
    errors = np.unique(group_sizes(w, sizes, bits, np.inf)[1])
    middle = len(errors) // 2
    return w, sizes, bits, float(errors[middle - 1 : middle + 1].mean())


def group_sizes(w, sizes, bits, tolerance, *, turn=False, cut=False, levels=None, scale_bits=16.0, relative=True):
    """The answer; the options are mistakes."""
    errors = []
    for size in sizes:
        groups = (w.T if turn else w).astype(np.float64).reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / ((2 ** (bits - 1) - 1) if levels is None else levels(bits))
        q = (np.trunc if cut else np.rint)(groups / np.where(d == 0, 1, d))
        rms = np.sqrt(np.mean((d * q - groups) ** 2))
        errors.append(rms / np.sqrt(np.mean(groups**2)) if relative else rms)
    good = [size for size, error in zip(sizes, errors) if error <= tolerance]
    return np.array([bits + scale_bits / size for size in sizes]), np.array(errors), max(good, default=0)


@exercise(
    title="Choose a group size",
    task="Bits per weight and error of several group sizes, and the largest size whose error is still tolerable.",
    difficulty=2,
    minutes=20,
    reference=group_sizes,
    make=make_group_sizes,
    shapes=(
        {"R": 2, "C": 16, "bits": 4},
        {"R": 1, "C": 32, "bits": 4},
        {"R": 3, "C": 64, "bits": 5},
        {"R": 6, "C": 96, "bits": 3},
        {"R": 9, "C": 128, "bits": 8},
    ),
    axes=("size",),
    outputs=("bits_per_weight", "error", "chosen"),
    hints=(
        "Every group pays for a float16 scale, shared by its members. A larger group pays less and contains a larger "
        "number, which makes everybody's steps coarser.",
        "For one size: groups = w.reshape(-1, size), d = max|group| / (2 ** (bits - 1) - 1), q = rint(group / d). The "
        "error is sqrt(mean((d q - w)²)) / sqrt(mean(w²)); bits per weight are bits + 16 / size.",
        "errors = []\n"
        "for size in sizes:\n"
        "    groups = w.reshape(-1, size)\n"
        "    d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)\n"
        "    difference = d * np.rint(groups / np.where(d == 0, 1, d)) - groups\n"
        "    errors.append(np.sqrt(np.mean(difference ** 2) / np.mean(w ** 2)))\n"
        "chosen = max of the sizes whose error is <= tolerance",
    ),
    why=(
        "Every group pays for its scale, so small groups cost more bits and follow the weights better; the largest "
        "that is still good enough is the cheapest. The error is relative to the weights, so matrices of different "
        "size can share one tolerance. Where a group is all zeros its scale is too, and it is divided by 1 instead."
    ),
)
def choose_group_size(w, sizes, bits, tolerance):
    """Compare group sizes, and choose the largest whose error is tolerable.

    Groups are `size` neighbours in a row. Each has a scale d = max|w| / (2 ** (bits - 1) - 1), which
    costs 16 bits (its own rounding is left out), and integers q = rint(w / d) of `bits` bits. A group
    of zeros has d = 0 and no error.

    bits_per_weight = bits + 16 / size
    error = sqrt(mean((d q - w) ** 2)) / sqrt(mean(w ** 2))        over the whole matrix

    Parameters
    ----------
    w : float32 ndarray of shape (R, C)
    sizes : list of int
        Divisors of C, in no special order.
    bits : int
    tolerance : float
        The largest error that is accepted; 0 where the weights are whole multiples of d.

    Returns
    -------
    bits_per_weight, error : ndarrays of shape (len(sizes),)
    chosen : int
    """
    errors = []
    for size in sizes:
        groups = w.reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        difference = d * np.rint(groups / np.where(d == 0, 1, d)) - groups
        errors.append(np.sqrt(np.mean(difference**2) / np.mean(w**2)))
    bits_per_weight = bits + 16 / np.array(sizes)
    return bits_per_weight, np.array(errors), max(s for s, error in zip(sizes, errors) if error <= tolerance)


@choose_group_size.mistake(
    "Your function counts no bits for the scales.",
    "A scale of 16 bits is shared by `size` numbers: 16 / size bits each. That is all that speaks for large groups.",
)
def counts_no_bits_for_scales(w, sizes, bits, tolerance):
    return group_sizes(w, sizes, bits, tolerance, scale_bits=0.0)


@choose_group_size.mistake(
    "Your function counts 32 bits for each scale.",
    "The scales are kept in float16, so a group pays 16 bits.",
)
def counts_32_bits_for_each_scale(w, sizes, bits, tolerance):
    return group_sizes(w, sizes, bits, tolerance, scale_bits=32.0)


@choose_group_size.mistake(
    "Your function chooses the smallest group whose error is tolerable.",
    "The smallest group is always the most exact, and the most expensive. Of those that are good enough, the "
    "largest takes the fewest bits.",
)
def first_good(w, sizes, bits, tolerance):
    rates, errors, _ = group_sizes(w, sizes, bits, tolerance)
    return rates, errors, min(size for size, error in zip(sizes, errors) if error <= tolerance)


@choose_group_size.mistake(
    "Your groups run down the columns of the matrix.",
    "A product reads a row from left to right, and one scale must serve neighbours in a row: w.reshape(-1, size).",
)
def groups_run_down_columns_of_matrix(w, sizes, bits, tolerance):
    return group_sizes(w, sizes, bits, tolerance, turn=True)


@choose_group_size.mistake(
    "Your function divides by 2 ** bits - 1: it takes all levels for one side of zero.",
    "The integers have a sign: they reach from -(2 ** (bits - 1) - 1) to 2 ** (bits - 1) - 1.",
)
def divides_by_a_power_of_2(w, sizes, bits, t):
    return group_sizes(w, sizes, bits, t, levels=lambda bits: 2**bits - 1)


@choose_group_size.mistake(
    "Your function cuts fractions off instead of rounding.",
    "astype(int) goes towards zero, which doubles the largest error: np.rint first.",
)
def cuts_fractions_off_instead_of_rounding(w, sizes, bits, tolerance):
    return group_sizes(w, sizes, bits, tolerance, cut=True)


@choose_group_size.mistake(
    "Your errors are absolute: they are not divided by the size of the weights.",
    "The tolerance is a share of the root mean square of w.",
)
def errors_are_absolute(w, sizes, bits, tolerance):
    return group_sizes(w, sizes, bits, tolerance, relative=False)


@choose_group_size.mistake(
    "Your errors are those of the worst number, not the root of the mean square.",
    "In a product the errors of many numbers add up and partly cancel: their mean square counts.",
)
def worst_error(w, sizes, bits, tolerance):
    errors = []
    for size in sizes:
        groups = w.astype(np.float64).reshape(-1, size)
        d = np.abs(groups).max(axis=1, keepdims=True) / (2 ** (bits - 1) - 1)
        errors.append(np.abs(d * np.rint(groups / d) - groups).max() / np.sqrt(np.mean(groups**2)))
    good = [size for size, error in zip(sizes, errors) if error <= tolerance]
    return np.array([bits + 16 / size for size in sizes]), np.array(errors), max(good, default=0)


@choose_group_size.mistake(
    "Your function refuses an error that equals the tolerance.",
    "The tolerance is the largest error that is accepted: error <= tolerance. Without any error 0 is enough.",
)
def refuses_the_tolerance(w, sizes, bits, tolerance):
    rates, errors, _ = group_sizes(w, sizes, bits, tolerance)
    return rates, errors, max((size for size, error in zip(sizes, errors) if error < tolerance), default=0)
