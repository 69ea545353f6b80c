"""Proximal policy optimisation (Schulman et al., arXiv:1707.06347) of a policy and, apart from it, a value network.

    rho      = exp(log pi - log pi_old)
    L_policy = mean over tokens of  max(-A rho, -A clip(rho, 1 - eps, 1 + eps))           eps = 0.2
    L_value  = mean over tokens of  1/2 max((V - G)**2, (clip(V, V_old - c, V_old + c) - G)**2),   c = 0.2
    L        = L_policy + 0.1 L_value                                  [+ kappa mean k3(pi, pi_0)]

    dL_policy/dlog pi_t = -A rho          0 where the clipped term is the larger one: rho has left the interval
    dL_value/dV_t       = V - G           0 where the clipped term is the larger one
    dlog pi_t/dlogits   = (onehot - p) / τ

So each row of logits gets the gradient of its cross-entropy times one number (`losses_in_place`). Temperature τ is that
of sampling, for old and new log-probabilities alike. They come from one function on the same rows in the same parts
(`measured`): before the first update rho is exactly 1, and the gradient that of the plain policy gradient, -A.

Value coefficient and clipping of values are TRL's defaults, unconfirmed for LLaMA 2; a value network apart from the
policy too: it begins as a reward model, and its head is read before every token of the answer. The term with kappa is
an extension, off by default: KL as a loss, as in GRPO (arXiv:2402.03300), in place of or beside KL in the reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Float
from ...config import ModelConfig
from ...layers.cross_entropy import losses_in_place
from ...model import backbone_backward, backbone_forward
from ...ops import FAST, Ops
from ...params import Params
from ...training.gradients import Sums, sums_and_gradients
from ..reward import RewardModel
from ..rollouts import logprobs_of_rows
from .advantages import Mask, k3, k3_slope
from .experience import Experience


class ActorCritic(NamedTuple):
    """A tree: what answers, and what expects how good the answer will be."""

    policy: Params
    value: RewardModel


def policy_loss(logprobs: Float, old: Float, advantages: Float, clip: float) -> tuple[Float, Float, Mask]:
    """Loss of every token, its derivative by the log-probability, and which tokens are clipped."""
    ratio = np.exp(logprobs - old)
    free, held = -advantages * ratio, -advantages * np.clip(ratio, 1 - clip, 1 + clip)
    clipped = held > free
    return np.maximum(free, held), np.where(clipped, 0, free), clipped


def value_loss(values: Float, old: Float, returns: Float, clip: float) -> tuple[Float, Float, Mask]:
    """Loss of every value, its derivative by the value, and which are clipped."""
    held = np.clip(values, old - clip, old + clip)
    free_error, held_error = values - returns, held - returns
    clipped = held_error**2 > free_error**2
    return 0.5 * np.maximum(free_error**2, held_error**2), np.where(clipped, 0, free_error), clipped


@dataclass(frozen=True)
class PPOObjective:
    """Sums over tokens of `Experience`.

    "loss" and "count"; of it "policy_loss" and "value_loss"; "entropy" in nats, "clipped" and "value_clipped" tokens,
    "approx_kl": half the squared change of the log-probability since the answers were sampled.

    Attributes
    ----------
    config, value_config : ModelConfig
    temperature : float
    clip, value_clip, value_coefficient : float
    kl_loss : float
        Kappa.
    recompute : bool
        See `model.backbone_forward`.
    """

    config: ModelConfig
    value_config: ModelConfig
    temperature: float = 1.0
    clip: float = 0.2
    value_clip: float = 0.2
    value_coefficient: float = 0.1
    kl_loss: float = 0.0
    recompute: bool = False

    def __call__(self, model: ActorCritic, batch: Experience, ops: Ops = FAST) -> tuple[Sums, ActorCritic]:
        sums, policy = self.policy_gradients(model.policy, batch, ops)
        value_sums, value = ValueObjective(self.value_config, self.value_clip, self.value_coefficient, self.recompute)(
            model.value, batch, ops
        )
        value_sums["loss"], value_sums["count"] = sums["loss"] + value_sums["loss"], sums["count"]
        return sums | value_sums, ActorCritic(policy, value)

    def policy_gradients(self, policy: Params, batch: Experience, ops: Ops = FAST) -> tuple[Sums, Params]:
        """The sums and gradients of the policy alone."""
        tokens, learned, targets = batch.rows()
        old, reference, advantages = (batch.flat(name) for name in ("logprobs", "reference", "advantages"))

        def of_rows(logits: Float, rows: slice) -> tuple[Sums, Float]:
            logits /= logits.dtype.type(self.temperature)
            before = logits.copy()
            logprobs = -losses_in_place(logits, targets[rows])
            entropy = -logprobs - np.einsum("nv,nv->n", logits, before)  # logits are p - onehot now
            losses, slope, clipped = policy_loss(logprobs, old[rows], advantages[rows], self.clip)
            sums = {
                "loss": _sum(losses) + self.kl_loss * _sum(k3(logprobs, reference[rows])),
                "policy_loss": _sum(losses),
                "count": float(len(losses)),
                "entropy": _sum(entropy),
                "clipped": float(np.count_nonzero(clipped)),
                "approx_kl": _sum((logprobs - old[rows]) ** 2) / 2,
            }
            slope = slope + self.kl_loss * k3_slope(logprobs, reference[rows])
            logits *= (-slope / self.temperature).astype(logits.dtype)[:, None]
            return sums, logits

        return sums_and_gradients(
            policy, self.config, tokens, of_rows, learned=learned, ops=ops, recompute=self.recompute
        )


@dataclass(frozen=True)
class ValueObjective:
    """The value network's part: sums over the tokens of `Experience` of "value_loss", "loss" and what was clipped."""

    config: ModelConfig
    clip: float = np.inf
    coefficient: float = 1.0
    recompute: bool = False

    def __call__(self, model: RewardModel, batch: Experience, ops: Ops = FAST) -> tuple[Sums, RewardModel]:
        tokens, learned, _ = batch.rows()
        h, saved = backbone_forward(model.backbone, self.config, tokens, ops, recompute=self.recompute)
        h_learned = h.reshape(-1, h.shape[-1])[learned]
        losses, slope, clipped = value_loss(
            h_learned @ model.head, batch.flat("values"), batch.flat("returns"), self.clip
        )
        dvalues = (self.coefficient * slope).astype(h.dtype, copy=False)
        dh = np.zeros_like(h)
        dh.reshape(-1, h.shape[-1])[learned] = dvalues[:, None] * model.head
        sums = {
            "loss": self.coefficient * _sum(losses),
            "value_loss": _sum(losses),
            "count": float(len(losses)),
            "value_clipped": float(np.count_nonzero(clipped)),
        }
        return sums, RewardModel(backbone_backward(dh, saved, ops), dvalues @ h_learned)


# --- without gradients: what is known of answers before an update --------------------------


def experience_logprobs(
    params: Params, config: ModelConfig, batch: Experience, temperature: float, ops: Ops = FAST
) -> Float:
    """Log-probability of every token of the answers, one after the other, by the arithmetic of the objective."""
    return logprobs_of_rows(params, config, *batch.rows(), temperature, ops)[0]


def experience_values(model: RewardModel, config: ModelConfig, batch: Experience, ops: Ops = FAST) -> Float:
    """The value before every token of the answers, one after the other."""
    tokens, learned, _ = batch.rows()
    h, _ = backbone_forward(model.backbone, config, tokens, ops, recompute=True)
    return h.reshape(-1, h.shape[-1])[learned] @ model.head


def _sum(values: Float) -> float:
    return float(values.sum(dtype=np.float64))
