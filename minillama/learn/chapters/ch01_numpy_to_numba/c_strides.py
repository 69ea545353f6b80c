"""How far is the next element?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_shape(rng: np.random.Generator, n_axes: int, itemsize: int) -> tuple[Any, ...]:
    if itemsize not in (1, 2, 4, 8):
        raise ValueError("no dtype of that size")
    return [int(n) for n in rng.permutation(np.arange(2, 3 + n_axes))[:n_axes]], itemsize


@exercise(
    title="How far is the next element?",
    task="The strides of a C-contiguous array: for every axis, the bytes from one element to the next.",
    difficulty=1,
    minutes=5,
    make=make_shape,
    shapes=(
        {"n_axes": 1, "itemsize": 4},
        {"n_axes": 2, "itemsize": 1},
        {"n_axes": 2, "itemsize": 4},
        {"n_axes": 3, "itemsize": 8},
        {"n_axes": 4, "itemsize": 2},
    ),
    axes=("axis",),
    exact=True,
    hints=(
        "The last axis is the one whose elements are neighbours: its stride is the size of an element.",
        "To go one step along an axis, all elements of the axes after it have to be passed.",
        "strides, step = [], itemsize\nfor n in reversed(shape):\n    strides.insert(0, step)\n    step *= n",
    ),
    why=(
        "In C order the last axis lies side by side, so its step is one element; a step on any other axis skips "
        "everything behind it. Going from the last size to the first, the product so far is just that. A transpose "
        "needs no copy for the same reason: it only exchanges the steps."
    ),
)
def c_strides(shape, itemsize):
    """The strides of a C-contiguous array, computed by hand.

    Parameters
    ----------
    shape : list of int
    itemsize : int
        Bytes of an element.

    Returns
    -------
    strides : list of int
        For every axis, the bytes from one element to the next.
    """
    strides, step = [], itemsize
    for n in reversed(shape):
        strides.insert(0, step)
        step *= n
    return strides


@c_strides.mistake(
    "Your function counts elements, not bytes.",
    "NumPy's strides are in bytes: multiply by itemsize.",
)
def counts_elements_not_bytes(shape, itemsize):
    return [s // itemsize for s in c_strides(shape, itemsize)]


@c_strides.mistake(
    "Your function gives the strides of Fortran's order.",
    "There the first axis is the one of neighbours. NumPy's default is C's order: the last axis is.",
)
def gives_strides_of_fortran_order(shape, itemsize):
    return list(np.empty(shape, f"V{itemsize}", order="F").strides)


@c_strides.mistake(
    "Your function includes the axis itself.",
    "One step along an axis passes the elements of the axes after it: shape[i + 1:], not shape[i:].",
)
def includes_axis_itself(shape, itemsize):
    return [s * n for s, n in zip(c_strides(shape, itemsize), shape)]


@c_strides.mistake(
    "Your function adds the sizes of the axes behind.",
    "A step passes whole rows of whole planes: the sizes multiply.",
)
def adds_sizes_of_axes_behind(shape, itemsize):
    return [max(sum(shape[i + 1 :]), 1) * itemsize for i in range(len(shape))]


@c_strides.mistake(
    "Your strides are right, from the last axis to the first.",
    "strides[0] belongs to axis 0: turn the list round, or insert at its beginning.",
)
def strides_without_the_first_axis(shape, itemsize):
    return c_strides(shape, itemsize)[::-1]
