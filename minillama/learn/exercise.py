"""What an exercise is: the right function, inputs of any shape, and the mistakes that people make."""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

Function = Callable[..., Any]
Dims = Mapping[str, int]


@dataclass(frozen=True)
class Mistake:
    """A known misconception, as a function that has it.

    Attributes
    ----------
    name : str
        What the learner's function does, as a sentence in the second person:
        "Your function rotates the pairs (x[i], x[i + head_dim/2])."
    advice : str
        Why that is not it and what to reconsider: one or two sentences.
    function : callable
        The exercise's signature with the mistake in it.
    """

    name: str
    advice: str
    function: Function


@dataclass(frozen=True)
class Speed:
    """What the speed card of a kernel needs.

    Attributes
    ----------
    dims : dict
        A shape that takes a few milliseconds.
    flops, bytes : callable of the dims
        Arithmetic operations, and bytes that must be read and written at least.
    naive : callable, optional
        Loops in plain Python, of the same signature.
    fast : callable
        The package's compiled function, of the same signature.
    torch : callable, optional
        Given the same arguments as torch tensors.
    """

    dims: Dims
    flops: Callable[..., float]
    bytes: Callable[..., float]
    fast: Function
    naive: Function | None = None
    torch: Function | None = None


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One function that the learner writes.

    Attributes
    ----------
    id : str
        The function's name; never changes, progress is kept under it.
    chapter : str
        "05".
    title : str
    task : str
        One sentence: what the function has to do.
    difficulty : int
        1 (a line or two) to 3.
    minutes : int
    reference : callable
        The right function, in plain NumPy; float64 in gives float64 out.
    make : callable
        make(rng, **dims) -> tuple of arguments. Called anew with the same seed for every function
        that is compared. Raises ValueError for dims that make no sense.
    shapes : sequence of dict
        Dims to try, the smallest first; with sizes of 1, odd sizes and sizes that differ from one another.
    hints : tuple of three str
        Of rising help; the last is almost the code.
    mistakes : tuple of Mistake
        At least four; inputs of `make` must tell each of them from the right result.
    axes : tuple of str
        Names of the axes of the (first) output: ("batch", "head", "position", "dim").
    outputs : tuple of str
        Names of the outputs when there are several: ("dx", "dweight").
    observe : callable, optional
        observe(function, args) -> what is compared, where that is not simply function(*args):
        the frequencies of a sampler, the state of an object, the pieces of a stream.
    oracle : callable, optional
        The same through PyTorch, from NumPy arguments to NumPy results. Imports torch itself.
    rtol, atol : float
        atol is a share of the largest expected number.
    exact : bool
        Integers, text or bits: everything must be equal.
    dtype_matters : bool
        The dtype of the result is part of the task.
    op : callable, optional
        op(function) -> dict of entries for minillama.Ops that make a model run on it.
    speed : Speed, optional
    """

    id: str
    chapter: str
    title: str
    task: str
    difficulty: int
    minutes: int
    reference: Function
    make: Callable[..., tuple[Any, ...]]
    shapes: Sequence[Dims]
    hints: tuple[str, str, str]
    mistakes: tuple[Mistake, ...]
    axes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    observe: Callable[[Function, tuple[Any, ...]], Any] | None = None
    oracle: Function | None = None
    rtol: float = 1e-4
    atol: float = 2e-6
    exact: bool = False
    dtype_matters: bool = False
    op: Callable[[Function], dict[str, Function]] | None = None
    speed: Speed | None = field(default=None)

    def arguments(self, dims: Dims) -> tuple[Any, ...]:
        """The arguments for these dims: always the same, always new objects."""
        seed = zlib.crc32(f"{self.id}:{sorted(dims.items())}".encode())
        return self.make(np.random.default_rng(seed), **dims)

    def run(self, function: Function, dims: Dims) -> Any:
        """What is compared, of any function with the exercise's signature."""
        args = self.arguments(dims)
        return function(*args) if self.observe is None else self.observe(function, args)


@cache
def catalogue() -> dict[str, Exercise]:
    """All exercises by id, in the order of the book."""
    chapters = importlib.import_module(f"{__package__}.chapters")
    found: dict[str, Exercise] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(chapters.__path__)):
        for exercise in importlib.import_module(f"{chapters.__name__}.{module}").EXERCISES:
            if exercise.id in found:
                raise ValueError(f"two exercises are called {exercise.id}")
            found[exercise.id] = exercise
    return found


def get_exercise(id: str) -> Exercise:
    """The exercise of that id.

    Raises
    ------
    ValueError
        When there is none; the message names the nearest ones.
    """
    import difflib

    exercises = catalogue()
    if id not in exercises:
        near = difflib.get_close_matches(id, exercises, n=3, cutoff=0.4)
        advice = f"did you mean {' or '.join(near)}?" if near else "`minillama learn` lists them"
        raise ValueError(f"there is no exercise {id!r}: {advice}")
    return exercises[id]


def parse_dims(exercise: Exercise, text: str) -> dict[str, int]:
    """Dims from "1x2x1x4", in the order of the exercise's shapes.

    Raises
    ------
    ValueError
        When the count or a number is wrong.
    """
    names = list(exercise.shapes[0])
    parts = text.lower().split("x")
    if len(parts) != len(names) or not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"a case of {exercise.id} is {'x'.join(names)}, such as {show_dims(exercise.shapes[0])}; got {text!r}"
        )
    return dict(zip(names, map(int, parts)))


def show_dims(dims: Dims) -> str:
    """The form that `parse_dims` reads: 1x2x1x4."""
    return "x".join(str(n) for n in dims.values())


def name_dims(dims: Dims) -> str:
    """Dims for a person: B=1 T=2 H=1."""
    return " ".join(f"{name}={size}" for name, size in dims.items())
