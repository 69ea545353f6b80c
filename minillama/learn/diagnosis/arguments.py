"""A result that is a simple function of an argument, or differs from the right one by an argument."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .relations import close

Array = NDArray[Any]

_ENOUGH = 8  # numbers: fewer are something of an argument by chance
_LARGEST = 1 << 14


def _sigmoid(a: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(a, -80, 80))))


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "the exponential of {}": lambda a: np.exp(np.minimum(a, 80)),
    "the sigmoid of {}": _sigmoid,
    "{0} * sigmoid({0})": lambda a: a * _sigmoid(a),
    "{}, with 0 in place of what is negative": lambda a: np.maximum(a, 0),
    "the absolute value of {}": np.abs,
    "the square of {}": np.square,
    "-{}": np.negative,
}
_REDUCTIONS: dict[str, Callable[..., Array]] = {"largest": np.max, "smallest": np.min, "sum": np.sum, "mean": np.mean}
_FACTORS: dict[str, Callable[[Array], Array]] = {
    "{}": lambda a: a,
    "{} squared": np.square,
    "sqrt(|{}|)": lambda a: np.sqrt(np.abs(a)),
    "(1 + {})": lambda a: 1 + a,
    "sigmoid({})": _sigmoid,
    "the root mean square of each row of {}": lambda a: np.sqrt(np.mean(a * a, axis=-1, keepdims=True)),
    "the sum of each row of {}": lambda a: np.sum(a, axis=-1, keepdims=True),
    "the length of each row of {}": lambda a: np.sqrt(np.sum(a * a, axis=-1, keepdims=True)),
}


def _arrays(args: Mapping[str, Any]) -> dict[str, Array]:
    """Arguments that are numbers, by name, as float64."""
    numbers = {name: np.asarray(value) for name, value in args.items() if isinstance(value, np.ndarray | float | int)}
    return {name: a.astype(np.float64) for name, a in numbers.items() if a.dtype.kind in "fiu" and a.size <= _LARGEST}


def returned(g: Array, args: Mapping[str, Any]) -> str | None:
    """An argument, or a simple function of one or two, that the result is."""
    arrays = {name: a for name, a in _arrays(args).items() if a.ndim}
    for name, a in arrays.items():
        if a.shape == g.shape and g.size > 1 and np.any(g != 0) and close(a, g):
            return f"Your result is the argument {name}: nothing has happened to it."
    if g.size < _ENOUGH:
        return None
    return next((f"Your result is {text}." for text, values in _made_of(arrays) if _is(values, g)), None)


def _is(values: Array, g: Array) -> bool:
    return values.shape == g.shape and bool(np.isfinite(values).all()) and bool(np.ptp(values) > 0) and close(values, g)


def _made_of(arrays: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    for name, a in arrays.items():
        for text, function in _FUNCTIONS.items():
            yield text.format(name), function(a)
        for axis in range(a.ndim if a.size else 0):
            for word, reduction in _REDUCTIONS.items():
                yield f"the {word} of {name} along axis {axis}", reduction(a, axis=axis)
    for (first, a), (second, b) in itertools.combinations(arrays.items(), 2):
        if a.shape == b.shape:
            yield f"{first} * {second}", a * b
            yield f"{first} + {second}", a + b
            yield f"{first} - {second}", a - b
            yield f"{second} - {first}", b - a


def with_argument(e: Array, g: Array, args: Mapping[str, Any]) -> str | None:
    """A factor or a term too many or too few that is one of the arguments, or something simple of it."""
    if e.size < _ENOUGH:
        return None
    for name, whole in _arrays(args).items():
        for text, function in _FACTORS.items():
            a = function(whole) if whole.ndim or text == "{}" else np.zeros(0)
            try:
                if np.broadcast_shapes(a.shape, e.shape) != e.shape or (a.ndim == 0 and a in (0, 1)):
                    continue
            except ValueError:
                continue
            found = _operation(e, g, a, text.format(name))
            if found:
                return f"yours = {found} everywhere: {name} is used once too often, or not at all."
    return None


def _operation(e: Array, g: Array, a: Array, what: str) -> str:
    safe = np.where(a == 0, 1, a)
    for text, values in (
        (f"expected * {what}", e * a),
        (f"expected / {what}", np.where(a == 0, np.nan, e / safe)),
        (f"expected + {what}", e + a),
        (f"expected - {what}", e - a),
    ):
        if np.isfinite(values).all() and close(values, g):
            return text
    return ""
