"""A real model on the learner's own functions, and where a wrong one first leaves the right path."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ...ops import FAST, REFERENCE, Ops, replace_layer
from ...params import Params, named_arrays
from ..chapters.catalogue import catalogue, get_exercise
from ..exercises.exercise import Exercise, Function
from .checker import Checker
from .folder import Workspace, WorkspaceError
from .worker import load_file

# How far an own function may be from the reference before a trace stops, as a share of the largest number.
_TOLERANCE = 1e-3


@dataclass
class OwnOps:
    """A table of operations with the learner's functions in it.

    Attributes
    ----------
    ops : Ops
    used : dict of str to str
        Entry of the table to the id of the exercise that fills it.
    left_out : dict of str to str
        Exercise id to the reason.
    """

    ops: Ops
    used: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def own_ops(
    workspace: Workspace,
    *,
    unchecked: bool = False,
    only: str | None = None,
    checker: Checker | None = None,
    failing: Mapping[str, str] | None = None,
) -> OwnOps:
    """Put the learner's functions in the place of the package's.

    Parameters
    ----------
    workspace : Workspace
    unchecked : bool
        Take every function that is written. By default one is taken that passes its check now.
    only : str, optional
        The id of a single exercise.
    checker : Checker, optional
        The process to check in, started earlier; it is closed.
    failing : mapping, optional
        Where all have just been checked: the ids of those that did not pass, and why.

    Raises
    ------
    WorkspaceError
        When no function can be used.
    """
    able = catalogue().that_say("replaces")
    if only is not None and get_exercise(only).id not in able:
        raise WorkspaceError(f"{only} is not part of a running model; these are: {', '.join(able)}")
    found = OwnOps(FAST)
    wanted = [id for id in able if only in (None, id)]
    functions, found.left_out = usable(workspace, wanted, unchecked=unchecked, checker=checker, failing=failing)
    for id, function in functions.items():
        exercise = catalogue()[id]
        found.ops = put_into(found.ops, exercise, function)
        found.used[f"{exercise.replaces}_forward"] = id
    if not found.used:
        reasons = "; ".join(f"{id}: {reason}" for id, reason in found.left_out.items())
        raise WorkspaceError(f"none of your functions can run the model yet ({reasons})")
    return found


def usable(
    workspace: Workspace,
    ids: list[str],
    *,
    unchecked: bool = False,
    checker: Checker | None = None,
    failing: Mapping[str, str] | None = None,
) -> tuple[dict[str, Function], dict[str, str]]:
    """The learner's functions of these exercises that can be used, and why the others cannot; as in `own_ops`."""
    load = cache(load_file)  # two functions of one file are in one module
    if failing is not None:
        left_out = {id: failing[id] for id in ids if id in failing}
    elif unchecked:
        left_out = _unwritten(workspace, ids, load)
    else:
        left_out = _failing(workspace, ids, checker or Checker())
    return {id: getattr(load(workspace.path_of(id)), id) for id in ids if id not in left_out}, left_out


def put_into(ops: Ops, exercise: Exercise, function: Function) -> Ops:
    """The table with a function of the exercise's signature in the place of its layer.

    The function leaves nothing for the way back: there the reference computes the layer once more.
    """
    assert exercise.replaces is not None
    forward = function if exercise.as_layer is None else exercise.as_layer(function)
    return replace_layer(exercise.replaces, forward=forward, ops=ops)


def _failing(workspace: Workspace, ids: list[str], checker: Checker) -> dict[str, str]:
    """Ids whose functions do not pass their checks, and why; all are checked in one process."""
    found = {}
    try:
        for id in ids:
            try:
                report = checker.check(catalogue()[id], workspace.path_of(id))
            except WorkspaceError:
                found[id] = "its file is missing"
                continue
            if not report.passed:
                found[id] = why_not(report.status)
    finally:
        checker.close()
    return found


def why_not(status: str) -> str:
    """Why a function is left out whose report has that status."""
    words = {"not started": "not written yet", "timeout": "takes too long, and was stopped"}
    return words.get(status, "does not pass its check")


def _unwritten(workspace: Workspace, ids: list[str], load: Callable[[Path], ModuleType]) -> dict[str, str]:
    """Ids whose functions cannot even be called, and why."""
    found = {}
    for id in ids:
        exercise = catalogue()[id]
        try:
            function: Any = getattr(load(workspace.path_of(id)), id, None)
            exercise.run(function, exercise.shapes[0])
        except WorkspaceError:
            found[id] = "its file is missing"
        except NotImplementedError:
            found[id] = "not written yet"
        except (Exception, SystemExit) as error:
            found[id] = f"{type(error).__name__}: {error}"
    return found


@dataclass
class FirstDifference:
    """Where a model that runs on the learner's functions first differs from the reference.

    Attributes
    ----------
    entry, exercise : str
        The operation, and whose function it is.
    call : int
        Which call of that operation since the start it was, from 0.
    layer : int or None
    position : int or None
        The first wrong position of the call.
    error : float
        Largest difference, as a share of the largest number; NaN counts as infinite.
    text : str
    """

    entry: str
    exercise: str
    call: int
    layer: int | None
    position: int | None
    error: float
    text: str


class Tracer:
    """Runs every own function beside the reference, on the same arguments.

    `ops` is the table to run the model with; `found` is the first difference, if there was one. What is
    passed on is the learner's result, as in the real run.

    Parameters
    ----------
    own : OwnOps
    params : Params
        The model's weights: the one that an operation is given says where in the model it stands.
    """

    def __init__(self, own: OwnOps, params: Params) -> None:
        self.found: FirstDifference | None = None
        self._place = _Place({id(array): name for name, array in named_arrays(params)})
        self._calls: dict[str, int] = {}
        wrapped = {entry: self._beside(entry, id, getattr(own.ops, entry)) for entry, id in own.used.items()}
        wrapped.setdefault("rmsnorm_forward", self._place.noting(own.ops.rmsnorm_forward))
        self.ops = own.ops._replace(**wrapped)

    def _beside(self, entry: str, exercise: str, own: Callable[..., Any]) -> Callable[..., Any]:
        reference = getattr(REFERENCE, entry)

        def run(*args: Any) -> Any:
            call = self._calls.get(entry, 0)
            self._calls[entry] = call + 1
            self._place.note(args)
            if self.found is not None:
                return own(*args)
            expected = np.asarray(reference(*args)[0])
            result = own(*args)
            layer, place = self._place.of(entry)
            self._compare(FirstDifference(entry, exercise, call, layer, None, 0.0, place), expected, result[0])
            return result

        return run

    def _compare(self, seen: FirstDifference, expected: Any, result: Any) -> None:
        """Keep what was seen, if it differs; its text is the place until then."""
        got, place = np.asarray(result), seen.text
        if expected.shape != got.shape:
            seen.error = float("inf")
            seen.text = f"{seen.exercise} returns shape {got.shape} instead of {expected.shape}, {place}"
            self.found = seen
            return
        difference = np.abs(got.astype(np.float64) - expected) / max(float(np.abs(expected).max(initial=0.0)), 1e-30)
        difference = np.where(np.isfinite(difference), difference, np.inf)
        seen.error = float(difference.max(initial=0.0))
        if seen.error <= _TOLERANCE:
            return
        axis = 2 if seen.entry in ("rope_forward", "attention_forward") else 1
        by_position = difference.max(axis=tuple(i for i in range(difference.ndim) if i != axis))
        seen.position = int(np.argmax(by_position > _TOLERANCE))
        at = f"{place}, at position {seen.position} of the call"
        if np.isfinite(seen.error):
            seen.text = f"{seen.exercise} leaves the reference {at}: off by {seen.error:.1%} of the largest number"
        else:
            seen.text = f"{seen.exercise} gives NaN or infinity {at}"
        self.found = seen


class _Place:
    """Where in the model the computation is: the last weight that was used says it."""

    _WORDS: Mapping[str, str] = {
        "attention_norm": "before attention",
        "ffn_norm": "before the feed-forward layer",
        "q_norm": "of queries",
        "k_norm": "of keys",
    }

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._last = ""
        self._rotated = 0  # since the last weight

    def note(self, args: tuple[Any, ...]) -> None:
        """Look for a weight among the arguments of an operation."""
        for name in filter(None, (self._names.get(id(argument)) for argument in args)):
            self._last, self._rotated = name, 0

    def noting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its weight noted at every call."""

        def run(*args: Any) -> Any:
            self.note(args)
            return function(*args)

        return run

    def of(self, entry: str) -> tuple[int | None, str]:
        """The layer and the words for the place of an operation that has just been called."""
        if entry == "embedding_forward":
            return None, "at the embedding"
        tree, _, rest = self._last.partition(".")
        if tree not in ("layers", "extras"):  # of a relative of LLaMA 2 its norms of queries and keys
            return None, "after the last layer" if self._last else ""
        number, _, weight = rest.partition(".")
        detail = ""
        if entry == "rope_forward":
            detail = " (keys)" if self._rotated % 2 else " (queries)"
            self._rotated += 1
        elif entry in ("rmsnorm_forward", "linear_forward"):
            detail = f" ({self._WORDS.get(weight, weight)})"
        return int(number), f"in layer {number}{detail}"


def speeds(sessions: Mapping[str, Any], ids: list[int], steps: int = 4) -> dict[str, float]:
    """Tokens per second after a prompt, of each session."""
    found = {}
    for name, session in sessions.items():
        session.feed(ids)
        session.step(ids[0])
        begin = time.perf_counter()
        for _ in range(steps):
            session.step(ids[0])
        found[name] = steps / (time.perf_counter() - begin)
    return found
