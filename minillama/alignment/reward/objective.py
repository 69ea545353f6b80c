"""The ranking loss of a reward model, with a margin that grows with how clear the preference was (section 3.2.2).

    L = -log sigma(r(x, y_chosen) - r(x, y_rejected) - m(strength))
    dL/dr_chosen = -sigma(-(difference - m)) = -dL/dr_rejected

The margin stands inside: the loss asks for a gap of m before it is content. A safety model adds, for both answers,

    lambda * -log sigma(+- r)      + for a safe answer, - for an unsafe one
    dL/dr = lambda * (sigma(r) - safe)

so that 0 comes to lie between safe and unsafe answers, where the ranking alone leaves every score free up to a
constant. The paper names this auxiliary loss (appendix A.3.4) and prints neither formula nor weight: both are
unconfirmed, as is which margins the published models had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...compute.array_types import Float, Ints
from ...config import ModelConfig
from ...model import backbone_backward
from ...ops import FAST, Ops
from ...training.gradients import Sums
from ...training.objectives import shares
from .beginnings import Together, n_common, states_forward, together
from .model import RewardModel

MARGINS = {"none": (0.0, 0.0, 0.0, 0.0), "small": (0.0, 1 / 3, 2 / 3, 1.0), "large": (0.0, 1.0, 2.0, 3.0)}
"""By strength: negligibly better or unsure, slightly, better, significantly (table 27)."""


def preference_loss(difference: Float, margin: Float) -> tuple[Float, Float]:
    """Loss of every pair, and its derivative by the difference r_chosen - r_rejected."""
    x = difference - margin
    return np.logaddexp(0, -x), -np.exp(-np.logaddexp(0, x))


def safety_loss(scores: Float, safe: Float) -> tuple[Float, Float]:
    """Loss of every score, 0 where `safe` is NaN (not known), and its derivative by the score; `safe` is 1 or 0."""
    known = ~np.isnan(safe)
    target = np.where(known, safe, 0).astype(scores.dtype, copy=False)
    loss = np.logaddexp(0, scores) - target * scores
    return loss * known, (np.exp(-np.logaddexp(0, -scores)) - target) * known


class Pairs(NamedTuple):
    """Pairs that a step learns from.

    Attributes
    ----------
    chosen, rejected : sequence of n integer arrays
        Ids of dialogue and answer, with its end.
    margins : ndarray of shape (n,)
        What each pair asks for.
    safe : ndarray of shape (n, 2), optional
        1 where the chosen, the rejected answer is safe, 0 where not, NaN where nobody said.
    below : sequence of n arrays, optional
        What frozen blocks made of each pair's tokens (frozen.py), (N, D); the model is what stands above them.
    """

    chosen: Sequence[Ints]
    rejected: Sequence[Ints]
    margins: Float
    safe: Float | None = None
    below: Sequence[Float] | None = None

    def split(self, n: int) -> list[Pairs]:
        fields: tuple[Any, ...] = self
        cuts = shares(len(self.chosen), n)
        return [Pairs(*[None if field is None else field[rows] for field in fields]) for rows in cuts]  # type: ignore[arg-type]

    def laid_out(self) -> Together:
        """As one long row, the beginning that a pair shares once: rows 0, 2, 4 … are the chosen ones."""
        return together(((one, other), n_common(one, other)) for one, other in zip(self.chosen, self.rejected))


@dataclass(frozen=True)
class Preference:
    """Sums over `Pairs`.

    "loss", and of it "ranking"; "count" of pairs, and "tokens" that were computed; those pairs that are "right", where
    the chosen answer scores higher; "auxiliary", the loss of safety without its weight; "labelled" answers, and those
    of them that are "told", on their side of 0.

    Attributes
    ----------
    config : ModelConfig
    auxiliary : float
        Lambda; 0 leaves the auxiliary loss out.
    recompute : bool
        As in `model.backbone_forward`.
    """

    config: ModelConfig
    auxiliary: float = 0.0
    recompute: bool = False

    def __call__(self, model: RewardModel, batch: Pairs, ops: Ops = FAST) -> tuple[Sums, RewardModel]:
        rows = batch.laid_out()
        x = None if batch.below is None else np.concatenate(batch.below).astype(model.head.dtype, copy=False)
        h, saved, ops = states_forward(model.backbone, self.config, rows, ops, x=x, recompute=self.recompute)
        ends = h[rows.ends]  # (2n, D)
        sums, dscores = self.of_scores((ends @ model.head).reshape(-1, 2), batch)
        sums["tokens"] = float(len(h))
        dh = np.zeros_like(h)
        dh[rows.ends] = dscores[:, None] * model.head
        return sums, RewardModel(backbone_backward(dh[None], saved, ops), dscores @ ends)

    def of_scores(self, scores: Float, batch: Pairs) -> tuple[Sums, Float]:
        """Sums, and the gradient (2n,) of the loss by the scores (n, 2) of chosen and rejected answers."""
        difference = scores[:, 0] - scores[:, 1]
        losses, slope = preference_loss(difference, batch.margins.astype(scores.dtype, copy=False))
        sums = {
            "loss": float(losses.sum(dtype=np.float64)),
            "count": float(len(scores)),
            "right": float(np.count_nonzero(difference > 0)),
        }
        sums["ranking"] = sums["loss"]
        dscores = np.stack([slope, -slope], 1)
        if self.auxiliary and batch.safe is not None:
            more, dmore = safety_loss(scores, batch.safe)
            sums["auxiliary"] = float(more.sum(dtype=np.float64))
            sums["labelled"] = float(np.count_nonzero(~np.isnan(batch.safe)))
            told = (batch.safe == 1) & (scores > 0) | (batch.safe == 0) & (scores < 0)
            sums["told"] = float(np.count_nonzero(told))
            sums["loss"] += self.auxiliary * sums["auxiliary"]
            dscores += self.auxiliary * dmore
        return sums, dscores.reshape(-1).astype(scores.dtype, copy=False)
