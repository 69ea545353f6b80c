"""What is wrong with an array, said in the words of its axes.

Every statement is computed from the numbers: a constant ratio, a swapped axis, slices in another
order, rows from a position on. None is a guess about the code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .places import names_of, share_of, where, wrong_slices

Array = NDArray[Any]

_TOLERANCE = 2e-4  # relative, for a relation that explains every number


def describe(
    expected: Array, got: Array, wrong: Array, axes: Sequence[str], dims: Mapping[str, int], args: Mapping[str, Any]
) -> list[str]:
    """Statements about what is wrong, the most telling first.

    Parameters
    ----------
    expected, got : ndarray of one shape
    wrong : bool ndarray of that shape
    axes : names of the axes
    dims : the case's sizes, to recognise a factor such as sqrt(head_dim)
    args : the arguments by name, to recognise one that was returned as it is, or not used
    """
    names = names_of(axes, expected.ndim)
    if expected.dtype.kind not in "fiub" or got.dtype.kind not in "fiub":
        return [where(wrong, names)]
    e, g = expected.astype(np.float64), got.astype(np.float64)
    found: list[str | None] = [_not_numbers(e, g, wrong, names)]
    if found[0] is None:
        found = [_untouched(g, args), _constant(g, wrong), _order(e, g, names), _relation(e, g, wrong, dims)]
        if not any(found):
            found = [_with_argument(e, g, args), _sums(e, g, names)]
        if not any(found):
            found = [_per_slice(e, g, names), _precision(e, g), _kept(e, g, wrong, names)]
    return [text for text in found if text] + [where(wrong, names)]


def _close(a: Array, b: Array) -> bool:
    """Whether b is a, but for rounding; infinities and NaN have to stand in the same places."""
    finite = np.isfinite(a)
    if (
        a.shape != b.shape
        or not np.array_equal(finite, np.isfinite(b))
        or not np.array_equal(a[~finite], b[~finite], equal_nan=True)
    ):
        return False
    a, b = a[finite], b[finite]
    size = float(np.abs(a).max(initial=0.0))
    return a.size > 0 and bool(np.all(np.abs(a - b) <= _TOLERANCE * np.abs(a) + 1e-5 * size))


def _not_numbers(e: Array, g: Array, wrong: Array, names: list[str]) -> str | None:
    for what, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        bad = test(g) & ~test(e)
        if bad.any():
            cause = (
                "a division 0/0, a logarithm or root of a negative number, or inf - inf"
                if what == "NaN"
                else "an overflow or a division by 0"
            )
            return f"{share_of(bad)} are {what} ({wrong_slices(bad, names) or 'scattered'}): {cause}."
    bad = np.isinf(e) & np.isfinite(g)
    if bad.any():
        return f"{share_of(bad)} should be infinite and are not, the first {g[bad][0]:.6g}."
    return None


def _arrays(args: Mapping[str, Any]) -> dict[str, Array]:
    """Arguments that are numbers, by name, as float64."""
    numbers = {name: np.asarray(value) for name, value in args.items() if isinstance(value, np.ndarray | float | int)}
    return {name: a.astype(np.float64) for name, a in numbers.items() if a.dtype.kind in "fiu"}


def _untouched(g: Array, args: Mapping[str, Any]) -> str | None:
    for name, a in _arrays(args).items():
        if a.shape == g.shape and g.size > 1 and np.any(g != 0) and _close(a, g):
            return f"Your result is the argument {name}: nothing has happened to it."
    return None


def _with_argument(e: Array, g: Array, args: Mapping[str, Any]) -> str | None:
    """A factor or a term too many or too few that is one of the arguments."""
    for name, a in _arrays(args).items():
        try:
            if np.broadcast_shapes(a.shape, e.shape) != e.shape or e.size < 8 or (a.ndim == 0 and a in (0, 1)):
                continue
        except ValueError:
            continue
        safe = np.where(a == 0, 1, a)
        for text, values in (
            (f"expected * {name}", e * a),
            (f"expected / {name}", np.where(a == 0, np.nan, e / safe)),
            (f"expected + {name}", e + a),
            (f"expected - {name}", e - a),
        ):
            if np.isfinite(values).all() and _close(values, g):
                return f"yours = {text} everywhere: {name} is used once too often, or not at all."
    return None


def _constant(g: Array, wrong: Array) -> str | None:
    values = g[wrong]
    if values.size > 1 and np.ptp(values) == 0:
        why = "never written, masked, or multiplied by 0" if values[0] == 0 else "one value for all"
        return f"Every wrong element is {values[0]:.6g}: {why}."
    return None


# --- the right numbers in other places ---------------------------------------------------


def _order(e: Array, g: Array, names: list[str]) -> str | None:
    for i, j in itertools.combinations(range(e.ndim), 2):
        if e.shape[i] == e.shape[j] > 1 and _close(np.swapaxes(e, i, j), g):
            return f"Your numbers are right, but the axes {names[i]} and {names[j]} are swapped."
    for axis, name in enumerate(names):
        if 2 <= e.shape[axis] <= 512:
            text = _slices_moved(np.moveaxis(e, axis, 0), np.moveaxis(g, axis, 0), name)
            if text:
                return text
    for axis in range(e.ndim - 1, -1, -1):
        if e.shape[axis] > 1 and _close(np.sort(e, axis=axis), np.sort(g, axis=axis)):
            return f"Every row along {names[axis]} has the right numbers, in another order."
    if e.size > 1 and np.allclose(np.sort(e, axis=None), np.sort(g, axis=None), rtol=1e-4, atol=1e-6):
        return "The numbers are the right ones, all of them, in another order."
    return None


def _slices_moved(e: Array, g: Array, name: str) -> str | None:
    """Whether every slice of yours is some slice of the expected array."""
    n = len(e)
    flat_e, flat_g = e.reshape(n, -1), g.reshape(n, -1)
    floor = 1e-5 * float(np.abs(flat_e[np.isfinite(flat_e)]).max(initial=0.0))
    source = np.full(n, -1)
    for i in range(n):
        near = np.all(np.isclose(flat_e, flat_g[i], rtol=_TOLERANCE, atol=floor), axis=1)
        candidates = np.flatnonzero(near)
        if len(candidates):
            source[i] = i if near[i] else candidates[0]
    moved = int(np.sum((source != np.arange(n)) & (source >= 0)))
    if moved == 0:
        return None
    if (source >= 0).all():
        tiled = _tiled(flat_e, flat_g)
        if tiled:
            return f"Along {name} {tiled}"
        how = _pattern(source.tolist())
        places = [(i, s) for i, s in enumerate(source.tolist()) if i != s]
        few = ", ".join(f"yours[{i}] = expected[{s}]" for i, s in places[:4])
        return f"Along {name} your slices are the right ones in other places: {how or few}."
    for shift in (1, -1, 2, -2):
        inside = slice(shift, None) if shift > 0 else slice(None, shift)
        other = slice(None, -shift) if shift > 0 else slice(-shift, None)
        if abs(shift) < n - 1 and np.all(np.isclose(flat_g[inside], flat_e[other], rtol=_TOLERANCE, atol=floor)):
            sign = "-" if shift > 0 else "+"
            return f"Along {name} everything is shifted: yours[i] = expected[i {sign} {abs(shift)}]."
    return None


def _tiled(e: Array, g: Array) -> str | None:
    """Equal slices stand together in one and take turns in the other: np.repeat and np.tile."""

    def kinds(a: Array) -> list[int]:
        return [int(np.argmax([np.allclose(x, y, rtol=1e-4, atol=1e-6) for x in e])) for y in a]

    wanted, found = kinds(e), kinds(g)
    n = len(set(wanted))
    if not 1 < n < len(wanted) or len(wanted) % n:
        return None
    firsts = sorted(set(wanted), key=wanted.index)
    together, turns = np.repeat(firsts, len(wanted) // n).tolist(), firsts * (len(wanted) // n)
    if (wanted, found) == (together, turns):
        return f"your {n} slices take turns, as np.tile lays them out; equal ones belong together: np.repeat."
    if (wanted, found) == (turns, together):
        return f"your {n} slices stand together, as np.repeat lays them out; they have to take turns: np.tile."
    return None


def _pattern(source: list[int]) -> str | None:
    n = len(source)
    half = n // 2
    patterns = {
        "reversed": list(range(n))[::-1],
        "even ones first, then odd ones (halves instead of neighbours)": [*range(0, n, 2), *range(1, n, 2)],
        "the two halves interleaved (neighbours instead of halves)": [x for i in range(half) for x in (i, i + half)],
        "the two halves exchanged": [*range(half, n), *range(half)],
        "neighbours exchanged in pairs": [i ^ 1 for i in range(n)] if n % 2 == 0 else [],
    }
    for shift in (1, -1):
        patterns[f"shifted round by {'one' if shift == 1 else 'minus one'}"] = [(i - shift) % n for i in range(n)]
    for name, order in patterns.items():
        if source == order:
            return name
    return f"all of them equal slice {source[0]}" if len(set(source)) == 1 else None


# --- one factor or one difference -----------------------------------------------------


def _relation(e: Array, g: Array, wrong: Array, dims: Mapping[str, int]) -> str | None:
    usable = wrong & np.isfinite(e) & np.isfinite(g)
    nonzero = usable & (np.abs(e) > 1e-3 * np.abs(e[usable]).max(initial=0.0))
    if nonzero.sum() >= 2:
        ratio = g[nonzero] / e[nonzero]
        middle = float(np.median(ratio))
        if np.all(np.abs(ratio - middle) <= _TOLERANCE * abs(middle) + 1e-9) and middle != 0:
            place = "" if wrong.all() else " where it is wrong"
            return f"yours / expected = {middle:.4f}{place}, the same everywhere{_known_number(middle, dims)}."
    if usable.sum() >= 2:
        difference = (g - e)[usable]
        middle = float(np.median(difference))
        if abs(middle) > 0 and np.all(np.abs(difference - middle) <= 1e-3 * abs(middle)):
            return f"yours - expected = {middle:.6g}, the same everywhere{_known_number(middle, dims)}."
    if usable.all() and e.size >= 4 and np.ptp(e) > 0:
        slope, shift = np.polyfit(e.reshape(-1), g.reshape(-1), 1)
        if abs(slope) > 1e-6 and _close(slope * e + shift, g):
            return f"yours = {slope:.4f} * expected + {shift:.4f} everywhere: a factor and a constant."
        power = _power(e, g)
        if power:
            return power
    return None


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
        if _close(values, g):
            return f"Yours is the {name} of what is expected, everywhere."
    return None


def _known_number(value: float, dims: Mapping[str, int]) -> str:
    """A name for a factor: -1, a power of two, or a function of the sizes."""
    if math.isclose(value, -1, rel_tol=1e-4):
        return ": the sign is turned"
    candidates = {"2": 2.0, "ln 2": math.log(2), "pi": math.pi, "e": math.e, "log2(e)": 1 / math.log(2)}
    for name, n in dims.items():
        if n > 1:
            candidates |= {
                f"{name} = {n}": float(n),
                f"sqrt({name}) = sqrt({n})": math.sqrt(n),
                f"{name} - 1": n - 1.0,
                f"{name} + 1": n + 1.0,
            }
            candidates |= {f"{name} / ({name} - 1)": n / (n - 1), f"sqrt({name} / 2)": math.sqrt(n / 2)}
    for name, number in candidates.items():
        for text, x in ((name, number), (f"1 / {name.split(' = ')[0]}", 1 / number)):
            for sign in (1, -1):
                if x != 1 and math.isclose(value, sign * x, rel_tol=3e-4):
                    return f" = {'-' if sign < 0 else ''}{text}"
    return ""


def _per_slice(e: Array, g: Array, names: list[str]) -> str | None:
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


def _sums(e: Array, g: Array, names: list[str]) -> str | None:
    """Normalised along another axis than expected."""

    def unit(a: Array) -> list[int]:
        return [i for i in range(a.ndim) if a.shape[i] > 1 and np.allclose(a.sum(axis=i), 1, atol=1e-3)]

    wanted, found = unit(e), unit(g)
    if wanted and not set(wanted) & set(found):
        where = (
            f"yours sum to 1 along {names[found[0]]}"
            if found
            else f"yours sum to {g.sum(axis=wanted[0]).reshape(-1)[0]:.4g}, not to 1"
        )
        return f"The numbers should sum to 1 along {names[wanted[0]]}; {where}."
    return None


def _kept(e: Array, g: Array, wrong: Array, names: list[str]) -> str | None:
    """What is right about numbers that are wrong: lengths, sums, the set of numbers of every row."""
    if e.ndim < 2 or e.shape[-1] < 2 or not np.isfinite(g).all() or not np.isfinite(e).all():
        return None
    for text, function in (
        (
            "the length (root of the sum of squares) of every row along {} is right: only its direction is wrong",
            np.linalg.norm,
        ),
        ("the sum of every row along {} is right, its parts are not", np.sum),
    ):
        for axis in range(e.ndim - 1, -1, -1):
            if e.shape[axis] > 1 and _close(function(e, axis=axis), function(g, axis=axis)):
                return text.format(names[axis]).capitalize() + "."
    share = (
        float(np.corrcoef(e[wrong], g[wrong])[0, 1]) if wrong.sum() > 8 and np.ptp(e[wrong]) and np.ptp(g[wrong]) else 0
    )
    if share < -0.5:
        return f"The wrong numbers run against the expected ones (correlation {share:.2f})."
    bigger = float(np.median(np.abs(g[wrong])) / max(np.median(np.abs(e[wrong])), 1e-30))
    if 3 < bigger < 1000 or 1e-3 < bigger < 1 / 3:
        return f"The wrong numbers are typically {bigger:.3g} times as large as the expected ones."
    return None


def _precision(e: Array, g: Array) -> str | None:
    size = np.abs(e).max(initial=0.0)
    worst = float(np.abs(e - g).max(initial=0.0) / size) if size else math.inf
    if worst < 5e-3:
        digits = max(1, int(0.05 - math.log10(worst)))
        return (
            f"Right to about {digits} digit{'s' if digits > 1 else ''} (largest error {worst:.1e} of the largest "
            "number): "
            "a rounding, a small constant (such as eps) in another place, or an approximation."
        )
    return None
