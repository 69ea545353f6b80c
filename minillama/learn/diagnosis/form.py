"""A result of another type or shape than expected, in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ..exercises.exercise import Dims
from . import heat_map
from .compare import Mismatch
from .trials import Trials


def message(trials: Trials, mismatch: Mismatch) -> str:
    """What is wrong with the form; None that may be right elsewhere is no missing return."""
    may_be_none = any(trials.expected(dims) is None for dims in trials.exercise.shapes)
    return mismatch.message.replace(" (is the return statement missing?)", "") if may_be_none else mismatch.message


def about_shapes(trials: Trials, mismatch: Mismatch, shapes: Sequence[Dims]) -> list[str]:
    """What every shape that is wrong says, its numbers left out."""
    axes = trials.exercise.axes
    outcomes = [outcome for dims in shapes if isinstance(outcome := trials.outcome(dims), Mismatch)]
    said = {re.sub(r"\d+", "#", " ".join(_about_shape(o, axes))) for o in (mismatch, *outcomes) if o.kind == "shape"}
    return _about_shape(mismatch, axes) if len(said) == 1 else []


def _about_shape(mismatch: Mismatch, axes: Sequence[str]) -> list[str]:
    expected, got = mismatch.expected, mismatch.got
    if mismatch.kind != "shape":
        return []
    if sorted(expected.shape) == sorted(got.shape) and expected.ndim == got.ndim:
        return ["The sizes are right, in another order: an axis was swapped, or summed where it should be kept."]
    if expected.size == got.size:
        return ["The number of elements is right: a reshape, or an axis of size 1, is missing or too many."]
    for axis, name in enumerate(heat_map.names_of(axes, expected.ndim)):
        if np.delete(expected.shape, axis).tolist() == list(got.shape):
            return [f"The axis {name} is missing: it was summed, averaged or indexed away."]
        if (
            expected.ndim == got.ndim
            and np.delete(expected.shape, axis).tolist() == np.delete(got.shape, axis).tolist()
        ):
            return [f"The axis {name} has {got.shape[axis]} entries, not {expected.shape[axis]}."]
    return []
