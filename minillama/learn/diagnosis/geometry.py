"""What is wrong with an array, said in the words of its axes.

Every statement is computed from the numbers: a constant ratio, a swapped axis, slices in another
order, rows from a position on. None is a guess about the code.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arguments import returned, with_argument
from .heat_map import names_of, share_of, wrong_slices
from .relations import TOLERANCE, close, per_slice, relation
from .statement import Statement

Array = NDArray[Any]


def describe(
    expected: Array, got: Array, wrong: Array, axes: Sequence[str], dims: Mapping[str, int], args: Mapping[str, Any]
) -> list[Statement]:
    """Statements about what is wrong, the most telling first; none where no rule is found.

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
        return []
    e, g = expected.astype(np.float64), got.astype(np.float64)
    whole = expected.dtype.kind in "iub"
    found: list[Statement | str | None] = [_not_numbers(e, g, names)]
    if found[0] is None:
        found = [returned(g, args), _constant(g, wrong, whole), _order(e, g, names), relation(e, g, wrong, dims, whole)]
        if not any(found):
            found = [with_argument(e, g, args), _sums(e, g, names)]
        if not any(found):
            found = [per_slice(e, g, wrong, names, dims), _precision(e, g)]
        if not any(found):
            found = [_kept(e, g, names)]
    return [Statement(x) if isinstance(x, str) else x for x in found if x]


def _not_numbers(e: Array, g: Array, names: list[str]) -> Statement | None:
    for what, test in (("NaN", np.isnan), ("infinite", np.isinf)):
        bad = test(g) & ~test(e)
        if bad.any():
            cause = (
                "never written, 0/0, inf/inf, inf - inf, 0 * inf, or a logarithm or root of a negative number"
                if what == "NaN"
                else "an overflow, a division by 0 or a logarithm of 0"
            )
            place = wrong_slices(bad, names) or ("all" if bad.all() else "scattered")
            return Statement(f"{share_of(bad)} are {what} ({place}): {cause}.", f"are {what}")
    bad = np.isinf(e) & np.isfinite(g)
    if bad.any():
        return Statement(
            f"{share_of(bad)} should be infinite and are not, the first {g[bad][0]:.6g}.", "should be infinite"
        )
    return None


def _constant(g: Array, wrong: Array, whole: bool) -> Statement | None:
    values = g[wrong]
    if values.size > 1 and np.ptp(values) == 0:
        is_gap = values[0] == 0 and not whole  # of ids 0 is one as good as any
        why = "never written, masked, or multiplied by 0" if is_gap else "one value for all"
        return Statement(f"Every wrong element is {values[0]:.6g}: {why}.", number=float(values[0]))
    return None


# --- the right numbers in other places ---------------------------------------------------


def _nearly(e: Array, g: Array) -> bool:
    """Whether every number is nearly right where it stands, so that none has come from elsewhere."""
    finite = np.isfinite(e) & np.isfinite(g)
    size = float(np.abs(e[finite]).max(initial=0.0))
    return bool(np.all(np.abs(e - g)[finite] <= 1e-2 * np.abs(e[finite]) + 1e-4 * size))


def _order(e: Array, g: Array, names: list[str]) -> Statement | str | None:
    if _nearly(e, g):
        return None
    for i, j in itertools.combinations(range(e.ndim), 2):
        if e.shape[i] == e.shape[j] > 1 and close(np.swapaxes(e, i, j), g):
            return f"Your numbers are right, but the axes {names[i]} and {names[j]} are swapped."
    for axis, name in enumerate(names):
        if 2 <= e.shape[axis] <= 512:
            text = _slices_moved(np.moveaxis(e, axis, 0), np.moveaxis(g, axis, 0), name)
            if text:
                return text
    for axis in range(e.ndim - 1, -1, -1):
        if e.shape[axis] > 1 and close(np.sort(e, axis=axis), np.sort(g, axis=axis)):
            return f"Every row along {names[axis]} has the right numbers, in another order."
    if e.size > 1 and np.allclose(np.sort(e, axis=None), np.sort(g, axis=None), rtol=1e-4, atol=1e-6):
        return "The numbers are the right ones, all of them, in another order."
    return None


def _slices_moved(e: Array, g: Array, name: str) -> Statement | str | None:
    """Whether every slice of yours is some slice of the expected array."""
    n = len(e)
    flat_e, flat_g = e.reshape(n, -1), g.reshape(n, -1)
    floor = 1e-5 * float(np.abs(flat_e[np.isfinite(flat_e)]).max(initial=0.0))

    def same(a: Array, b: Array) -> NDArray[np.bool_]:
        return np.asarray(np.all(np.isclose(a, b, rtol=TOLERANCE, atol=floor), axis=-1))

    near = same(flat_e[None], flat_g[:, None]) if n * flat_e.size <= 1 << 22 else _near_by_rows(same, flat_e, flat_g)
    source = np.where(near.any(axis=1), np.where(np.diagonal(near), np.arange(n), near.argmax(axis=1)), -1)
    moved = int(np.sum((source != np.arange(n)) & (source >= 0)))
    if moved == 0:
        return None
    if (source >= 0).all():
        tiled = _tiled(flat_e, flat_g)
        if tiled:
            return f"Along {name} {tiled}"
        how = _pattern(n, lambda order: bool(same(flat_g, flat_e[order]).all()))
        if how or _distinct(near, source, flat_g):
            if len(set(source.tolist())) == 1:
                how = how or f"all of them equal slice {source[0]}"
            places = [(i, s) for i, s in enumerate(source.tolist()) if i != s]
            few = ", ".join(f"yours[{i}] = expected[{s}]" for i, s in places[:4])
            text = f"Along {name} your slices are the right ones in other places"
            return Statement(f"{text}: {how or few}.", f"{text}: {how or ''}")
    return _shifted(flat_e, flat_g, same, name)


def _near_by_rows(same: Callable[[Array, Array], NDArray[np.bool_]], e: Array, g: Array) -> NDArray[np.bool_]:
    return np.array([same(e, row[None]) for row in g])


def _distinct(near: NDArray[np.bool_], source: NDArray[np.int_], g: Array) -> bool:
    """Whether where a slice comes from can be told: single numbers are equal by chance, or because they saturate."""
    if g.shape[1] == 1:
        return bool((near.sum(axis=1) == 1).all()) and len(set(source.tolist())) == len(source)
    moved = source != np.arange(len(source))
    return bool(np.all(np.ptp(g[moved], axis=1) > 0))


def _shifted(e: Array, g: Array, same: Callable[[Array, Array], NDArray[np.bool_]], name: str) -> str | None:
    for shift in (1, -1, 2, -2):
        inside = slice(shift, None) if shift > 0 else slice(None, shift)
        other = slice(None, -shift) if shift > 0 else slice(-shift, None)
        if abs(shift) < len(e) - 1 and same(g[inside], e[other]).all() and not same(e[inside], e[other]).mean() > 0.5:
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


def _pattern(n: int, explains: Callable[[list[int]], bool]) -> str | None:
    """The name of an order of n slices that explains yours."""
    half = n // 2
    patterns = {
        "reversed": list(range(n))[::-1],
        "even ones first, then odd ones (halves instead of neighbours)": [*range(0, n, 2), *range(1, n, 2)],
        "the two halves interleaved (neighbours instead of halves)": (
            [x for i in range(half) for x in (i, i + half)] if n % 2 == 0 else []
        ),
        "the two halves exchanged": [*range(half, n), *range(half)],
        "neighbours exchanged in pairs": [i ^ 1 for i in range(n)] if n % 2 == 0 else [],
    }
    for shift in (1, -1):
        patterns[f"shifted round by {'one' if shift == 1 else 'minus one'}"] = [(i - shift) % n for i in range(n)]
    for name, order in patterns.items():
        if order and explains(order):
            return name
    return None


def _sums(e: Array, g: Array, names: list[str]) -> str | None:
    """Normalised along another axis than expected."""

    def unit(a: Array) -> list[int]:
        return [i for i in range(a.ndim) if a.shape[i] > 1 and np.allclose(a.sum(axis=i), 1, atol=1e-3)]

    wanted, found = unit(e), unit(g)
    if wanted and not set(wanted) & set(found):
        where = (
            f"yours sum to 1 along {names[found[0]]}"
            if found
            else f"yours sum to {', '.join(f'{x:.4g}' for x in g.sum(axis=wanted[0]).reshape(-1)[:4])}, not to 1"
        )
        return f"The numbers should sum to 1 along {names[wanted[0]]}; {where}."
    return None


def _kept(e: Array, g: Array, names: list[str]) -> str | None:
    """What is right about numbers that are wrong: lengths, sums, the set of numbers of every row."""
    if e.ndim < 2 or e.shape[-1] < 2 or not np.isfinite(g).all() or not np.isfinite(e).all():
        return None
    if np.abs(e - g).max() <= 5e-3 * np.abs(e).max():
        return None  # a rounding has no direction
    for text, function in (
        (
            "the length (root of the sum of squares) of every row along {} is right: only its direction is wrong",
            np.linalg.norm,
        ),
        ("the sum of every row along {} is right, its parts are not", np.sum),
    ):
        for axis in range(e.ndim - 1, -1, -1):
            if e.shape[axis] > 1 and close(function(e, axis=axis), function(g, axis=axis)):
                return text.format(names[axis]).capitalize() + "."
    return None


def _precision(e: Array, g: Array) -> Statement | None:
    """Digits that are right in nine of ten numbers, each measured by itself."""
    if not np.isfinite(e).all() or not np.isfinite(g).all():
        return None
    size = np.abs(e).max(initial=0.0)
    there = np.abs(e) > 1e-12 * size
    worst = float(np.abs(e - g).max(initial=0.0) / size) if size else math.inf
    if worst >= 5e-3:
        return None
    typical = float(np.quantile(np.abs(e - g)[there] / np.abs(e[there]), 0.9))
    if not 0 < typical < 5e-3:
        return None
    digits = max(1, int(0.05 - math.log10(typical)))
    return Statement(
        f"Right to about {digits} digit{'s' if digits > 1 else ''} (largest error {worst:.1e} of the largest "
        "number): something small differs, such as a rounding, eps in another place, or a small term.",
        "right to some digits",
    )
