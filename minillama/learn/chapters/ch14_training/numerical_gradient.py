"""A gradient without calculus."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array


def make_numerical(rng: np.random.Generator, rows: int, columns: int) -> Arrays:
    """A function with much curvature, which computes in the dtype that it is given."""
    slopes, shifts = 4 + 4 * rng.random((rows, columns)), 2 * np.pi * rng.random((rows, columns))

    def f(x):
        a, b = slopes.astype(x.dtype), shifts.astype(x.dtype)
        return float(np.sum(np.sin(a * x + b)) + np.sum(x) ** 2 / x.dtype.type(2))

    return f, normal_array(rng, rows, columns), 1e-3


@exercise(
    title="A gradient without calculus",
    task="The gradient of f at x by central differences: the measure of every backward function.",
    difficulty=1,
    minutes=15,
    make=make_numerical,
    shapes=(
        {"rows": 1, "columns": 2},
        {"rows": 1, "columns": 1},
        {"rows": 2, "columns": 3},
        {"rows": 3, "columns": 3},
        {"rows": 5, "columns": 4},
    ),
    axes=("row", "column"),
    rtol=1e-5,
    hints=(
        "Move one number of x up by `step`, then down by `step`, and look what f does. Every number has its turn.",
        "In float32 the difference of two nearly equal numbers is mostly rounding: x.astype(np.float64) first. Put the "
        "number back before the next has its turn. np.ndindex(*x.shape) goes through all indices.",
        "for i in np.ndindex(*x.shape):\n"
        "    kept = x64[i]\n"
        "    x64[i] = kept + step; above = f(x64)\n"
        "    x64[i] = kept - step; below = f(x64)\n"
        "    x64[i] = kept\n"
        "    gradient[i] = (above - below) / (2 * step)",
    ),
    why=(
        "With a move to both sides the curvature cancels, and the error falls with the square of the step instead of "
        "with the step. The two values agree in most of their digits, and in float32 their difference would be noise. "
        "Every number is put back before the next one moves, because a partial derivative holds all others still."
    ),
)
def numerical_gradient(f, x, step):
    """The gradient of f at x by central differences: what every backward function is measured with.

    gradient[i] = (f(x with x[i] + step) - f(x with x[i] - step)) / (2 step)

    Parameters
    ----------
    f : callable
        Takes an array like x and returns a float. It computes in the dtype that it is given.
    x : float32 ndarray of any shape
    step : float

    Returns
    -------
    gradient : ndarray of the shape of `x`
    """
    x = x.astype(np.float64)
    gradient = np.zeros(x.shape)
    for i in np.ndindex(*x.shape):
        kept = x[i]
        x[i] = kept + step
        above = f(x)
        x[i] = kept - step
        below = f(x)
        x[i] = kept
        gradient[i] = (above - below) / (2 * step)
    return gradient


def differences(function, x, step, dtype=np.float64, central=True, divisor=2.0, restore=True):
    at = x.astype(dtype)
    gradient = np.zeros(x.shape, dtype)
    base = None if central else function(at)
    for index in np.ndindex(*x.shape):
        kept = at[index]
        at[index] = kept + dtype(step)
        above = function(at)
        if base is None:
            at[index] = kept - dtype(step)
            gradient[index] = (above - function(at)) / (divisor * step)
        else:
            gradient[index] = (above - base) / step
        if restore:
            at[index] = kept
    return gradient


@numerical_gradient.mistake(
    "Your differences are one-sided: (f(x + step) - f(x)) / step.",
    "Their error is proportional to step, that of central differences to step**2.",
)
def differences_are_one_sided(f, x, step):
    return differences(f, x, step, central=False)


@numerical_gradient.mistake(
    "Your function divides the central difference by step, not by 2 step.",
    "From x - step to x + step it is twice the step.",
)
def divides_central_difference_by_step(f, x, step):
    return differences(f, x, step, divisor=1.0)


@numerical_gradient.mistake(
    "Your function computes in float32.",
    "f(x + step) and f(x - step) agree in most digits, and their difference keeps the rounding: make x float64 first.",
)
def computes_in_float32(f, x, step):
    return differences(f, x, step, dtype=np.float32)


@numerical_gradient.mistake(
    "Your function does not put a number back before it moves the next.",
    "A partial derivative moves one number and leaves all others where they were.",
)
def does_not_put_the_number_back(f, x, step):
    return differences(f, x, step, restore=False)


@numerical_gradient.mistake(
    "Your function moves all numbers at once.",
    "That gives one slope in one direction. The gradient needs one difference for every number of x.",
)
def all_at_once(function, x, step):
    wide = x.astype(np.float64)
    return np.full(x.shape, (function(wide + step) - function(wide - step)) / (2 * step))
