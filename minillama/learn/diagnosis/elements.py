"""Which numbers are wrong, said by what they are: negative ones, zeros, those that an argument is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Dims
from .compare import Mismatch
from .trials import Trials

_FEW = 4  # numbers of a kind: fewer are wrong, or right, by chance

Flags = NDArray[np.bool_]


def which_are_wrong(trials: Trials, failing: Sequence[Dims]) -> str:
    """A kind of numbers that is wrong in every failing case, while all others are right."""
    left: dict[str, list[int]] | None = None
    for dims in failing:
        outcome = trials.outcome(dims)
        if not isinstance(outcome, Mismatch) or outcome.wrong is None:
            return ""
        here = dict(_fitting(outcome, trials.exercise.named_arguments(dims)))
        if left is None:
            left = {text: list(counts) for text, counts in here.items()}
        else:
            left = {text: [a + b for a, b in zip(left[text], here[text])] for text in left if text in here}
    enough = [text for text, counts in (left or {}).items() if min(counts) >= _FEW]
    return f"Wrong exactly where {enough[0]}; every other number is right." if enough else ""


def _fitting(outcome: Mismatch, args: Mapping[str, Any]) -> Iterator[tuple[str, tuple[int, int]]]:
    """Kinds that are just the wrong ones; how many are of the kind, and how many are not."""
    wrong = outcome.wrong
    assert wrong is not None
    for text, kind in _kinds(outcome.expected, args):
        if np.array_equal(kind, wrong):
            yield text, (int(kind.sum()), int((~kind).sum()))


def _kinds(expected: NDArray[Any], args: Mapping[str, Any]) -> Iterator[tuple[str, Flags]]:
    numbers = {name: value for name, value in args.items() if isinstance(value, int | float | np.number)}
    arrays = {"the right result": expected, **args}
    for name, a in arrays.items():
        if not isinstance(a, np.ndarray) or a.dtype.kind not in "fiub":
            continue
        shaped = _as_shaped(a, expected.shape)
        if shaped is None:
            continue
        if a.dtype.kind == "b":
            yield f"{name} is True", shaped
            yield f"{name} is False", ~shaped
            continue
        yield f"{name} is negative", shaped < 0
        yield f"{name} is positive", shaped > 0
        yield f"{name} is 0", shaped == 0
        yield f"{name} is not negative", shaped >= 0
        yield f"{name} is infinite", np.isinf(shaped)
        yield f"{name} is finite", np.isfinite(shaped)
        yield f"{name} is above 1 in size", np.abs(shaped) > 1
        for other, value in numbers.items():
            yield f"{name} is {other}", shaped == value
            yield f"{name} is above {other}", shaped > value
            yield f"{name} is below {other}", shaped < value


def _as_shaped(a: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any] | None:
    """An argument beside the result: of its shape, or of its first axes."""
    if a.shape == shape:
        return a
    if a.ndim and a.ndim < len(shape) and a.shape == shape[: a.ndim] and a.size > 1:
        return np.asarray(np.broadcast_to(a.reshape(*a.shape, *(1,) * (len(shape) - a.ndim)), shape))
    return None
