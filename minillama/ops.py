"""The table of layer functions that a model runs with.

`REFERENCE` is plain NumPy, written to be read. `FAST` holds the compiled twins with the same
signatures. A table is a value: replace an entry and the model runs on that function,

    mine = FAST._replace(rope_forward=my_rope_forward)
    llm = minillama.load("smollm2-135m-instruct", ops=mine)

with nothing else changed and no global switch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from .layers.attention import (
    attention_backward,
    attention_backward_fast,
    attention_forward,
    attention_forward_fast,
)
from .layers.cross_entropy import (
    cross_entropy_backward,
    cross_entropy_backward_fast,
    cross_entropy_forward,
    cross_entropy_forward_fast,
)
from .layers.embedding import (
    embedding_backward,
    embedding_backward_fast,
    embedding_forward,
    embedding_forward_fast,
)
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


FORWARD = Ops._fields[:6]
"""The entries that running a model calls."""

REFERENCE = Ops(
    embedding_forward,
    linear_forward,
    rmsnorm_forward,
    rope_forward,
    attention_forward,
    swiglu_forward,
    cross_entropy_forward,
    embedding_backward,
    linear_backward,
    rmsnorm_backward,
    rope_backward,
    attention_backward,
    swiglu_backward,
    cross_entropy_backward,
)

FAST = Ops(
    embedding_forward_fast,
    linear_forward_fast,
    rmsnorm_forward_fast,
    rope_forward_fast,
    attention_forward_fast,
    swiglu_forward_fast,
    cross_entropy_forward_fast,
    embedding_backward_fast,
    linear_backward_fast,
    rmsnorm_backward_fast,
    rope_backward_fast,
    attention_backward_fast,
    swiglu_backward_fast,
    cross_entropy_backward_fast,
)

NAMED_OPS = {"reference": REFERENCE, "fast": FAST}
