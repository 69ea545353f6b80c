"""Changes of arguments that a misreading amounts to: 0 for eps, one position more, two arguments exchanged."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ..exercises.exercise import Dims
from .trials import copied

_SMALL = 64  # numbers that may be doubled: a size, a count

Arguments = tuple[Any, ...]
ValueChange = tuple[str, Callable[[Any], Any]]
Change = tuple[str, Callable[[Arguments, Dims], Arguments]]


def replaced(args: Arguments, i: int, value: Any) -> Arguments:
    return (*args[:i], value, *args[i + 1 :])


def changes_of(names: Sequence[str], args: Arguments, dims: Dims) -> Iterator[Change]:
    """Each change in words, and as a function of the arguments; those that may be made of these."""
    names = names[: len(args)]
    pairs = sorted(enumerate(zip(names, args)), key=lambda pair: _is_float_array(pair[1][1]))
    for i, (name, value) in pairs:
        for words, change in _of_value(value, name):
            yield words, _at(i, change)
        if _is_float_array(value):
            for size in dims:
                for words, factor in _factors(size):
                    yield f"{name} {words}", _scaled(i, size, factor)
        if isinstance(value, dict):
            for key, entry in value.items():
                for words, change in _of_value(entry, str(key)):
                    yield words, _at(i, lambda d, key=key, change=change: {**d, key: change(d[key])})  # type: ignore[misc]
            for a, b in itertools.permutations((k for k, v in value.items() if _is_number(v)), 2):
                yield f"{a} = {b}", _at(i, lambda d, a=a, b=b: {**d, a: d[b]})  # type: ignore[misc]
    for i, j in itertools.permutations(range(len(names)), 2):
        if _alike(args[i], args[j]):
            if i < j:
                yield f"{names[i]} and {names[j]} exchanged", _exchanged(i, j)
            yield f"{names[i]} = {names[j]}", _copied_from(i, j)


def _is_float_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def _at(i: int, change: Callable[[Any], Any]) -> Callable[[Arguments, Dims], Arguments]:
    return lambda args, dims: replaced(args, i, change(args[i]))


def _factors(size: str) -> list[tuple[str, float]]:
    """Powers of a size by which an argument may be too large or too small."""
    return [
        (f"times sqrt({size})", 0.5),
        (f"divided by sqrt({size})", -0.5),
        (f"times {size}", 1.0),
        (f"divided by {size}", -1.0),
    ]


def _scaled(i: int, size: str, power: float) -> Callable[[Arguments, Dims], Arguments]:
    return lambda args, dims: replaced(args, i, args[i] * args[i].dtype.type(float(dims[size]) ** power))


def _exchanged(i: int, j: int) -> Callable[[Arguments, Dims], Arguments]:
    return lambda args, dims: replaced(replaced(args, i, args[j]), j, args[i])


def _copied_from(i: int, j: int) -> Callable[[Arguments, Dims], Arguments]:
    return lambda args, dims: replaced(args, i, copied(args[j]))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number)


def _alike(a: Any, b: Any) -> bool:
    """Whether one may stand for the other."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and a.dtype.kind == b.dtype.kind
    return (_is_number(a) and _is_number(b)) or (type(a) is type(b) and isinstance(a, str | list | dict))


def _of_value(value: Any, name: str) -> list[ValueChange]:
    if isinstance(value, bool):
        return [
            (f"{name} = False", lambda v: False),
            (f"{name} = True", lambda v: True),
            (f"{name} turned round", lambda v: not v),
        ]
    if _is_number(value):
        return _of_number(value, name)
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return _of_array(value, name)
    if isinstance(value, list):
        return [
            (f"{name} empty", lambda v: []),
            (f"{name} in reverse order", lambda v: v[::-1]),
            (f"{name} without its first element", lambda v: v[1:]),
            (f"{name} without its last element", lambda v: v[:-1]),
            (f"the first element of {name} alone", lambda v: v[:1]),
            (f"the last element of {name} alone", lambda v: v[-1:]),
            (f"{name} sorted", sorted),
            (f"each element of {name} once", lambda v: list(dict.fromkeys(v))),
        ]
    if isinstance(value, str):
        return [
            (f"{name} in small letters", str.lower),
            (f"{name} stripped of the space around it", str.strip),
            (f"a space in front of {name}", lambda v: " " + v),
            (f"the spaces of {name} left out", lambda v: v.replace(" ", "")),
            (f"one space for several in {name}", lambda v: re.sub(" +", " ", v)),
            (f"one space between the words of {name}, and none around it", lambda v: " ".join(v.split())),
            (f"{name} reversed", lambda v: v[::-1]),
        ]
    return []


def _of_number(value: int | float, name: str) -> list[ValueChange]:
    changes: list[ValueChange] = [
        (f"{name} = 0", lambda v: type(v)(0)),
        (f"{name} = 1", lambda v: type(v)(1)),
        (f"{name} + 1", lambda v: v + 1),
        (f"{name} - 1", lambda v: v - 1),
    ]
    if isinstance(value, int | np.integer):
        changes.append((f"{name} / 2", lambda v: v // 2))
        if abs(value) <= _SMALL:  # it may be how many there are to be
            changes += [(f"2 * {name}", lambda v: 2 * v if abs(v) <= _SMALL else None)]
        return changes
    return [
        *changes,
        (f"2 * {name}", lambda v: 2 * v),
        (f"{name} / 2", lambda v: v / 2),
        (f"-{name}", lambda v: -v),
        (f"{name} squared", lambda v: v * v),
        (f"1 / {name}", lambda v: 1 / v),
        (f"1 - {name}", lambda v: 1 - v),
        (f"the square root of {name}", lambda v: v**0.5),
    ]


def _of_array(value: Any, name: str) -> list[ValueChange]:
    changes: list[ValueChange] = [
        (f"{name} = 0", np.zeros_like),
        (f"{name} = 1", np.ones_like),
    ]
    if value.dtype.kind == "b":
        return [(f"{name} turned round", np.logical_not), (f"{name} True everywhere", np.ones_like)]
    changes += [
        (f"{name} + 1", lambda v: v + v.dtype.type(1)),
        (f"{name} - 1", lambda v: v - v.dtype.type(1)),
    ]
    if value.dtype.kind == "f":
        changes += [
            (f"-{name}", lambda v: -v),
            (f"2 * {name}", lambda v: 2 * v),
            (f"the sizes (absolute values) of {name}", np.abs),
            (f"{name} squared", lambda v: v * v),
            (f"{name} divided by 2", lambda v: v / v.dtype.type(2)),
            (f"1 / {name}", lambda v: 1 / v),
        ]
    if value.ndim and value.dtype.kind in "iu":
        changes.append((f"0, 1, 2 … in place of {name}", _counted))
        changes.append((f"{name} counted from its first", lambda v: v - v[..., :1]))
        changes.append((f"the first of {name} and those that follow it", lambda v: v[..., :1] + _counted(v)))
    if value.ndim == 2:
        changes.append((f"{name} transposed", lambda v: np.ascontiguousarray(v.T)))
    for axis in range(value.ndim):
        changes += _along_axis(name, axis, f" along axis {axis}" if value.ndim > 1 else "")
    return changes


def _along_axis(name: str, axis: int, which: str) -> list[ValueChange]:
    return [
        (f"{name} in reverse order{which}", lambda v: np.flip(v, axis).copy()),
        (f"{name} sorted{which}", lambda v: np.sort(v, axis)),
        (f"{name} shifted round by one{which}", lambda v: np.roll(v, 1, axis)),
        (f"{name} shifted round by minus one{which}", lambda v: np.roll(v, -1, axis)),
        (f"the mean of {name}{which} taken off", lambda v: v - v.mean(axis, keepdims=True)),
        (f"the first of {name}{which} for all", lambda v: _one_for_all(v, axis, 0)),
        (f"the last of {name}{which} for all", lambda v: _one_for_all(v, axis, -1)),
    ]


def _counted(v: Any) -> Any:
    return np.broadcast_to(np.arange(v.shape[-1], dtype=v.dtype), v.shape).copy()


def _one_for_all(v: Any, axis: int, index: int) -> Any:
    return np.broadcast_to(np.take(v, [index], axis), v.shape).copy()
