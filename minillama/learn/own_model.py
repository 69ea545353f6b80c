"""A real model on the learner's own functions, and where a wrong one first leaves the right path."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ops import FAST, REFERENCE, Ops
from .exercise import Exercise, catalogue, get_exercise
from .running import check_in_process
from .worker import load_file
from .workspace import Workspace, WorkspaceError

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


def own_ops(workspace: Workspace, *, unchecked: bool = False, only: str | None = None) -> OwnOps:
    """Put the learner's functions in the place of the package's.

    Parameters
    ----------
    workspace : Workspace
    unchecked : bool
        Take every function that is written. By default one is taken that passes its check now.
    only : str, optional
        The id of a single exercise.

    Raises
    ------
    WorkspaceError
        When no function can be used.
    """
    if only is not None and get_exercise(only).op is None:
        able = ", ".join(exercise.id for exercise in catalogue().values() if exercise.op is not None)
        raise WorkspaceError(f"{only} is no part of a running model; these are: {able}")
    found = OwnOps(FAST)
    for exercise in catalogue().values():
        if exercise.op is None or (only is not None and exercise.id != only):
            continue
        reason = _why_not(workspace, exercise, unchecked)
        if reason:
            found.left_out[exercise.id] = reason
            continue
        function = getattr(load_file(workspace.path_of(exercise)), exercise.id)
        entries = exercise.op(function)
        found.ops = found.ops._replace(**entries)
        for entry in entries:
            found.used[entry] = exercise.id
    if not found.used:
        reasons = "; ".join(f"{id}: {reason}" for id, reason in found.left_out.items())
        raise WorkspaceError(f"none of your functions can run the model yet ({reasons})")
    return found


def _why_not(workspace: Workspace, exercise: Exercise, unchecked: bool) -> str:
    try:
        path = workspace.path_of(exercise)
    except WorkspaceError:
        return "its file is missing"
    if unchecked:
        try:
            module = load_file(path)
            function = getattr(module, exercise.id, None)
            exercise.run(function, exercise.shapes[0])  # type: ignore[arg-type]
        except NotImplementedError:
            return "not written yet"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return ""
    report = check_in_process(exercise, path)
    return "" if report.passed else ("not written yet" if report.status == "not started" else "does not pass its check")


@dataclass
class FirstDifference:
    """Where a model on own functions leaves the reference.

    Attributes
    ----------
    entry, exercise : str
        The operation, and whose function it is.
    call : int
        The how manieth call of that operation since the start, from 0.
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
    """

    def __init__(self, own: OwnOps, n_layers: int) -> None:
        self.found: FirstDifference | None = None
        self._n_layers = n_layers
        self._calls: dict[str, int] = {}
        wrapped = {entry: self._beside(entry, id, getattr(own.ops, entry)) for entry, id in own.used.items()}
        self.ops = own.ops._replace(**wrapped)

    def _beside(self, entry: str, exercise: str, own: Callable[..., Any]) -> Callable[..., Any]:
        reference = getattr(REFERENCE, entry)

        def run(*args: Any) -> Any:
            call = self._calls.get(entry, 0)
            self._calls[entry] = call + 1
            if self.found is not None:
                return own(*args)
            expected = np.asarray(reference(*args)[0])
            result = own(*args)
            self._compare(entry, exercise, call, expected, np.asarray(result[0]))
            return result

        return run

    def _compare(self, entry: str, exercise: str, call: int, expected: Any, got: Any) -> None:
        layer, place = self._place(entry, call)
        if expected.shape != got.shape:
            text = f"{exercise} returns shape {got.shape} instead of {expected.shape}, {place}"
            self.found = FirstDifference(entry, exercise, call, layer, None, float("inf"), text)
            return
        difference = np.abs(got.astype(np.float64) - expected) / max(float(np.abs(expected).max(initial=0.0)), 1e-30)
        difference = np.where(np.isfinite(difference), difference, np.inf)
        if float(difference.max(initial=0.0)) <= _TOLERANCE:
            return
        axis = 2 if entry in ("rope_forward", "attention_forward") else 1
        by_position = difference.max(axis=tuple(i for i in range(difference.ndim) if i != axis))
        position = int(np.argmax(by_position > _TOLERANCE))
        share = float(difference.max())
        text = (
            f"{exercise} leaves the reference {place}, at position {position} of the call: "
            f"off by {share:.1%} of the largest number" if np.isfinite(share) else
            f"{exercise} gives NaN or infinity {place}, at position {position} of the call"
        )  # fmt: skip
        self.found = FirstDifference(entry, exercise, call, layer, position, share, text)

    def _place(self, entry: str, call: int) -> tuple[int | None, str]:
        """The layer that a call belongs to: how often an operation is called is fixed by the architecture."""
        per_layer = {"rmsnorm_forward": 2, "linear_forward": 7, "rope_forward": 2, "attention_forward": 1}
        names = {
            "rmsnorm_forward": ("before attention", "before the feed-forward layer"),
            "linear_forward": ("wq", "wk", "wv", "wo", "w_gate", "w_up", "w_down"),
            "rope_forward": ("queries", "keys"),
        }
        n = per_layer.get(entry, 1)
        outside = {"rmsnorm_forward": 1, "linear_forward": 1}.get(entry, 0)
        if entry == "embedding_forward":
            return None, "at the embedding"
        within = call % (n * self._n_layers + outside)
        if within >= n * self._n_layers:
            return None, "after the last layer"
        layer = within // n
        detail = f" ({names[entry][within % n]})" if entry in names else ""
        return layer, f"in layer {layer}{detail}"


def speeds(own: OwnOps, make_session: Callable[[Ops], Any], ids: list[int], steps: int = 4) -> dict[str, float]:
    """Tokens per second after a prompt, of the learner's functions, the reference and the fast kernels."""
    found = {}
    for name, ops in (("yours", own.ops), ("reference", REFERENCE), ("fast", FAST)):
        session = make_session(ops)
        session.feed(ids)
        session.step(ids[0])
        begin = time.perf_counter()
        for _ in range(steps):
            session.step(ids[0])
        found[name] = steps / (time.perf_counter() - begin)
    return found
