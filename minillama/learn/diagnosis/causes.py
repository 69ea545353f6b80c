"""Sentences on a wrong function that hold in all its cases, the most telling first; each is sought when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..exercises.exercise import Dims
from .cases import named_quantity
from .compare import Mismatch
from .dependence import depends_otherwise
from .elements import which_are_wrong
from .probing import ignored_argument
from .sequences import one_sided
from .trials import Trials


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
