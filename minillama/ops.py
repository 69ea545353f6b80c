"""The table of layer functions that a model runs with.

`REFERENCE` is plain NumPy, written to be read. `FAST` holds the compiled twins with the same
signatures. A table is a value: replace a layer and the model runs on your function,

    mine = replace_layer("rmsnorm", forward=my_rmsnorm)
    llm = minillama.load("smollm2-135m-instruct", ops=mine)

with nothing else changed and no global switch.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .files.suggestions import did_you_mean
from .layers.attention import attention_backward, attention_backward_fast, attention_forward, attention_forward_fast
from .layers.cross_entropy import (
    cross_entropy_backward,
    cross_entropy_backward_fast,
    cross_entropy_forward,
    cross_entropy_forward_fast,
)
from .layers.embedding import embedding_backward, embedding_backward_fast, embedding_forward, embedding_forward_fast
from .layers.linear import linear_backward, linear_backward_fast, linear_forward, linear_forward_fast
from .layers.rmsnorm import rmsnorm_backward, rmsnorm_backward_fast, rmsnorm_forward, rmsnorm_forward_fast
from .layers.rope import rope_backward, rope_backward_fast, rope_forward, rope_forward_fast
from .layers.swiglu import swiglu_backward, swiglu_backward_fast, swiglu_forward, swiglu_forward_fast

Layer = Callable[..., tuple[Any, Any]]  # (arrays and scalars) -> (y, saved)
Gradient = Callable[..., Any]  # (dy, saved) -> gradients of the arrays, in the order of the arguments


class Ops(NamedTuple):
    """Two functions for each layer; signatures in `minillama/layers/`.

    Running a model calls the forward functions of the first six. Training calls all.
    """

    embedding_forward: Layer
    linear_forward: Layer
    rmsnorm_forward: Layer
    rope_forward: Layer
    attention_forward: Layer
    swiglu_forward: Layer
    cross_entropy_forward: Layer
    embedding_backward: Gradient
    linear_backward: Gradient
    rmsnorm_backward: Gradient
    rope_backward: Gradient
    attention_backward: Gradient
    swiglu_backward: Gradient
    cross_entropy_backward: Gradient


REFERENCE = Ops(
    embedding_forward=embedding_forward,
    linear_forward=linear_forward,
    rmsnorm_forward=rmsnorm_forward,
    rope_forward=rope_forward,
    attention_forward=attention_forward,
    swiglu_forward=swiglu_forward,
    cross_entropy_forward=cross_entropy_forward,
    embedding_backward=embedding_backward,
    linear_backward=linear_backward,
    rmsnorm_backward=rmsnorm_backward,
    rope_backward=rope_backward,
    attention_backward=attention_backward,
    swiglu_backward=swiglu_backward,
    cross_entropy_backward=cross_entropy_backward,
)

FAST = Ops(
    embedding_forward=embedding_forward_fast,
    linear_forward=linear_forward_fast,
    rmsnorm_forward=rmsnorm_forward_fast,
    rope_forward=rope_forward_fast,
    attention_forward=attention_forward_fast,
    swiglu_forward=swiglu_forward_fast,
    cross_entropy_forward=cross_entropy_forward_fast,
    embedding_backward=embedding_backward_fast,
    linear_backward=linear_backward_fast,
    rmsnorm_backward=rmsnorm_backward_fast,
    rope_backward=rope_backward_fast,
    attention_backward=attention_backward_fast,
    swiglu_backward=swiglu_backward_fast,
    cross_entropy_backward=cross_entropy_backward_fast,
)


def untouched(ops: Ops, *names: str) -> bool:
    """Whether these functions of a table are the package's own fast ones, for which there are shorter ways."""
    return all(getattr(ops, name) is getattr(FAST, name) for name in names)


# Functions for attention that read float16 keys and values as a cache has them; others get copies in float32.
READS_FLOAT16 = (FAST.attention_forward,)

NAMED_OPS = {"reference": REFERENCE, "fast": FAST}

LAYERS = tuple(name.removesuffix("_forward") for name in Ops._fields if name.endswith("_forward"))
"""What `replace_layer` takes the place of."""


def replace_layer(
    name: str,
    *,
    forward: Callable[..., Any] | None = None,
    backward: Gradient | None = None,
    gradient: Gradient | None = None,
    ops: Ops = FAST,
) -> Ops:
    """A table in which a layer is computed by a function of your own; it runs a model and trains.

        replace_layer("rmsnorm", forward=f)                  f(x, weight, eps) -> y
        replace_layer("rmsnorm", forward=f, backward=g)      f(x, weight, eps) -> (y, saved);  g(dy, saved)
        replace_layer("rmsnorm", backward=g)                 g(dy, saved) of what the layer's forward in `ops` saves
        replace_layer("rmsnorm", forward=f, gradient=g)      f(x, weight, eps) -> y;  g(dy, x, weight, eps)
        replace_layer("rmsnorm", gradient=g)                 the same beside the layer's forward in `ops`

    A forward function alone keeps nothing for the way back: where gradients are asked for, they are those
    of REFERENCE at the same arguments, or of `gradient`.

    Parameters
    ----------
    name : str
        "embedding", "linear", "rmsnorm", "rope", "attention", "swiglu" or "cross_entropy".
    forward : callable, optional
        Takes what the layer's function in REFERENCE takes. A packed matrix is unpacked for it, to float32.
    backward : callable, optional
        Takes the gradient of y and what `forward` saved, which nobody else looks into; returns what the
        layer's function in REFERENCE returns.
    gradient : callable, optional
        The same from the arguments of the layer: nothing has to be saved.
    ops : Ops
        The table to begin with: replace one layer after the other.

    Returns
    -------
    Ops

    Raises
    ------
    ValueError
        When there is no layer of that name, no function, or both `backward` and `gradient`. Later, when the model
        runs, when a function returns something else than above.
    """
    if name not in LAYERS:
        raise ValueError(f"there is no layer {name!r}: {did_you_mean(name, LAYERS)}the layers are {', '.join(LAYERS)}")
    for given, function in (("forward", forward), ("backward", backward), ("gradient", gradient)):
        if function is not None and not callable(function):
            raise ValueError(f"{given}= of {name} must be a function, got {type(function).__name__}")
    if backward is not None and gradient is not None:
        raise ValueError(f"give backward= or gradient= of {name}, not both")
    entries: dict[str, Callable[..., Any]] = {}
    if gradient is not None:
        own = getattr(ops, f"{name}_forward")
        function = (lambda *arguments: own(*arguments)[0]) if forward is None else forward
        entries["forward"], entries["backward"] = _without_memory(name, function, gradient)
    elif forward is not None and backward is not None:
        entries = {"forward": _with_memory(name, forward), "backward": backward}
    elif forward is not None:
        entries["forward"], entries["backward"] = _without_memory(name, forward)
    elif backward is not None:
        entries["backward"] = backward
    else:
        raise ValueError(f"give a function to take the place of {name}: forward=, backward= or gradient=")
    return ops._replace(**{f"{name}_{way}": function for way, function in entries.items()})


class _Arguments(NamedTuple):
    """What a forward function without memory leaves for the way back."""

    values: tuple[Any, ...]


def _without_memory(
    name: str, function: Callable[..., Any], gradient: Gradient | None = None
) -> tuple[Layer, Gradient]:
    """A pair from a function that returns y alone; the way back is `gradient`, or REFERENCE's."""
    call = _on_plain_arrays(name, function)
    reference_forward: Layer = getattr(REFERENCE, f"{name}_forward")
    reference_backward: Gradient = getattr(REFERENCE, f"{name}_backward")

    def forward(*arguments: Any) -> tuple[Any, _Arguments]:
        found = call(*arguments)
        if isinstance(found, tuple) and len(found) == 2 and found[1] is None:
            found = found[0]
        if not _is_result(name, found):
            keeps = isinstance(found, tuple) and len(found) == 2
            advice = "; a second value needs backward=, which reads it" if keeps else ""
            raise ValueError(f"your {name} must return {_RESULT[name]}, it returned {_describe(found)}{advice}")
        return found, _Arguments(arguments)

    def backward(dy: Any, saved: _Arguments) -> Any:
        if gradient is None:
            return reference_backward(dy, reference_forward(*saved.values)[1])
        return _checked_gradients(name, gradient(dy, *saved.values), saved.values)

    return forward, backward


def _with_memory(name: str, function: Callable[..., Any]) -> Layer:
    """A function that returns (y, saved), looked at once more."""
    call = _on_plain_arrays(name, function)

    def forward(*arguments: Any) -> tuple[Any, Any]:
        found = call(*arguments)
        if not (isinstance(found, tuple) and len(found) == 2 and _is_result(name, found[0])):
            raise ValueError(
                f"your {name} must return {_RESULT[name]} and what its backward needs, as (y, saved); "
                f"it returned {_describe(found)}"
            )
        return found

    return forward


# Which arguments of a layer have a gradient.
_LEARNED = {"embedding": (1,), "linear": (0, 1), "rmsnorm": (0, 1), "rope": (0,), "attention": (0, 1, 2),
            "swiglu": (0, 1), "cross_entropy": (0,)}  # fmt: skip


def _checked_gradients(name: str, found: Any, arguments: tuple[Any, ...]) -> Any:
    """What a gradient function returned, if its shapes are those of the arguments that it is about."""
    places = _LEARNED[name]
    parts = found if len(places) > 1 else (found,)
    expected = [np.shape(arguments[place]) for place in places]
    if not isinstance(parts, tuple | list) or [np.shape(part) for part in parts] != expected:
        shapes = ", ".join(map(str, expected))
        is_several = isinstance(found, tuple | list)
        got = ", ".join(str(np.shape(part)) for part in found) if is_several else _describe(found)
        got = str(found.shape) if isinstance(found, np.ndarray) else got
        raise ValueError(f"the gradient of your {name} must have shape {shapes}; it has {got}")
    return found


_RESULT = dict.fromkeys(LAYERS, "an array") | {"cross_entropy": "the loss, a number"}


def _is_result(name: str, found: Any) -> bool:
    if name == "cross_entropy":
        return isinstance(found, float | int | np.number | np.ndarray) and np.ndim(found) == 0
    return isinstance(found, np.ndarray)


def _describe(found: Any) -> str:
    if isinstance(found, tuple):
        return f"a tuple of {', '.join(type(part).__name__ for part in found) or 'nothing'}"
    return "nothing (is there a return?)" if found is None else f"a {type(found).__name__}"


def _on_plain_arrays(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as the table calls it: where a matrix may come packed, it is unpacked."""
    if name == "embedding":
        return lambda tokens, weight: function(*_used_rows(tokens, weight))
    if name == "linear":
        unpacked: dict[int, tuple[Any, Any]] = {}  # with the packed matrix, which keeps its id in use

        def plain(weight: Any) -> Any:
            if isinstance(weight, np.ndarray):
                return weight
            if id(weight) not in unpacked:
                unpacked[id(weight)] = weight, weight.to_float32()
            return unpacked[id(weight)][1]

        return lambda x, weight: function(x, plain(weight))
    return _refusing_a_window(function) if name == "attention" and not _takes_window(function) else function


def _takes_window(function: Callable[..., Any]) -> bool:
    """Whether the fifth argument of an attention function is `window`, and not something of its own."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a builtin without a signature
        return False
    any_number = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
    return any_number or (len(parameters) > 4 and parameters[4].name == "window")


def _refusing_a_window(function: Callable[..., Any]) -> Callable[..., Any]:
    """An attention function of LLaMA 2, which sees every key: wrong where a sliding window hides some."""

    def attention(*arguments: Any) -> Any:
        if len(arguments) > 4:
            raise ValueError(
                f"your attention takes no window, and from token {arguments[4] + 1} on this model's sliding window of "
                f"{arguments[4]} hides keys: take `window` as a fifth argument, or a shorter text"
            )
        return function(*arguments)

    return attention


def _used_rows(tokens: Any, weight: Any) -> tuple[Any, Any]:
    """Ids and a table for a lookup: of a packed one the rows that are used, and ids that count those."""
    if isinstance(weight, np.ndarray):
        return tokens, weight
    used, ids = np.unique(tokens, return_inverse=True)
    return ids.reshape(tokens.shape), weight.to_float32(used)
