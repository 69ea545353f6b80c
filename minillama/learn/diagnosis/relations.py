"""A factor or a difference that leads from the expected numbers to yours, and a name for it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def relation(e: Array, g: Array, wrong: Array, dims: Mapping[str, int]) -> str | None:
    """One rule that leads from all expected numbers that are wrong to yours, as a sentence."""
    usable = wrong & np.isfinite(e) & np.isfinite(g)
    place = "" if wrong.all() else " where it is wrong"
    nonzero = usable & (np.abs(e) > 1e-3 * np.abs(e[usable]).max(initial=0.0))
    if nonzero.sum() >= 3:
        middle = float(np.median(g[nonzero] / e[nonzero]))
        if middle != 0 and close(middle * e[usable], g[usable]):
            known = _known_number(middle, dims)
            return f"yours / expected = {_shown(middle)}{place}, the same everywhere{known}."
    if usable.sum() >= 3:
        difference = (g - e)[usable]
        middle = float(np.median(difference))
        if abs(middle) > 0 and np.all(np.abs(difference - middle) <= 1e-3 * abs(middle)):
            return f"yours - expected = {middle:.6g}{place}, the same everywhere{_known_number(middle, dims)}."
    if usable.all() and e.size >= 4 and np.ptp(e) > 0:
        slope, shift = np.polyfit(e.reshape(-1), g.reshape(-1), 1)
        if abs(slope) > 1e-6 and close(slope * e + shift, g):
            return f"yours = {slope:.4g} * expected + {shift:.4g} everywhere: a factor and a constant."
        power = _power(e, g)
        if power:
            return power
    return None


def _shown(factor: float) -> str:
    """Four digits, and more for a factor close to 1."""
    return f"{factor:.4g}" if abs(factor - 1) > 1e-2 else f"{factor:.7g}"


def _power(e: Array, g: Array) -> str | None:
    reciprocal = np.divide(1, e, out=np.zeros_like(e), where=e != 0)
    functions = {
        "square": e**2,
        "absolute value": np.abs(e),
        "square root": np.sqrt(np.abs(e)),
        "reciprocal": reciprocal,
        "exponential": np.exp(np.minimum(e, 80)),
        "logarithm": np.log(np.where(e > 0, e, 1)),
    }
    for name, values in functions.items():
        if close(values, g):
            return f"Yours is the {name} of what is expected, everywhere."
    return None


def _known_number(value: float, dims: Mapping[str, int]) -> str:
    """A name for a factor: -1, a power of two, or a function of the sizes."""
    if math.isclose(value, -1, rel_tol=1e-4):
        return ": the sign is turned"
    candidates = {"2": 2.0, "ln 2": math.log(2), "pi": math.pi, "e": math.e, "log2(e)": 1 / math.log(2)}
    sizes = {name: n for name, n in dims.items() if n > 1}
    for name, n in sizes.items():
        candidates |= {f"{name} = {n}": float(n), f"sqrt({name}) = sqrt({n})": math.sqrt(n)}
    for name, n in sizes.items():  # after all sizes and roots: 4 is sqrt(16) rather than 3 + 1
        candidates |= {f"{name} - 1": n - 1.0, f"{name} + 1": n + 1.0}
        candidates |= {f"{name} / ({name} - 1)": n / (n - 1), f"sqrt({name} / 2)": math.sqrt(n / 2)}
    for (a, n), (b, m) in itertools.combinations(sizes.items(), 2):
        candidates |= {f"{a} · {b} = {n * m}": float(n * m), f"{a} / {b}": n / m, f"sqrt({a} · {b})": math.sqrt(n * m)}
    for name, number in candidates.items():
        bare = name.split(" = ")[0]
        reciprocal = f"1 / ({bare})" if " " in bare and not bare.startswith("sqrt(") else f"1 / {bare}"
        for text, x in ((name, number), (reciprocal, 1 / number)):
            for sign in (1, -1):
                if abs(x - 1) > 1e-2 and text != f"{value:.4g}" and math.isclose(value, sign * x, rel_tol=3e-4):
                    return f" = {'-' if sign < 0 else ''}{text}"
    return ""


def per_slice(e: Array, g: Array, names: list[str], dims: Mapping[str, int]) -> str | None:
    """A factor, or a difference, that changes along one axis only, or along all but one."""
    size = float(np.abs(e).max(initial=0.0))
    usable = np.abs(e) > 1e-3 * size
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
            if numbers is not None and np.ptp(numbers) <= 1e-2 * abs(float(np.median(numbers)) - neutral):
                middle = float(np.median(numbers))
                return f"{word} = {middle:.4g}{_known_number(middle, dims)}, nearly the same everywhere."
            if numbers is not None:
                shown = ", ".join(f"{x:.4g}" for x in numbers[:5])
                return f"{word} {text}: {shown}{' …' if len(numbers) > 5 else ''}."
    return None


def _one_each(values: Array, reduced: tuple[int, ...], neutral: float, size: float) -> Array | None:
    """The numbers that are left when axes are reduced over which `values` do not change; None if they do."""
    there = ~np.isnan(values)
    count = there.sum(axis=reduced)
    if count.max(initial=0) < 2:
        return None
    most = np.where(there, values, -np.inf).max(axis=reduced)[count > 0]
    least = np.where(there, values, np.inf).min(axis=reduced)[count > 0]
    effect = float(np.abs(most - neutral).max(initial=0.0))
    is_one = effect > 1e-4 * size and np.all(most - least <= 1e-2 * effect)
    return most.reshape(-1) if is_one else None
