"""Cross-entropy of the next token with a weight for every token: what fine-tuning on answers learns from.

    L = sum_t w_t (-log p(x_t | x_<t)) / sum_t w_t,        dL/dlogits_t = w_t (p_t - onehot(x_t)) / sum w

Weights of 0 and 1 are LLaMA 2's mask (section 3.1: "we zero-out the loss on tokens from the user prompt"). Whether the
paper divides by the learned tokens of a batch or of each sample is unconfirmed: here by those of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...compute.array_types import Float
from ...config import ModelConfig
from ...layers.cross_entropy import IGNORED, losses_in_place
from ...ops import FAST, Ops
from ...params import Params
from ...training.gradients import Sums, sums_and_gradients
from .examples import WeightedRows


@dataclass(frozen=True)
class WeightedNextToken:
    """Sums over `WeightedRows`.

    "loss" and "count", of the weights; "nats" and "learned", without weights: the tokens with a weight; and "tokens",
    all that went through the model, padding included.
    """

    config: ModelConfig
    recompute: bool = False

    def __call__(self, model: Params, batch: WeightedRows, ops: Ops = FAST) -> tuple[Sums, Params]:
        flat = batch.targets.reshape(-1)
        learned = np.flatnonzero(flat != IGNORED)
        targets, weights = flat[learned], batch.weights.reshape(-1)[learned]

        def of_rows(logits: Float, rows: slice) -> tuple[Sums, Float]:
            losses, w = losses_in_place(logits, targets[rows]), weights[rows].astype(logits.dtype, copy=False)
            logits *= w[:, None]
            sums = {
                "loss": float((losses * w).sum(dtype=np.float64)),
                "count": float(w.sum(dtype=np.float64)),
                "learned": float(len(losses)),
                "nats": float(losses.sum(dtype=np.float64)),
            }
            return sums, logits

        sums, gradients = sums_and_gradients(
            model, self.config, batch.tokens, of_rows, learned=learned, ops=ops, recompute=self.recompute
        )
        return {**sums, "tokens": float(batch.tokens.size)}, gradients
