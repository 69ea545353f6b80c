"""What only many cases together show: sizes that decide whether a function is right, numbers that follow from them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Dims, show_dims
from .budget import Budget
from .compare import Comparison, Mismatch
from .contents import holds
from .trials import Trials, lowest_sizes, smaller_cases

_SECONDS = 0.5
_MOST_CASES = 60
_ENOUGH = 4  # cases on either side
_FEW = 2  # different numbers of the failing cases, and one more for each factor of a product
_MOST_NAMES = 9


def what_decides(trials: Trials, shapes: Sequence[Dims]) -> str:
    """A condition on the sizes under which the function is right, while it is wrong in all other cases tried."""
    cases, right = cases_tried(trials, shapes)
    if min(right.sum(), (~right).sum()) < _ENOUGH:
        return ""

    fitting = [*_fitting_sizes(trials, cases, right)] or [*_fitting_contents(trials, cases, right)]
    if not fitting:
        return ""
    also = f" (which here means {' and '.join(fitting[1:3])}, too)" if len(fitting) > 1 else ""
    return f"Right in every case {fitting[0]}{also}, wrong in every other one ({len(cases)} tried)."


def _fitting_sizes(trials: Trials, cases: Sequence[Dims], right: NDArray[np.bool_]) -> Iterator[str]:
    seen = _seen_sizes(trials, cases)
    for text, test in _conditions(trials, [{name: dims[name] for name in seen} for dims in cases]):
        is_plain = re.search(r" = \d+$", text) is not None
        if np.array_equal([test(dims) for dims in cases], right) and (is_plain or _has_both(cases, right, text)):
            yield f"with {text}"
            if is_plain:
                return  # what else fits says the same


def _seen_sizes(trials: Trials, cases: Sequence[Dims]) -> list[str]:
    """Sizes that an argument has in every case: others are how arguments are drawn, which a learner does not see."""
    found = set(cases[0])
    for dims in cases:
        shown = _shown_sizes(trials.exercise.arguments(dims))
        found = {name for name in found if dims[name] in shown}
    return [name for name in cases[0] if name in found]


def _shown_sizes(value: Any) -> set[int]:
    """Whole numbers and lengths in a value, at any depth."""
    if isinstance(value, int | np.integer):
        return {int(value)}
    if isinstance(value, np.ndarray):
        return set(value.shape)
    if isinstance(value, str | bytes):
        return {len(value)}
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list | tuple):
        return {len(value)}.union(*map(_shown_sizes, value))
    return set()


def _fitting_contents(trials: Trials, cases: Sequence[Dims], right: NDArray[np.bool_]) -> Iterator[str]:
    contents = [holds(trials.exercise.named_arguments(dims)) for dims in cases]
    for text in {text: None for found in contents for text in found}:
        if not text.endswith(" given") and not all(text in found for found in contents):
            continue  # an entry that not all cases have
        fulfilled = np.array([found.get(text, False) for found in contents])
        for word, wanted in (("with", right), ("without", ~right)):
            if np.array_equal(fulfilled, wanted):
                yield f"{word} {text}"


def _has_both(cases: Sequence[Dims], right: NDArray[np.bool_], text: str) -> bool:
    """Whether sizes that a condition is about have several values where it holds, and where it does not."""
    names = [name for name in cases[0] if re.search(rf"\b{re.escape(name)}\b", text)]
    values = [tuple(dims[name] for name in names) for dims in cases]
    return all(len({v for v, r in zip(values, right) if r == side}) >= n for side, n in ((True, 2), (False, 3)))


def cases_tried(trials: Trials, shapes: Sequence[Dims]) -> tuple[list[Dims], NDArray[np.bool_]]:
    """Small cases and the own ones on which the function answers, and where it is right."""
    budget, cases, right = Budget(_SECONDS), [], []
    small = itertools.islice(smaller_cases(trials.exercise, shapes), _MOST_CASES)
    for dims in {show_dims(dims): dims for dims in (*shapes, *small)}.values():
        if budget.is_spent():
            break
        if trials.makes_sense(dims) and isinstance(trials.outcome(dims), Comparison | Mismatch):
            cases.append(dims)
            right.append(isinstance(trials.outcome(dims), Comparison))
    return cases, np.array(right, bool)


def _conditions(trials: Trials, cases: Sequence[Dims]) -> Iterator[tuple[str, Callable[[Dims], bool]]]:
    """Simple ones first."""
    if not cases:
        return
    lowest = lowest_sizes(trials.exercise)
    for name in cases[0]:
        for n in dict.fromkeys((0, lowest[name], 1)):
            yield f"{name} = {n}", lambda d, name=name, n=n: d[name] == n  # type: ignore[misc]
        for n in (0, 1):
            yield f"{name} above {n}", lambda d, name=name, n=n: d[name] > n  # type: ignore[misc]
    for name in cases[0]:
        for n in (2, 4):
            yield f"{name} a multiple of {n}", lambda d, name=name, n=n: d[name] % n == 0  # type: ignore[misc]
        yield f"an odd {name}", lambda d, name=name: d[name] % 2 == 1  # type: ignore[misc]
    for a, b in itertools.permutations(cases[0], 2):
        if a < b:
            yield f"{a} = {b}", lambda d, a=a, b=b: d[a] == d[b]  # type: ignore[misc]
            for n in (0, 1):
                yield f"{a} = {n} or {b} = {n}", lambda d, a=a, b=b, n=n: n in (d[a], d[b])  # type: ignore[misc]
                yield f"{a} = {n} and {b} = {n}", lambda d, a=a, b=b, n=n: d[a] == d[b] == n  # type: ignore[misc]
        yield f"{a} = 1 or {b} = 0", lambda d, a=a, b=b: d[a] == 1 or d[b] == 0  # type: ignore[misc]
        yield f"{a} not above {b}", lambda d, a=a, b=b: d[a] <= d[b]  # type: ignore[misc]


def named_quantity(trials: Trials, failing: Sequence[Dims]) -> str:
    """What a single number is too large by, or its factor, if that is a product of sizes and arguments in all cases."""
    results = [(outcome.expected, outcome.got) for d in failing if isinstance(outcome := trials.outcome(d), Mismatch)]
    try:
        e, g = (np.array([np.asarray(side, np.float64).item() for side in sides]) for sides in zip(*results))
    except (TypeError, ValueError):
        return ""
    if not np.isfinite(e).all() or not np.isfinite(g).all() or (g == e).any():
        return ""
    wanted = [("yours - expected", g - e)]
    if (e != 0).all() and (g != 0).all():
        wanted += [("yours / expected", g / e), ("yours", g)]
    for n_together, name, q in _products(trials, failing):
        if len(set(q)) < _FEW + n_together:
            continue
        for what, values in wanted:
            factor = float(np.median(values / q))
            text = next((text for text, x in _FACTORS if abs(abs(factor) - x) <= 1e-4 * x), None)
            if text is not None and np.allclose(factor * q, values, rtol=1e-4 if e.dtype.kind == "f" else 0, atol=0):
                sign = "-" if factor < 0 else ""
                return f"{what[0].upper()}{what[1:]} = {sign}{text.format(name)}, in all {len(e)} failing cases."
    return ""


_FACTORS = (
    ("{}", 1.0),
    ("2 · {}", 2.0),
    ("3 · {}", 3.0),
    ("4 · {}", 4.0),
    ("{} / 2", 0.5),
    ("{} / 3", 1 / 3),
    ("{} / 4", 0.25),
)


def _products(trials: Trials, failing: Sequence[Dims]) -> Iterator[tuple[int, str, NDArray[np.float64]]]:
    """Products of up to three numbers that each case has, and quotients and roots; how many are in each."""
    each = [_numbers_of(trials, dims) for dims in failing]
    common = [name for name in each[0] if all(name in numbers for numbers in each)] if each else []
    numbers = {name: np.array([numbers[name] for numbers in each]) for name in common}
    numbers = {name: n for name, n in numbers.items() if np.isfinite(n).all() and (n != 0).all() and np.ptp(n) > 0}
    for n_together in (1, 2, 3):
        for names in itertools.combinations_with_replacement(list(numbers)[:_MOST_NAMES], n_together):
            yield n_together, " · ".join(names), np.prod([numbers[name] for name in names], axis=0)
        if n_together == 1:
            for name, n in numbers.items():
                yield 1, f"1 / {_bracketed(name)}", 1 / n
                yield 1, f"({name} - 1)", n - 1 if (n != 1).all() else np.ones(1)
                if (n > 0).all():
                    yield 1, f"sqrt({name})", np.sqrt(n)
                    yield 1, f"1 / sqrt({name})", 1 / np.sqrt(n)
        if n_together == 2:
            for a, b in itertools.permutations(list(numbers)[:_MOST_NAMES], 2):
                yield 2, f"{_bracketed(a)} / {_bracketed(b)}", numbers[a] / numbers[b]


def _bracketed(name: str) -> str:
    return f"({name})" if " " in name and not name.startswith("(") else name


def _numbers_of(trials: Trials, dims: Dims) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in trials.exercise.named_arguments(dims).items():
        entries: dict[str, Any] = value if isinstance(value, dict) else {name: value}
        for key, entry in entries.items():
            if isinstance(entry, int | float | np.number):
                found[str(key)] = float(entry)
            elif isinstance(entry, np.ndarray):
                if entry.dtype.kind == "b":
                    found[f"the count of {key}"] = float(entry.sum())
                elif entry.size:
                    found[f"the number of {key}"] = float(entry.size)
                    if entry.ndim > 1:
                        found[f"len({key})"] = float(len(entry))
            elif hasattr(entry, "__len__"):
                found[f"len({key})"] = float(len(entry))
    for name, size in dims.items():
        found.setdefault(name, float(size))
    return found
