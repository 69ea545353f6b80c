"""Sentences on a wrong function that hold in all its cases, the most telling first; each is sought when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..exercises.exercise import Dims
from .calls import Watched
from .cases import named_quantity
from .compare import Mismatch, compare
from .dependence import depends_otherwise
from .elements import which_are_wrong
from .probing import ignored_argument
from .sequences import one_sided
from .trials import Trials

_MANY = 5  # wrong numbers that are all too small: fewer are by chance


def causes(trials: Trials, shapes: Sequence[Dims], failing: Sequence[Dims], axes: Sequence[str]) -> Iterator[str]:
    """Sentences, where geometry has none: `failing` are the cases that fail as the smallest one does."""
    ignored = sought(lambda: ignored_argument(trials, shapes))
    if ignored:
        yield f"Your result does not depend on {ignored}: no other value that was tried made a difference."
    for find in (
        lambda: depends_otherwise(trials, failing, axes),
        lambda: which_are_wrong(trials, failing),
        lambda: named_quantity(trials, failing),
        lambda: _one_sided(trials, failing),
        lambda: _one_output(trials, shapes),
        lambda: _one_direction(trials, failing),
    ):
        found = sought(find)
        if found:
            yield found


def sought(find: Callable[[], str]) -> str:
    """What is found, or nothing where a result of the learner's is of a kind that nobody has thought of."""
    try:
        return find()
    except Exception:
        return ""


def writes_into(trials: Trials, dims: Dims) -> str:
    """The arguments that the function changes in a case: "argument x"."""
    watched = Watched(trials.exercise, trials.function)
    trials.exercise.run(watched, dims)
    return watched.named if watched.changed else ""


def _one_sided(trials: Trials, failing: Sequence[Dims]) -> str:
    """Truth values, one for each case or many, that are wrong in one direction only."""
    outcomes = [outcome for dims in failing if isinstance(outcome := trials.outcome(dims), Mismatch)]
    pairs: list[tuple[bool, bool]] = []
    for outcome in outcomes:
        e, g = np.asarray(outcome.expected), np.asarray(outcome.got)
        if e.dtype != bool or g.dtype != bool or e.shape != g.shape:
            return ""
        pairs += zip(e.reshape(-1).tolist(), g.reshape(-1).tolist())
    found = one_sided(pairs) if sum(a is not b for a, b in pairs) > 2 else []
    return found[0].text if found else ""


def _one_output(trials: Trials, shapes: Sequence[Dims]) -> str:
    """Which of several results is wrong, where others are right in every case."""
    names = trials.exercise.outputs
    wrong = dict.fromkeys(names, False)
    for dims in shapes:
        expected, got = trials.expected(dims), trials.got(dims)
        if not names or not isinstance(got, tuple | list) or not len(got) == len(expected) == len(names):
            return ""
        for name, e, g in zip(names, expected, got):
            wrong[name] |= not compare(trials.exercise, e, g).equal
    bad = [name for name in names if wrong[name]]
    if not bad or len(bad) == len(names):
        return ""
    right = _listed([name for name in names if not wrong[name]])
    is_wrong, is_right = ("is" if n == 1 else "are" for n in (len(bad), len(names) - len(bad)))
    return f"Only {_listed(bad)} {is_wrong} wrong: {right} {is_right} right in every case."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _one_direction(trials: Trials, failing: Sequence[Dims]) -> str:
    """Whether all wrong numbers, of all cases, are too small, or all too large."""
    outcomes = [outcome for dims in failing if isinstance(outcome := trials.outcome(dims), Mismatch)]
    pairs = []
    for outcome in outcomes:
        e, g = np.asarray(outcome.expected), np.asarray(outcome.got)
        if e.shape != g.shape or e.dtype.kind not in "fiu" or g.dtype.kind not in "fiu":
            return ""
        wrong = np.ones(e.shape, bool) if outcome.wrong is None else outcome.wrong
        pairs += [(x, y) for x, y in zip(e[wrong].tolist(), g[wrong].tolist()) if x != y]
    if len(set(pairs)) < _MANY:
        return ""
    for word, test in (("small", all(y < x for x, y in pairs)), ("large", all(y > x for x, y in pairs))):
        if test:
            return f"Every number that is wrong is too {word}, in all {len(outcomes)} failing cases."
    return ""
