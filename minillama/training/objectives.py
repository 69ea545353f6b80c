"""What is learned: an objective maps a model and a batch to sums, and the gradient of the summed loss.

    sums, gradients = objective(model, batch, ops)

Sums, never means: they add up over the parts of a batch, over threads and machines, whatever the
sizes of the parts, and the division by `sums["count"]` is made once, at the end. A batch knows how to
split itself, because only it knows what belongs together: a preference pair, a rollout and its reward.
Model and gradients are trees (trees.py); a gradient is None where a parameter is not to be trained.

Next-token cross-entropy is the objective of pretraining, and with ignored targets that of supervised
fine-tuning. Others are put together from what it is put together from: `head_gradients` for chunks of
logits, `backbone_forward` and `backbone_backward` for hidden states.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, Self

import numpy as np

from ..compute.array_types import Ints
from ..config import ModelConfig
from ..layers.embedding import as_tokens
from ..ops import FAST, Ops
from ..params import Params
from ..trees import Tree
from .gradients import Sums, check_shapes, next_token_rows, sums_and_gradients


class Batch(Protocol):
    """What a step learns from."""

    def split(self, n: int) -> list[Self]:
        """At most `n` parts, none empty, which together are the batch; what belongs together stays together."""


class Objective(Protocol):
    """Sums over a batch ("loss", "count" and any others), and the gradient of the summed loss."""

    def __call__(self, model: Tree, batch: Any, ops: Ops) -> tuple[Sums, Tree]: ...


def shares(n_items: int, n: int) -> list[slice]:
    """`n_items` cut into at most `n` runs, none empty; the first ones are longer by one where it does not divide."""
    n = min(n, n_items)
    bounds = [i * (n_items // n) + min(i, n_items % n) for i in range(n + 1)] if n else []
    return [slice(first, last) for first, last in pairwise(bounds)]


class Rows(NamedTuple):
    """Rows of tokens, and what follows each token or IGNORED: (B, T) both."""

    tokens: Ints
    targets: Ints

    def split(self, n: int) -> list[Rows]:
        tokens, targets = np.atleast_2d(self.tokens), np.atleast_2d(self.targets)
        return [Rows(tokens[rows], targets[rows]) for rows in shares(len(tokens), n)]


@dataclass(frozen=True)
class NextToken:
    """Cross-entropy of the next token over `Rows`; the count is that of the targets that are not ignored."""

    config: ModelConfig
    recompute: bool = False

    def __call__(self, model: Params, batch: Rows, ops: Ops = FAST) -> tuple[Sums, Params]:
        check_shapes(batch.tokens, batch.targets)
        of_rows = next_token_rows(batch.targets, ops)
        tokens = as_tokens(batch.tokens)
        return sums_and_gradients(model, self.config, tokens, of_rows, ops=ops, recompute=self.recompute)
