"""The ranking loss of a reward model, with a margin that grows with how clear the preference was (section 3.2.2).

    L = -log sigma(r(x, y_chosen) - r(x, y_rejected) - m(strength))
    dL/dr_chosen = -sigma(-(difference - m)) = -dL/dr_rejected

The margin stands inside: the loss asks for a gap of m before it is content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Float, Ints
from ...config import ModelConfig
from ...model import backbone_backward, backbone_forward
from ...ops import FAST, Ops
from ...training.gradients import Sums
from ...training.objectives import shares
from .model import RewardModel, padded

MARGINS = {"none": (0.0, 0.0, 0.0, 0.0), "small": (0.0, 1 / 3, 2 / 3, 1.0), "large": (0.0, 1.0, 2.0, 3.0)}
"""By strength: negligibly better or unsure, slightly, better, significantly (table 27)."""


def preference_loss(difference: Float, margin: Float) -> tuple[Float, Float]:
    """Loss of every pair, and its derivative by the difference r_chosen - r_rejected."""
    x = difference - margin
    loss = np.logaddexp(0, -x)
    return loss, -np.exp(-np.logaddexp(0, x))


class Pairs(NamedTuple):
    """Pairs that a step learns from: ids of both, and what margin each asks for."""

    chosen: Sequence[Ints]
    rejected: Sequence[Ints]
    margins: Float

    def split(self, n: int) -> list[Pairs]:
        return [
            Pairs(self.chosen[rows], self.rejected[rows], self.margins[rows]) for rows in shares(len(self.chosen), n)
        ]


@dataclass(frozen=True)
class Preference:
    """Sums over `Pairs`: "loss", "count" of pairs, and those that are "right": the chosen answer scores higher."""

    config: ModelConfig
    recompute: bool = False

    def __call__(self, model: RewardModel, batch: Pairs, ops: Ops = FAST) -> tuple[Sums, RewardModel]:
        n = len(batch.chosen)
        tokens, last = padded([*batch.chosen, *batch.rejected])
        h, saved = backbone_forward(model.backbone, self.config, tokens, ops, recompute=self.recompute)
        ends = h[np.arange(2 * n), last]  # (2N, D)
        scores = ends @ model.head
        difference = scores[:n] - scores[n:]
        losses, slope = preference_loss(difference, batch.margins.astype(h.dtype, copy=False))
        dscores = np.concatenate([slope, -slope]).astype(h.dtype, copy=False)
        dh = np.zeros_like(h)
        dh[np.arange(2 * n), last] = dscores[:, None] * model.head
        sums = {
            "loss": float(losses.sum(dtype=np.float64)),
            "count": float(n),
            "right": float(np.count_nonzero(difference > 0)),
        }
        return sums, RewardModel(backbone_backward(dh, saved, ops), dscores @ ends)
