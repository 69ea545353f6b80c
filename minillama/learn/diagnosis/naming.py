"""Which known mistake a function has: one, or one of two that it has at once.

A name that is given is true: on every shape tried, or because the function does what that mistake does wherever a
second known mistake does not show. One case is never enough: small ones are alike by chance.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exercises.exercise import Dims, Mistake
from .budget import Budget
from .compare import Comparison, Mismatch, compare, differs
from .merging import WAYS, merged
from .ties import tied_argument
from .trials import Trials, smaller_cases

_SECONDS = 0.8  # of computing, for the cases that show one mistake alone
_MOST_CASES = 80
_ENOUGH = {2: 3, 3: 10}  # cases that show one mistake alone, of two or of three: more are alike by chance
_FEW = 4  # wrong numbers: as many may be alike by chance
_MANY = 10  # different results that are no arrays of numbers

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Name:
    """A known mistake that the function has.

    Attributes
    ----------
    mistake : Mistake
    second : Mistake, optional
        The other one, where the two together explain every shape.
    tied : str
        An argument: the function differs from the mistake too, but only among equal numbers of it.
    case : dict, optional
        A small case where the function equals the mistake; None if it does on every shape.
    likely : bool
        The function may as well have another mistake that does the same in those cases.
    """

    mistake: Mistake
    second: Mistake | None = None
    tied: str = ""
    case: Dims | None = None
    likely: bool = False


def find_name(trials: Trials, shapes: Sequence[Dims]) -> Name | None:
    """The mistake that explains every shape; else two that do; else one of two, or of several."""
    if all(isinstance(trials.outcome(dims), BaseException) for dims in shapes):
        return None
    for mistake in trials.exercise.mistakes:
        if all(trials.equals(mistake, dims) for dims in shapes):
            return Name(mistake)
    if but_for_ties(trials, shapes):
        return None  # right but for ties
    for mistake in trials.exercise.mistakes:
        tied = but_for_ties(trials, shapes, mistake)
        if tied and _shows_beyond_ties(trials, shapes, mistake):
            return Name(mistake, tied=tied)
    both = _both(trials, shapes)
    if both is not None:
        return both
    table = _Table(trials, shapes)
    found = _one_of_few(table, 2) or _one_of_few(table, 3) or _one_of_several(table)
    return None if found is None else replace(found, likely=not _is_certain(table, shapes, found.mistake))


def _is_certain(table: _Table, shapes: Sequence[Dims], mistake: Mistake) -> bool:
    """Whether the function equals a mistake in so many ways that no other one, unknown here, does.

    Two mistakes are often the same where some size is 1, and where the result is empty or one of few. So it has to be
    equal on large and small ones of every size, and to give many different wrong results there.
    """
    a = next(i for i, m in enumerate(table.mistakes) if m is mistake)
    if _is_finite_where_not(table, a):
        return False
    alone = np.flatnonzero(table.equals[:, a] & (table.equals.sum(axis=1) == 1))
    for name in table.cases[0]:
        usual = sorted(shape[name] for shape in shapes)[len(shapes) // 2]
        if max((table.cases[i][name] for i in alone), default=0) < usual:
            return False
    if any(_n_wrong(table.trials, table.cases[i]) > _FEW for i in alone):
        return True
    results = {repr(table.trials.got(table.cases[i])) for i in alone}
    return len(results) >= _MANY and 2 * len(alone) > table.shows[:, a].sum()


def but_for_ties(trials: Trials, shapes: Sequence[Dims], mistake: Mistake | None = None) -> str:
    """The argument among whose equal numbers alone the function differs from a mistake, or from what is right."""
    tied = ""
    for dims in shapes:
        if mistake is not None and trials.equals(mistake, dims):
            continue
        if mistake is None and isinstance(trials.outcome(dims), Comparison):
            continue
        like = trials.expected(dims) if mistake is None else trials.known(mistake, dims)
        tied = tied_argument(trials.exercise.named_arguments(dims), like, trials.got(dims))
        if not tied:
            return ""
    return tied


def _shows_beyond_ties(trials: Trials, shapes: Sequence[Dims], mistake: Mistake) -> bool:
    """Whether the function is never right where a mistake is wrong, and both are wrong where it is not for ties."""
    beyond = False
    for dims in shapes:
        if trials.shows(mistake, dims):
            if isinstance(trials.outcome(dims), Comparison):
                return False
            args = trials.exercise.named_arguments(dims)
            beyond = beyond or not tied_argument(args, trials.expected(dims), trials.known(mistake, dims))
    return beyond


class _Table:
    """For many small cases: whether the function is right, which mistakes show, and which it equals."""

    def __init__(self, trials: Trials, shapes: Sequence[Dims]) -> None:
        self.trials, self.mistakes = trials, trials.exercise.mistakes
        self.cases = list(_cases(trials, shapes))
        rows = [(self._is_right(d), self._flags(trials.shows, d), self._flags(trials.equals, d)) for d in self.cases]
        n = len(self.mistakes)
        self.right: Flags = np.array([row[0] for row in rows], bool)
        self.shows: Flags = np.array([row[1] for row in rows], bool).reshape(len(rows), n)
        self.equals: Flags = np.array([row[2] for row in rows], bool).reshape(len(rows), n) & self.shows
        self.own: Flags = np.array([dict(d) in [dict(s) for s in shapes] for d in self.cases], bool)

    def _is_right(self, dims: Dims) -> bool:
        return isinstance(self.trials.outcome(dims), Comparison)

    def _flags(self, test: Any, dims: Dims) -> list[bool]:
        return [test(mistake, dims) for mistake in self.mistakes]


def _cases(trials: Trials, shapes: Sequence[Dims]) -> Iterator[Dims]:
    """Small cases on which the function answers; the own shapes among them."""
    budget = Budget(_SECONDS)
    for dims in itertools.islice(smaller_cases(trials.exercise, shapes), _MOST_CASES):
        if budget.is_spent():
            return
        if trials.makes_sense(dims) and isinstance(trials.outcome(dims), Comparison | Mismatch):
            for mistake in trials.exercise.mistakes:
                trials.equals(mistake, dims)
            yield dims


def _both(trials: Trials, shapes: Sequence[Dims]) -> Name | None:
    """The only two known mistakes whose results, merged, are what the function gives on every shape."""
    if any(isinstance(trials.got(dims), BaseException) for dims in shapes):
        return None
    found = [two for two in itertools.combinations(trials.exercise.mistakes, 2) if _give(trials, shapes, *two)]
    return Name(found[0][0], second=found[0][1]) if len(found) == 1 and _are_needed(trials, shapes, *found[0]) else None


def _are_needed(trials: Trials, shapes: Sequence[Dims], a: Mistake, b: Mistake) -> bool:
    """Whether there are cases that neither of two mistakes explains alone: three, where results are small numbers."""
    cases = [dims for dims in shapes if not trials.equals(a, dims) and not trials.equals(b, dims)]
    outcomes = [outcome for dims in cases if isinstance(outcome := trials.outcome(dims), Mismatch)]
    results = {repr(outcome.got) for outcome in outcomes}
    if all(_exclude(trials, dims, a, b) for dims in shapes):
        return False
    return len(results) >= _ENOUGH[2] or any(_is_telling(outcome.got) for outcome in outcomes)


def _is_telling(result: Any) -> bool:
    """Whether a result is more than one of few numbers."""
    if isinstance(result, np.ndarray) and result.size == 1 and result.dtype.kind in "iub":
        return bool(abs(int(result.item())) >= 100)
    return not hasattr(result, "__len__") or np.ndim(result) == 0 or len(result) > 1


def _exclude(trials: Trials, dims: Dims, a: Mistake, b: Mistake) -> bool:
    """Whether every number is right with one of two mistakes and wrong with the other: the choice is turned round."""
    e, x, y = trials.expected(dims), trials.known(a, dims), trials.known(b, dims)
    if not all(isinstance(n, np.ndarray) and n.shape == np.shape(e) for n in (e, x, y)):
        return False
    return bool((differs(trials.exercise, e, x) ^ differs(trials.exercise, e, y)).all())


def _give(trials: Trials, shapes: Sequence[Dims], a: Mistake, b: Mistake) -> bool:
    """Whether two mistakes together give the function's results, each output in one way on every shape."""
    ways: list[list[str]] = []
    for dims in shapes:
        results = [trials.expected(dims), trials.known(a, dims), trials.known(b, dims), trials.got(dims)]
        if any(isinstance(result, BaseException) for result in results):
            return False
        if not isinstance(results[0], tuple):
            results = [(result,) for result in results]
        if any(not isinstance(result, tuple | list) or len(result) != len(results[0]) for result in results):
            return False
        ways = ways or [list(WAYS) for _ in results[0]]
        for left, part in zip(ways, zip(*results)):
            left[:] = [way for way in left if _is_merged(trials, part, way)]
            if not left:
                return False
    return True


def _is_merged(trials: Trials, results: Sequence[Any], way: str) -> bool:
    base, a, b, got = results
    both = merged(base, a, b, way)
    return both is not None and compare(trials.exercise, both, got).equal


def _one_of_few(table: _Table, n_together: int) -> Name | None:
    """A mistake that belongs to every two, or three, that explain all cases: each alone where no other shows."""
    found = [few for few in itertools.combinations(range(len(table.mistakes)), n_together) if _explain(table, few)]
    for refutes in (_is_refuted, _is_refuted_somewhere) if found else ():
        possible = np.array([not refutes(table, m) for m in range(len(table.mistakes))], bool)
        sets = [few for few in found if possible[list(few)].all()]
        for a in sorted({a for few in sets for a in few}):
            cases = np.flatnonzero(table.equals[:, a] & (table.equals[:, possible].sum(axis=1) == 1))
            if len(cases) >= _ENOUGH[n_together] and all(a in few for few in sets):
                return Name(table.mistakes[a], case=table.cases[cases[0]])
    return None


def _explain(table: _Table, few: Sequence[int]) -> bool:
    """Whether the function does what each does where the others do not show, and is right where none shows."""
    shows = table.shows[:, few]
    alone = shows & (shows.sum(axis=1, keepdims=True) == 1)
    return bool(
        (shows.sum(axis=1) > 1).any()
        and alone.any()
        and table.equals[:, few][alone].all()
        and np.array_equal(table.right, ~shows.any(axis=1))
    )


def _is_refuted(table: _Table, m: int) -> bool:
    """Whether the function is right in a case where a known mistake is wrong."""
    return bool((table.right & table.shows[:, m]).any())


def _is_refuted_somewhere(table: _Table, m: int) -> bool:
    """Whether one number of the function's is right where that of a known mistake is wrong."""
    exercise, trials = table.trials.exercise, table.trials
    for dims in table.cases:
        e, g, x = trials.expected(dims), trials.got(dims), trials.known(table.mistakes[m], dims)
        alike = all(isinstance(r, np.ndarray) and r.shape == np.shape(e) for r in (e, g, x))
        if alike and (differs(exercise, e, x) & ~differs(exercise, e, g)).any():
            return True
    return _is_refuted(table, m)


def _is_finite_where_not(table: _Table, m: int) -> bool:
    """Whether a number of the function's is right where a known mistake has NaN, or is infinite."""
    trials = table.trials
    for dims in table.cases:
        e, g, x = trials.expected(dims), trials.got(dims), trials.known(table.mistakes[m], dims)
        alike = all(isinstance(r, np.ndarray) and r.shape == np.shape(e) and r.dtype.kind == "f" for r in (e, g, x))
        if alike and (~np.isfinite(x) & np.isfinite(e) & ~differs(trials.exercise, e, g)).any():
            return True
    return False


def _one_of_several(table: _Table) -> Name | None:
    """The only mistake that the function equals on an own shape of many numbers, and that nothing speaks against."""
    for a in range(len(table.mistakes)):
        if _is_refuted(table, a):
            continue
        alone = table.equals[:, a] & (table.equals.sum(axis=1) == 1)
        own = np.flatnonzero(alone & table.own)
        if any(_n_wrong(table.trials, table.cases[i]) > _FEW for i in own) and alone.sum() >= _ENOUGH[2]:
            return Name(table.mistakes[a], case=table.cases[np.flatnonzero(alone)[0]])
    return None


def _n_wrong(trials: Trials, dims: Dims) -> int:
    """How many wrong numbers there are, where they are numbers of any size: coincidence is unlikely then."""
    outcome = trials.outcome(dims)
    if not isinstance(outcome, Mismatch) or outcome.wrong is None or outcome.expected.dtype.kind != "f":
        return 0
    return len(np.unique(outcome.got[outcome.wrong]))
