"""What an exercise is: the solved function, inputs of any shape, and the mistakes that people make.

    @exercise(title="The angles", difficulty=1, minutes=5, make=make_angles, shapes=(...), hints=(...),
              why=...)
    def rope_angles(head_dim, positions, theta):
        \"\"\"The angle by which every pair turns ...\"\"\"         what the learner reads
        return positions[:, None] * ...                        what the solution shows

    @rope_angles.mistake("Your frequencies grow: the exponent has the wrong sign.", "The first pair turns fastest ...")
    def growing_frequencies(head_dim, positions, theta):
        return ...

Starters, solutions and the tables of the book are generated from this text: see `texts.py`.
"""

from __future__ import annotations

import inspect
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """One function that the learner writes; `exercise` makes one, and it can be called like the function.

    Attributes
    ----------
    function : callable
        The solved function, with the docstring that the learner reads. Its name is the exercise's id and never
        changes: progress is kept under it.
    chapter : str
        "05".
    title : str
    task : str
        One sentence: what the function has to do.
    difficulty : int
        1 (a line or two) to 3.
    minutes : int
    make : callable
        make(rng, **dims) -> tuple of arguments. Called again with the same seed for every function
        that is compared. Raises ValueError for dims that make no sense.
    shapes : sequence of dict
        Dims to try, the smallest first; with sizes of 1, odd sizes and sizes that differ from one another.
    hints : tuple of three str
        Of rising help; the last is almost the code.
    why : str
        Two or three sentences on the solution, for a reader who has written one: why it is done like this, and what
        would go wrong otherwise. What the docstring says is not said again.
    reference : callable
        What the learner's results are compared with: the solved function, unless that one has to be compiled first
        or is less exact than plain NumPy in wider numbers.
    same_as : callable, optional
        The package's own function; a test holds the solved one against it.
    oracle : callable, optional
        The same through PyTorch, from NumPy arguments to NumPy results. Imports torch itself.
    axes : tuple of str
        Names of the axes of the (first) output: ("batch", "head", "position", "dim").
    outputs : tuple of str
        Names of the outputs when there are several: ("dx", "dweight").
    observe : callable, optional
        observe(function, args) -> what is compared, where that is not simply function(*args):
        the frequencies of a sampler, the state of an object, the pieces of a stream.
    rtol, atol : float
        atol is a share of the largest expected number.
    exact : bool
        Integers, text or bits: everything must be equal.
    dtype_matters : bool
        The dtype of the result is part of the task; of a list or dict, whether a number is an int or a float.
    writes_to : tuple of str
        Arguments that the docstring says are written to; no other may change.
    draw : int
        Which of the arguments of the same sizes `make` draws: 0, and 1 in the second round of a check.
    wide : bool
        Arrays of float32 are given as float64.
    replaces : str, optional
        The layer of a model that this function can stand for: "rope".
    as_layer : callable, optional
        as_layer(function) -> the function with that layer's arguments, where they differ.
    speed : Speed, optional
    mistakes : list of Mistake
        At least four; inputs of `make` must tell each of them from the right result.
    """

    function: Function
    chapter: str
    title: str
    task: str
    difficulty: int
    minutes: int
    make: Callable[..., tuple[Any, ...]]
    shapes: Sequence[Dims]
    hints: tuple[str, str, str]
    why: str
    reference: Function
    same_as: Function | None = None
    oracle: Function | None = None
    axes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    observe: Callable[[Function, tuple[Any, ...]], Any] | None = None
    rtol: float = 1e-4
    atol: float = 2e-6
    exact: bool = False
    dtype_matters: bool = False
    writes_to: tuple[str, ...] = ()
    draw: int = 0
    wide: bool = False
    replaces: str | None = None
    as_layer: Callable[[Function], Function] | None = None
    speed: Speed | None = None
    mistakes: list[Mistake] = field(default_factory=list)

    @property
    def id(self) -> str:
        return self.function.__name__

    @property
    def heading(self) -> str:
        """For a person: "05 · rope_angles: The angles"."""
        return f"{self.chapter} · {self.id}: {self.title}"

    def __call__(self, *args: Any, **options: Any) -> Any:
        """The solved function."""
        return self.function(*args, **options)

    def mistake(self, name: str, advice: str, function: Function | None = None) -> Any:
        """Add a known mistake: a decorator, or with a function as the third argument a plain call."""

        def add(wrong: Function) -> Function:
            self.mistakes.append(Mistake(name, advice, wrong))
            return wrong

        return add if function is None else add(function)

    def arguments(self, dims: Dims) -> tuple[Any, ...]:
        """The arguments for these dims: always the same, always new objects."""
        seed = zlib.crc32(f"{self.id}:{sorted(dims.items())}{f':{self.draw}' * (self.draw > 0)}".encode())
        args = self.make(np.random.default_rng(seed), **dims)
        return tuple(map(_widened, args)) if self.wide else args

    def redrawn(self) -> Exercise:
        """The same exercise with other arguments of the same sizes."""
        return replace(self, draw=self.draw + 1)

    @property
    def keeps_dtype(self) -> bool:
        """Whether the docstring promises the dtype of its arguments and does not say that this is float32."""
        text = inspect.getdoc(self.function) or ""
        return "same dtype as" in text and "float32" not in text

    @property
    def promises_dtype(self) -> bool:
        """Whether the docstring promises the dtype of its arguments, whatever that is."""
        text = inspect.getdoc(self.function) or ""
        return "same dtype as" in text or "same shape and dtype" in text

    def in_float64(self) -> Exercise:
        """The same exercise with float64 in place of float32."""
        return replace(self, wide=True)

    def named_arguments(self, dims: Dims) -> dict[str, Any]:
        """The arguments for these dims, by the names that the learner reads."""
        return dict(zip(inspect.signature(self.function).parameters, self.arguments(dims)))

    def run(self, function: Function, dims: Dims) -> Any:
        """What is compared, of any function with the exercise's signature."""
        args = self.arguments(dims)
        return function(*args) if self.observe is None else self.observe(function, args)


def _widened(value: Any) -> Any:
    return value.astype(np.float64) if isinstance(value, np.ndarray) and value.dtype == np.float32 else value


def exercise(*, task: str = "", reference: Function | None = None, **about: Any) -> Callable[[Function], Exercise]:
    """Make an exercise of the function below; `about` are the fields of `Exercise`.

    The chapter is that of the folder, the task by default the first line of the docstring.
    """

    def make(function: Function) -> Exercise:
        folder = re.search(r"\.ch(\d\d)_", function.__module__)
        first_line = (inspect.getdoc(function) or "").partition("\n")[0]
        return Exercise(
            function=function,
            chapter=folder[1] if folder else "",
            task=task or first_line,
            reference=reference or function,
            **about,
        )

    return make


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
