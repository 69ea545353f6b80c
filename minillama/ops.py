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

from .layers.attention import attention_forward, attention_forward_fast
from .layers.embedding import embedding_forward, embedding_forward_fast
from .layers.linear import linear_forward, linear_forward_fast
from .layers.rmsnorm import rmsnorm_forward, rmsnorm_forward_fast
from .layers.rope import rope_forward, rope_forward_fast
from .layers.swiglu import swiglu_forward, swiglu_forward_fast

Layer = Callable[..., tuple[Any, Any]]  # (arrays and scalars) -> (y, cache)


class Ops(NamedTuple):
    """One function for each layer; signatures in `minillama/layers/`."""

    embedding_forward: Layer
    linear_forward: Layer
    rmsnorm_forward: Layer
    rope_forward: Layer
    attention_forward: Layer
    swiglu_forward: Layer


REFERENCE = Ops(
    embedding_forward,
    linear_forward,
    rmsnorm_forward,
    rope_forward,
    attention_forward,
    swiglu_forward,
)

FAST = Ops(
    embedding_forward_fast,
    linear_forward_fast,
    rmsnorm_forward_fast,
    rope_forward_fast,
    attention_forward_fast,
    swiglu_forward_fast,
)

NAMED_OPS = {"reference": REFERENCE, "fast": FAST}
