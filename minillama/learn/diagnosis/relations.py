"""A factor or a difference that leads from the expected numbers to yours, and a name for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .statement import Statement

Array = NDArray[Any]

TOLERANCE = 2e-4  # relative, for a relation that explains every number


def close(a: Array, b: Array) -> bool:
    """Whether b is a, but for rounding; infinities and NaN have to stand in the same heat_map."""
    finite = np.isfinite(a)
    if (
        a.shape != b.shape
        or not np.array_equal(finite, np.isfinite(b))
        or not np.array_equal(a[~finite], b[~finite], equal_nan=True)
    ):
        return False
    a, b = a[finite], b[finite]
    size = float(np.abs(a).max(initial=0.0))
    return a.size > 0 and bool(np.all(np.abs(a - b) <= TOLERANCE * np.abs(a) + 1e-5 * size))


def relation(e: Array, g: Array, wrong: Array, dims: Mapping[str, int], whole: bool = False) -> Statement | None:
    """One rule that leads from all expected numbers that are wrong to yours.

    `whole` numbers may be ids or positions: a difference is asked for first, and a ratio must be whole itself.
    """
    usable = wrong & np.isfinite(e) & np.isfinite(g)
    if usable.sum() < 3 or np.ptp(e[usable]) == 0:
        return None  # one number may be anything of another
    place = "" if wrong.all() else " where it is wrong"
    rules = (_difference, _factor) if whole else (_factor, _difference)
    for rule in rules:
        found = rule(e[usable], g[usable], place, dims)
        if found is not None and not (whole and rule is _factor and not _is_whole_factor(found.number)):
            return found
    if usable.all() and e.size >= 4:
        slope, shift = np.polyfit(e.reshape(-1), g.reshape(-1), 1)
        if abs(slope) > 1e-6 and close(slope * e + shift, g):
            return Statement(f"yours = {slope:.4g} * expected + {shift:.4g} everywhere: a factor and a constant.")
        return _power(e, g)
    return None


def _factor(e: Array, g: Array, place: str, dims: Mapping[str, int]) -> Statement | None:
    nonzero = np.abs(e) > 1e-3 * np.abs(e).max(initial=0.0)
    if nonzero.sum() < 3:
        return None
    middle = float(np.median(g[nonzero] / e[nonzero]))
    if middle == 0 or not close(middle * e, g):
        return None
    return _numbered("yours / expected", middle, _shown(middle), f"{place}, the same everywhere", dims)


def _difference(e: Array, g: Array, place: str, dims: Mapping[str, int]) -> Statement | None:
    difference = g - e
    middle = float(np.median(difference))
    if middle == 0 or not np.all(np.abs(difference - middle) <= 1e-3 * abs(middle)):
        return None
    return _numbered("yours - expected", middle, f"{middle:.6g}", f"{place}, the same everywhere", dims)


def _is_whole_factor(number: float | None) -> bool:
    return number is not None and any(abs(x - round(x)) < 1e-9 for x in (number, 1 / number))


def _numbered(what: str, number: float, shown: str, how: str, dims: Mapping[str, int]) -> Statement:
    sign = ": the sign is turned" if what == "yours / expected" and math.isclose(number, -1, rel_tol=1e-4) else "{name}"
    names = tuple(known_names(number, dims)) if sign == "{name}" else ()
    return Statement(f"{what} = {shown}{how}{sign}.", f"{what}{how}", number, names)


def _shown(factor: float) -> str:
    """Four digits, and more for a factor close to 1."""
    return f"{factor:.4g}" if abs(factor - 1) > 1e-2 else f"{factor:.7g}"


def _power(e: Array, g: Array) -> Statement | None:
    reciprocal = np.divide(1, e, out=np.zeros_like(e), where=e != 0)
    functions = {
        "square": e**2,
        "absolute value": np.abs(e),
        "square root": np.sqrt(np.abs(e)),
        "reciprocal": reciprocal,
        "exponential": np.exp(np.minimum(e, 80)),
        "logarithm": np.log(np.where(e > 0, e, 1)),
        "whole part": np.trunc(e),
        "nearest whole number": np.rint(e),
    }
    for name, values in functions.items():
        if close(values, g):
            return Statement(f"Yours is the {name} of what is expected, everywhere.")
    return None


def known_names(value: float, dims: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """Names for a number, and how each is shown: a power of two, or a function of the sizes."""
    candidates = {"2": 2.0, "ln 2": math.log(2), "pi": math.pi, "e": math.e, "log2(e)": 1 / math.log(2)}
    worth: dict[str, int] = {}
    sizes = {name: n for name, n in dims.items() if n > 1}
    for name, n in sizes.items():
        candidates |= {name: float(n), f"sqrt({name})": math.sqrt(n)}
        worth[name] = n
    for name, n in sizes.items():  # after all sizes and roots: 4 is sqrt(16) rather than 3 + 1
        candidates |= {f"{name} - 1": n - 1.0, f"{name} + 1": n + 1.0}
        candidates |= {f"{name} / ({name} - 1)": n / (n - 1), f"sqrt({name} / 2)": math.sqrt(n / 2)}
    for (a, n), (b, m) in itertools.combinations(sizes.items(), 2):
        candidates |= {f"{a} · {b}": float(n * m), f"{a} / {b}": n / m, f"sqrt({a} · {b})": math.sqrt(n * m)}
        worth[f"{a} · {b}"] = n * m
    for name, number in candidates.items():
        reciprocal = f"1 / ({name})" if " " in name and not name.startswith("sqrt(") else f"1 / {name}"
        for text, x in ((name, number), (reciprocal, 1 / number)):
            for sign, minus in ((1, ""), (-1, "-")):
                is_it = abs(x - 1) > 1e-2 and math.isclose(value, sign * x, rel_tol=3e-4)
                if is_it and f"{minus}{text}" != f"{value:.4g}":
                    number_too = f" = {minus}{worth[text]}" if text in worth else ""
                    bracketed = f"{minus}({text})" if minus and " " in text else f"{minus}{text}"
                    yield bracketed, f" = {bracketed}{number_too}"


def per_slice(e: Array, g: Array, wrong: Array, names: list[str], dims: Mapping[str, int]) -> Statement | None:
    """A factor, or a difference, that changes along one axis only, or along all but one."""
    size = float(np.abs(e[np.isfinite(e)]).max(initial=0.0))
    usable = (np.abs(e) > 1e-3 * size) & np.isfinite(e)
    ratio = np.divide(g, e, out=np.ones_like(e), where=usable)
    if e.ndim < 2:
        return None
    words = {
        "yours / expected": (np.where(usable, ratio, np.nan), 1.0),
        "yours - expected": (np.where(usable, g - e, np.nan), 0.0),
    }
    others = [
        (tuple(i for i in range(e.ndim) if i != axis), f"depends on {name} alone") for axis, name in enumerate(names)
    ]
    along = [((axis,), f"is the same all along {name}") for axis, name in enumerate(names) if e.shape[axis] > 1]
    for reduced, text in others + along:
        for word, (values, neutral) in words.items():
            numbers = _one_each(values, reduced, neutral, neutral or size)
            if numbers is None:
                continue
            middle = float(np.median(numbers))
            if np.ptp(numbers) <= 1e-2 * min(abs(middle - neutral), abs(middle)):
                guess = middle * e if neutral else e + middle
                if not np.all(np.abs(g - guess) <= 2e-2 * np.abs(guess) + 1e-5 * size):
                    continue  # the small numbers, which have no ratio to speak of, are others
                return _numbered(word, middle, f"{middle:.4g}", ", nearly the same everywhere", dims)
            if neutral and not _explains_small(e, g, values, reduced, size):
                continue
            shown = ", ".join(f"{x:.4g}" for x in numbers[:5])
            unexplained = wrong & np.isfinite(values) & (np.abs(values - neutral) <= 2e-3 * (neutral or size))
            but = ", but for small differences" if unexplained.any() else ""
            more = " …" if len(numbers) > 5 else ""
            return Statement(f"{word} {text}{but}: {shown}{more}.", f"{word} {text}")
    return None


def _explains_small(e: Array, g: Array, values: Array, reduced: tuple[int, ...], size: float) -> bool:
    """Whether the factor of each slice fits the numbers, too, that are too small to have a ratio."""
    there = np.isfinite(values)
    total = np.where(there, values, 0).sum(axis=reduced, keepdims=True)
    factor = total / np.maximum(there.sum(axis=reduced, keepdims=True), 1)
    near = np.abs(g - factor * e) <= 2e-2 * np.abs(factor * e) + 2e-3 * size * np.maximum(np.abs(factor), 1e-3)
    return bool(np.all(near | ~np.isfinite(e)))


def _one_each(values: Array, reduced: tuple[int, ...], neutral: float, size: float) -> Array | None:
    """The numbers that are left when axes are reduced over which `values` do not change; None if they do."""
    there = np.isfinite(values)
    count = there.sum(axis=reduced)
    if count.max(initial=0) < 2:
        return None
    most = np.where(there, values, -np.inf).max(axis=reduced)[count > 0]
    least = np.where(there, values, np.inf).min(axis=reduced)[count > 0]
    effect = float(np.abs(most - neutral).max(initial=0.0))
    spread = most - least
    is_one = effect > 1e-4 * size and np.all(spread <= 1e-2 * np.minimum(effect, np.abs(most) if neutral else effect))
    return most.reshape(-1) if is_one else None
