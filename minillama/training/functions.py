"""The functions that a step of training is made of, as a value: any of them can be another's.

    sums, gradients = objective(model, batch, ops)      ops: the layers and the loss, forward and backward
    norm            = gradient_norm(gradients)
    gradients       = clipped(gradients, max_norm)
    rate            = learning_rate(step, …)
    p, m, v         = adamw_step(p, g, m, v, …)

None stands for the package's own, which take shorter ways: the mean, the clipping and the update go over the
gradients once. What stands in for one is plain: it gets the gradients of the mean loss as a list of arrays and need
not work in place. It is slower, and that is all: checkpoints are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..compute.array_types import Float
from ..ops import FAST, Ops
from ..trees import Tree, map_named, map_tree, named_leaves
from .gradients import Sums
from .objectives import Batch, Objective
from .optimizer import AdamW, adamw_step, clip_scale, decays, global_norm
from .schedule import Schedule


class Functions(NamedTuple):
    """What a run computes with; the package's where None.

    Attributes
    ----------
    ops : Ops
    learning_rate : callable
        (step, peak, warmup_steps, total_steps, final_fraction) -> float
    gradient_norm : callable
        (list of gradients) -> float
    clipped : callable
        (list of gradients, max_norm) -> list of gradients
    adamw_step : callable
        (p, g, m, v, t, learning_rate, beta1, beta2, eps, weight_decay) -> (p, m, v), of one axis
    decayed : callable
        (dict of name to shape) -> names of the parameters that are decayed
    accumulated : callable
        (losses (M,), gradients (M, rows, columns), counts (M,)) of the means of M parts of a batch -> (loss, gradient)
    """

    ops: Ops = FAST
    learning_rate: Callable[..., float] | None = None
    gradient_norm: Callable[[list[Float]], float] | None = None
    clipped: Callable[[list[Float], float], Sequence[Float]] | None = None
    adamw_step: Callable[..., tuple[Float, Float, Float]] | None = None
    decayed: Callable[[dict[str, tuple[int, ...]]], Sequence[str]] | None = None
    accumulated: Callable[..., tuple[float, Float]] | None = None

    @property
    def are_the_packages(self) -> bool:
        return self == PACKAGE

    def rate(self, schedule: Schedule, step: int) -> float:
        """The learning rate of a step."""
        if self.learning_rate is None:
            return schedule(step)
        s = schedule
        return float(self.learning_rate(step, s.peak, s.warmup_steps, s.total_steps, s.final_fraction))

    def norm(self, gradients: Tree, count: float) -> float:
        """The length of the gradient of the mean, from gradients of the sum."""
        if self.gradient_norm is None:
            return global_norm(gradients) / count
        return float(self.gradient_norm(_means(gradients, count)))

    def clip(self, gradients: Tree, count: float, norm: float, max_norm: float) -> tuple[Tree, float]:
        """Gradients, and what they are still to be multiplied by, so that their norm is at most `max_norm`."""
        if not max_norm:
            return gradients, 1 / count
        if self.clipped is None:
            return gradients, clip_scale(norm, max_norm) / count
        shorter = iter(self.clipped(_means(gradients, count), max_norm))
        return map_tree(lambda g: np.asarray(next(shorter), g.dtype), gradients), 1.0

    def optimizer(self, model: Tree, **settings: Any) -> AdamW:
        """AdamW for a model; `settings` as of AdamW."""
        if self.adamw_step is None and self.decayed is None:
            return AdamW(model, **settings)
        return _PlainAdamW(model, self, **settings)

    def objective(self, objective: Objective, n_micro: int) -> tuple[Objective, int]:
        """An objective that adds up the parts of a batch as `accumulated` does, and in how many parts to call it."""
        if self.accumulated is None or n_micro == 1:
            return objective, n_micro
        return _InParts(objective, self.accumulated, n_micro), 1


PACKAGE = Functions()


def _means(gradients: Tree, count: float) -> list[Float]:
    return [g / g.dtype.type(count) for _, g in named_leaves(gradients)]


class _PlainAdamW(AdamW):
    """AdamW whose update of one parameter, and choice of those that are decayed, are plain functions."""

    def __init__(self, params: Tree, functions: Functions, **settings: Any) -> None:
        super().__init__(params, **settings)
        self._step, self._decayed = functions.adamw_step or _package_step, functions.decayed

    def update(
        self,
        gradients: Tree,
        learning_rate: float,
        scale: float = 1.0,
        *,
        rate_factor: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        """As in AdamW."""
        learned = self._learned(gradients)
        self.n_steps += 1
        if self._decayed is None:
            decayed = {name for name, p, *_ in learned if decays(name, p)}
        else:
            decayed = set(self._decayed({name: p.shape for name, p, *_ in learned}))
        for name, p, g, m, v in learned:
            scaled = np.ascontiguousarray(g, p.dtype).reshape(-1) * p.dtype.type(scale)
            rate, decay = learning_rate * rate_factor(name), self.weight_decay if name in decayed else 0.0
            before = p.reshape(-1).copy(), scaled, m.reshape(-1).copy(), v.reshape(-1).copy()
            found = self._step(*before, self.n_steps, rate, *self.betas, self.eps, decay)
            for array, new in zip((p, m, v), found, strict=True):
                array.reshape(-1)[...] = new


def _package_step(p: Float, g: Float, m: Float, v: Float, t: int, rate: float, *settings: float) -> Any:
    beta1, beta2, eps, weight_decay = settings
    return adamw_step(p, g, m, v, t, rate, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay)


@dataclass(frozen=True)
class _InParts:
    """An objective of a batch from the means of its parts."""

    objective: Objective
    accumulated: Callable[..., tuple[float, Float]]
    n_parts: int

    def __call__(self, model: Tree, batch: Batch, ops: Ops) -> tuple[Sums, Tree]:
        found = [self.objective(model, part, ops) for part in batch.split(self.n_parts)]
        counts = np.array([int(sums["count"]) for sums, _ in found])
        total = {name: sum(sums[name] for sums, _ in found) for name in found[0][0]}
        if len(found) == 1 or not counts.any():
            return total, found[0][1]
        losses = np.array([sums["loss"] / max(1, n) for (sums, _), n in zip(found, counts)])

        def whole(name: str, *gradients: Float) -> Float:
            first = gradients[0]
            matrices = [(g / max(1, n)).reshape(len(g), -1) for g, n in zip(gradients, counts)]
            loss, gradient = self.accumulated(losses, np.stack(matrices), counts)
            total["loss"] = float(loss) * total["count"]
            return (np.asarray(gradient).reshape(first.shape) * counts.sum()).astype(first.dtype)

        trees = [gradients for _, gradients in found]
        return total, map_named(whole, *trees)
