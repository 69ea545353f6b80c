"""Training on the learner's own functions: every part of a step that an exercise of the book is about.

Chapters 03 to 08 have the layers and the loss, 14 the way back, the optimizer, its schedule and clipping. What an
exercise calls for in another form than training does is adapted here: the loss of a batch is a mean there and a sum
here, the gradient of an embedding knows its table and not its tokens. Results are kept in the model's dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import numpy as np

from ...layers.cross_entropy import IGNORED
from ...ops import FAST, LAYERS, replace_layer
from ...training.functions import PACKAGE, Functions
from ..chapters.catalogue import catalogue
from ..exercises.exercise import Function
from .checker import Checker
from .folder import Workspace, WorkspaceError
from .own_model import usable

Adapter = Callable[[Function], Function]


def _plain(function: Function) -> Function:
    return function


def _loss(function: Function) -> Function:
    """The sum over a batch of what is a mean there; a batch without a target has a loss of 0."""

    def forward(logits: Any, targets: Any, n_counted: int) -> float:
        n = int(np.count_nonzero(targets != IGNORED))
        return float(function(logits[None], targets[None], IGNORED)) * n / n_counted if n else 0.0

    return forward


def _loss_gradient(function: Function) -> Function:
    def gradient(dloss: float, logits: Any, targets: Any, n_counted: int) -> Any:
        n = int(np.count_nonzero(targets != IGNORED))
        if not n:
            return np.zeros_like(logits)
        return np.asarray(function(logits[None], targets[None], IGNORED))[0] * (dloss * n / n_counted)

    return gradient


def _linear_gradient(function: Function) -> Function:
    """The head has rows without a batch around them."""

    def gradient(dy: Any, x: Any, weight: Any) -> Any:
        if x.ndim == 3:
            return function(dy, x, weight)
        dx, dweight = function(dy[None], x[None], weight)
        return np.asarray(dx)[0], dweight

    return gradient


def _embedding_gradient(function: Function) -> Function:
    return lambda dx, tokens, weight: function(dx, tokens, len(weight))


def _rope_gradient(function: Function) -> Function:
    return lambda dy, x, cos, sin, positions: function(dy, cos, sin, positions)


_LOSS: dict[str, Adapter] = {"cross_entropy_loss": _loss}
_GRADIENTS: dict[str, tuple[str, Adapter]] = {
    "cross_entropy_backward": ("cross_entropy", _loss_gradient),
    "rmsnorm_backward": ("rmsnorm", _plain),
    "rope_backward": ("rope", _rope_gradient),
    "swiglu_backward": ("swiglu", _plain),
    "linear_backward": ("linear", _linear_gradient),
    "embedding_backward": ("embedding", _embedding_gradient),
    "attention_backward": ("attention", _plain),
}
# Exercise to the field of `Functions`.
_STEP = {
    "accumulate_micro_batches": "accumulated",
    "adamw_step": "adamw_step",
    "decayed_parameters": "decayed",
    "warmup_cosine": "learning_rate",
    "gradient_global_norm": "gradient_norm",
    "clip_by_global_norm": "clipped",
}
PARTS = (
    *(f"{layer}_{way}" for way in ("forward", "backward") for layer in LAYERS),
    *(name for name in Functions._fields if name != "ops"),
)
"""The parts of a step, by the names in `OwnTraining.used`."""


@dataclass
class OwnTraining:
    """What a step of training is computed with.

    Attributes
    ----------
    functions : Functions
    used : dict of str to str
        A part of the step, one of PARTS, to the id of the exercise that fills it.
    left_out : dict of str to str
        Exercise id to the reason.
    """

    functions: Functions = PACKAGE
    used: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> list[str]:
        """Parts that stay the package's."""
        return [part for part in PARTS if part not in self.used]


def exercises_in_training() -> list[str]:
    """Ids of the exercises whose functions training can use, in the order of the book."""
    known = {*catalogue().that_say("replaces"), *_LOSS, *_GRADIENTS, *_STEP}
    return [id for id in catalogue() if id in known]


def part_of(id: str) -> str:
    """The part of a step that an exercise of `exercises_in_training` fills."""
    if id in _STEP:
        return _STEP[id]
    if id in _GRADIENTS:
        return f"{_GRADIENTS[id][0]}_backward"
    return "cross_entropy_forward" if id in _LOSS else f"{catalogue()[id].replaces}_forward"


def missing(failing: Mapping[str, str], ids: list[str]) -> list[str]:
    """Those of some exercises that do not pass, and whose part of a step no other one of them fills."""
    filled = {part_of(id) for id in ids if id not in failing}
    return [id for id in ids if id in failing and part_of(id) not in filled]


def own_training(
    workspace: Workspace,
    *,
    n_micro: int = 1,
    unchecked: bool = False,
    checker: Checker | None = None,
    failing: Mapping[str, str] | None = None,
) -> OwnTraining:
    """Put the learner's functions in the place of the package's.

    Parameters
    ----------
    workspace : Workspace
    n_micro : int
        In how many parts a batch is computed; `accumulate_micro_batches` has work where there are several.
    unchecked, checker, failing
        As in `own_model.own_ops`.

    Raises
    ------
    WorkspaceError
        When no function can be used.
    """
    given, left_out = usable(workspace, exercises_in_training(), unchecked=unchecked, checker=checker, failing=failing)
    if not given:
        reasons = "; ".join(f"{id}: {reason}" for id, reason in left_out.items())
        raise WorkspaceError(f"none of your functions can train a model yet ({reasons})")
    found = OwnTraining(left_out=left_out)
    if n_micro == 1 and given.pop("accumulate_micro_batches", None) is not None:
        left_out["accumulate_micro_batches"] = "a batch is one part here ([data] micro_batches)"
    forward: dict[str, str] = {}
    for id in given:
        if (layer := "cross_entropy" if id in _LOSS else catalogue()[id].replaces) is not None:
            if layer in forward:
                left_out[forward[layer]] = f"your {id} stands there"
            forward[layer] = id
    backward = {layer: id for id, (layer, _) in _GRADIENTS.items() if id in given}
    ops = FAST
    for layer in LAYERS:
        functions = {}
        if layer in forward:
            id = found.used[f"{layer}_forward"] = forward[layer]
            adapt = _LOSS.get(id) or catalogue()[id].as_layer or _plain
            functions["forward"] = _in_dtype(adapt(given[id]))
        if layer in backward:
            id = found.used[f"{layer}_backward"] = backward[layer]
            functions["gradient"] = _in_dtype(_GRADIENTS[id][1](given[id]))
        if functions:
            ops = replace_layer(layer, **functions, ops=ops)
    fields = {_STEP[id]: function for id, function in given.items() if id in _STEP}
    found.used |= {_STEP[id]: id for id in given if id in _STEP}
    found.functions = PACKAGE._replace(ops=ops, **fields)
    return found


def _in_dtype(function: Function) -> Function:
    """The function with its arrays in the dtype of the first array of floats that it is given."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        dtype = next(a.dtype for a in arguments if isinstance(a, np.ndarray) and a.dtype.kind == "f")

        def kept(value: Any) -> Any:
            return value.astype(dtype, copy=False) if isinstance(value, np.ndarray) and value.ndim else value

        found = function(*arguments)
        return tuple(map(kept, found)) if isinstance(found, tuple | list) else kept(found)

    return run
