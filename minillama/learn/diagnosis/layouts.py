"""The same numbers in arrays of another form: a right function does not see the difference.

Arrays may lie in memory in another way. Wrong numbers are a mistake then; an error is only remarked, for a function may
say what it cannot take. Where a docstring says "of any shape" or "(..., dim)", arrays have other axes, too, and an
error is as wrong as wrong numbers are, unless there is no axis at all.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Dims, Exercise, Function
from .compare import Mismatch
from .trials import Trials

Array = NDArray[Any]

_LAID_OUT = 3  # cases that are tried with every layout


class Layout(NamedTuple):
    """A way for an array to lie in memory, or other axes.

    Attributes
    ----------
    given : str
        What the function gets, after "given its argument x as".
    lay : callable
        lay(array) -> an array of the same dtype.
    """

    given: str
    lay: Callable[[Array], Array]


class Difference(NamedTuple):
    """What a function that is right makes of another layout.

    Attributes
    ----------
    given : str
        "its argument x as a part of a larger array".
    dims : dict
        The case.
    raised : str
        The error, if there was one.
    advice : str
        Empty for an error that is not wrong.
    """

    given: str
    dims: Dims
    raised: str
    advice: str


def _every_second(array: Array) -> Array:
    if not array.ndim:
        return array
    wide = np.empty((*array.shape, 2), array.dtype)
    wide[..., 0], wide[..., 1] = array, array[..., ::-1]
    return wide.reshape(*array.shape[:-1], 2 * array.shape[-1])[..., ::2]


def _part(array: Array) -> Array:
    """From the middle of an array that repeats the numbers around it."""
    if not array.size:
        return array
    return np.pad(array, 1, mode="wrap")[(slice(1, -1),) * array.ndim]


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


LAYOUTS = (
    Layout("every second number of a larger array", _every_second),
    Layout("a transposed array (its columns lie one after another)", np.asfortranarray),
    Layout("a part of a larger array", _part),
    Layout("an array that can only be read, as the weights of a mapped file are", _read_only),
)
_BY_INDEX = (
    "The numbers are those that it had before. Which one is x[i, j] does not depend on where it lies in memory: not on "
    ".data or .strides, and ravel and reshape take order='C'."
)
_FROM_THE_END = "Its text allows that: count axes from the end, or not at all."
_PER_NUMBER = "Its text allows that: any shape is (), too."

NO_AXES = (Layout("a single number (an array without axes)", lambda array: array.reshape(-1)[:1].reshape(())),)
ANY_SHAPE = (
    Layout("an array of one axis", lambda array: array.reshape(-1)),
    Layout("an array of four axes", lambda array: array.reshape(1, 1, *array.shape[-2:])),
)
ANY_ROWS = (
    Layout("a single row (an array of one axis)", lambda array: array.reshape(-1, array.shape[-1])[0]),
    Layout("an array of four axes", lambda array: array.reshape(1, -1, 1, array.shape[-1])),
)


def laid_out(exercise: Exercise, layout: Layout, names: Sequence[str]) -> Exercise:
    """The same exercise with the arrays of these arguments in another layout."""

    def make(rng: np.random.Generator, **dims: int) -> tuple[Any, ...]:
        args = exercise.make(rng, **dims)
        return tuple(
            _laid(value, layout.lay) if name in names else value for name, value in zip(_names(exercise), args)
        )

    return replace(exercise, make=make)


def _names(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.function).parameters)


def _laid(value: Any, lay: Callable[[Array], Array]) -> Any:
    if isinstance(value, np.ndarray):
        return lay(value)
    if isinstance(value, tuple | list):
        parts = [_laid(part, lay) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return {key: _laid(part, lay) for key, part in value.items()} if isinstance(value, dict) else value


def first_difference(exercise: Exercise, function: Function, shapes: Sequence[Dims]) -> Difference | None:
    """What a function that is right makes of another layout, what is wrong first; None if nothing changes.

    Kernels are left out: each layout would be compiled. So are arguments that are written to.
    """
    if _is_compiled(function):
        return None
    kept = [name for name in _names(exercise) if name not in exercise.writes_to]
    tried = [
        *((layout, _documented(exercise, r"of any shape"), _PER_NUMBER) for layout in NO_AXES),
        *((layout, _documented(exercise, r"of any shape"), _FROM_THE_END) for layout in ANY_SHAPE),
        *((layout, _documented(exercise, r"of shape \(\.\.\., "), _FROM_THE_END) for layout in ANY_ROWS),
        *((layout, kept, _BY_INDEX) for layout in LAYOUTS),
    ]
    raised = None
    cases = list(shapes[1:] or shapes)[:_LAID_OUT]
    for dims in cases if exercise.observe is None else cases[-1:]:  # what is observed may be called many times
        for layout, names, advice in tried:
            trials = Trials(laid_out(exercise, layout, names), function)
            found = trials.outcome(dims) if names and trials.makes_sense(dims) else None
            if isinstance(found, Mismatch) or (advice is _FROM_THE_END and isinstance(found, Exception)):
                given, error = _given(exercise, function, layout, names, dims, found)
                return Difference(given, dims, error, advice)
            if isinstance(found, Exception) and raised is None:
                given, error = _given(exercise, function, layout, names, dims, found)
                raised = Difference(given, dims, error, "")
    return raised


def _documented(exercise: Exercise, words: str) -> list[str]:
    """Parameters whose line of the docstring has these words."""
    text = (inspect.getdoc(exercise.function) or "").partition("Returns\n")[0]
    return [name for line in re.findall(rf"^(\w[\w, ]*) : .*{words}", text, re.M) for name in line.split(", ")]


def _given(
    exercise: Exercise, function: Function, layout: Layout, names: Sequence[str], dims: Dims, found: Any
) -> tuple[str, str]:
    """The argument that is enough, if there is one, with its layout; and the error."""
    error = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else ""
    for name in names:
        alone = Trials(laid_out(exercise, layout, [name]), function)
        if alone.makes_sense(dims) and type(alone.outcome(dims)) is type(found):
            return f"its argument {name} as {layout.given}", error
    return f"each of its arrays as {layout.given}", error


def _is_compiled(function: Any, seen: tuple[Any, ...] = ()) -> bool:
    """Whether it is a kernel, or calls one by its name, itself or through functions that it calls."""
    function = inspect.unwrap(function, stop=lambda one: hasattr(one, "targetoptions"))
    if hasattr(function, "targetoptions"):
        return True
    around, code = getattr(function, "__globals__", {}), getattr(function, "__code__", None)
    called = [around.get(name) for name in getattr(code, "co_names", ())]
    seen = (*seen, function)
    return any(_is_compiled(one, seen) for one in called if callable(one) and one not in seen)


def shared_with(result: Any, args: Sequence[Any]) -> set[int]:
    """Numbers, from 0, of arguments that have memory in common with a result."""
    return {
        i
        for i, value in enumerate(args)
        if any(np.may_share_memory(a, b) for a in _arrays(value) for b in _arrays(result))
    }


def _arrays(value: Any) -> list[Array]:
    if isinstance(value, np.ndarray):
        return [value] if value.size else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else ()
    return [array for part in parts for array in _arrays(part)]
