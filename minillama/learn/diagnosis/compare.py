"""Is a learner's result the expected one? Lenient about form, strict about numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Exercise

_MOST_EXCHANGED = 5  # results of which all orders are tried
FLOAT64 = "Numbers come back as float64; the package keeps float32 all the way."
_KINDS = {"b": "truth values (bool)", "i": "integers", "u": "integers", "f": "numbers"}


@dataclass(frozen=True)
class Mismatch:
    """The first output that is wrong.

    Attributes
    ----------
    kind : "shape", "type", "numbers" or "sequence"
    output : str
        Its name, when there are several.
    expected, got : arrays for "numbers"; lists, text and other values for "sequence"
    wrong : bool ndarray, for "numbers"
    message : str, for "shape" and "type"
    """

    kind: str
    output: str
    expected: Any
    got: Any
    wrong: NDArray[np.bool_] | None = None
    message: str = ""


@dataclass(frozen=True)
class Comparison:
    """What came out: the first mismatch, or None; and remarks on what is right but unusual."""

    mismatch: Mismatch | None
    remarks: tuple[str, ...] = ()

    @property
    def equal(self) -> bool:
        return self.mismatch is None


def compare(exercise: Exercise, expected: Any, got: Any) -> Comparison:
    """Compare a result with the reference's."""
    remarks: list[str] = []
    if isinstance(expected, tuple):
        if isinstance(got, np.ndarray) and got.ndim and len(got) == len(expected):
            got = list(got)  # as many numbers, or rows, as there are results
        if not isinstance(got, tuple | list) or len(got) != len(expected):
            listed = ", ".join(exercise.outputs) or f"{len(expected)} results"
            return Comparison(Mismatch("type", "", expected, got, message=f"should be ({listed}), is {kind_of(got)}"))
        names = exercise.outputs or tuple(f"result {i}" for i in range(len(expected)))
        for name, e, g in zip(names, expected, got):
            mismatch = _compare_one(exercise, name, e, g, remarks)
            if mismatch is not None:
                return Comparison(_exchanged(exercise, names, expected, got) or mismatch, tuple(remarks))
        return Comparison(None, tuple(remarks))
    if isinstance(got, tuple) and got and not isinstance(expected, list | str | bytes):
        got = got[0]
        remarks.append("It returns a tuple; the first part was taken.")
    return Comparison(_compare_one(exercise, "", expected, got, remarks), tuple(remarks))


def _exchanged(exercise: Exercise, names: Sequence[str], expected: Any, got: Any) -> Mismatch | None:
    """Whether all results are right, but stand in another order."""
    if len(expected) > _MOST_EXCHANGED:
        return None
    for order in permutations(range(len(expected))):
        if all(_compare_one(exercise, "", expected[i], g, []) is None for i, g in zip(order, got)):
            found = ", ".join(names[i] for i in order)
            message = f"should be ({', '.join(names)}); yours is ({found}): right, in another order"
            return Mismatch("type", "", expected, got, message=message)
    return None


def kind_of(value: Any) -> str:
    """A value's type in words: "a float32 array of shape (2, 3)"."""
    if value is None:
        return "None (is the return statement missing?)"
    if isinstance(value, np.ndarray):
        return f"{'an' if str(value.dtype)[0] in 'aiou' else 'a'} {value.dtype} array of shape {value.shape}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return f"a value of type {type(value).__name__}"


def _compare_one(exercise: Exercise, name: str, expected: Any, got: Any, remarks: list[str]) -> Mismatch | None:
    if isinstance(expected, str | bytes | list | dict | set | bool | type(None)):
        return _compare_sequence(name, expected, got, exercise.dtype_matters)
    wanted = np.asarray(expected)
    try:
        array = np.asarray(got)
        if array.dtype == object or (array.dtype.kind in "US" and wanted.dtype.kind not in "US"):
            raise ValueError
    except (ValueError, TypeError):
        return Mismatch("type", name, expected, got, message=f"should be {kind_of(wanted)}, is {kind_of(got)}")
    if array.shape != wanted.shape:
        if array.size == 1 and wanted.ndim == 0:  # one number, however it is wrapped
            array = array.reshape(wanted.shape)
        else:
            return Mismatch(
                "shape", name, wanted, array, message=f"should have shape {wanted.shape}, has {array.shape}"
            )
    if array.dtype.kind == "c" and wanted.dtype.kind != "c":
        return Mismatch("type", name, wanted, array, message=f"should be of real numbers, is {array.dtype}")
    wrong = differs(exercise, wanted, array)
    if wrong.any():
        return Mismatch("numbers", name, wanted, array, wrong)
    kinds = _KINDS.get(wanted.dtype.kind, ""), _KINDS.get(array.dtype.kind, "")
    if kinds[0] != kinds[1] and kinds != ("numbers", "integers"):
        found = f"has the right values, but they should be {kinds[0]} and are {array.dtype}"
        return Mismatch("type", name, wanted, array, message=found)
    if exercise.dtype_matters and array.dtype != wanted.dtype:
        return Mismatch("type", name, wanted, array, message=f"should be of dtype {wanted.dtype}, is {array.dtype}")
    if isinstance(got, np.ndarray) and (wanted.dtype, array.dtype) == (np.float32, np.float64):
        remarks.append(FLOAT64)
    if exercise.wide and (wanted.dtype, array.dtype) == (np.float64, np.float32):
        remarks.append("It returns float32 for float64 too, where the dtype of the argument was asked for.")
    return None


def _compare_sequence(name: str, expected: Any, got: Any, type_matters: bool) -> Mismatch | None:
    expected, got = _plain(expected), _plain(got)
    if isinstance(expected, list) and isinstance(got, tuple):
        got = list(got)
    wanted = "None" if expected is None else kind_of(expected)
    if type(expected) is not type(got):
        return Mismatch("type", name, expected, got, message=f"should be {wanted}, is {kind_of(got)}")
    if expected and isinstance(expected, list) and isinstance(expected[0], tuple):  # lists are as good
        got = [tuple(row) if isinstance(row, list) else row for row in got]
    if not same_value(_in_tuples(expected), _in_tuples(got)):
        return Mismatch("sequence", name, expected, got)
    other = _other_type(expected, got, type_matters)
    return None if other is None else Mismatch("type", name, expected, got, message=other)


def same_value(a: Any, b: Any) -> bool:
    """Equality of values that may hold arrays, and NaN, at any depth."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        try:
            x, y = np.asarray(a), np.asarray(b)
        except ValueError:
            return False
        return x.shape == y.shape and bool(np.all((x == y) | ((x != x) & (y != y))))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(same_value(x, y) for x, y in zip(a, b))
    return bool(a == b) or bool(a != a and b != b)


def _plain(value: Any) -> Any:
    """Arrays, and NumPy's numbers, as lists and Python's, inside of lists and dicts too."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return type(value)([_plain(v) for v in value]) if type(value) in (tuple, list) else tuple(map(_plain, value))
    return {key: _plain(v) for key, v in value.items()} if isinstance(value, dict) else value


def _in_tuples(value: Any) -> Any:
    """Lists as tuples, all the way down: which of the two it is does not matter."""
    if isinstance(value, tuple | list):
        return tuple(_in_tuples(v) for v in value)
    return {key: _in_tuples(v) for key, v in value.items()} if isinstance(value, dict) else value


def _other_type(expected: Any, got: Any, type_matters: bool) -> str | None:
    """Of two values that are equal, what is a float or a truth value in place of an integer, or the other way round.

    An integer is as good as a float, unless the type matters.
    """
    if isinstance(expected, tuple | list):
        return next((text for e, g in zip(expected, got) if (text := _other_type(e, g, type_matters))), None)
    if isinstance(expected, dict):
        return next((text for key, e in expected.items() if (text := _other_type(e, got[key], type_matters))), None)
    kinds = [next((kind for kind in (bool, int, float) if isinstance(value, kind)), None) for value in (expected, got)]
    if kinds[0] is kinds[1] or (kinds == [float, int] and not type_matters):
        return None
    return f"has {got!r} where {expected!r} belongs, of another type ({type(got).__name__})"


def differs(exercise: Exercise, expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.bool_]:
    """Where two arrays of one shape are not the same, by the exercise's tolerance; NaN equals NaN."""
    if exercise.exact or expected.dtype.kind not in "fc":
        both_nan = (expected != expected) & (got != got)
        return np.asarray((expected != got) & ~both_nan)
    wide = expected.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    floor = exercise.atol * float(np.abs(finite).max(initial=0.0))
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.isclose(got.astype(np.float64), wide, rtol=exercise.rtol, atol=floor, equal_nan=True)
    return np.asarray(~near)
