"""The settings of PPO: the paper's, and those of a model of a few million parameters.

| | 7B, 13B | 34B, 70B | scaled |
|---|---|---|---|
| answers an iteration, mini-batches | 512, 8 of 64 | the same | 96, 4 of 24 |
| learning rate, constant | 1e-6 | 1e-6 | 1.5e-4 |
| beta | 0.01 | 0.005 | 0.05 |
| clip | 0.2 | 0.2 | 0.2 |
| iterations, at most | 400 | 400 | 60 |

One gradient step for each mini-batch, AdamW (0.9, 0.95, 1e-5) with weight decay 0.1, clipping at 1 (section 3.2.3).
Not in the paper (unconfirmed): temperature, length of answers, gamma, lambda, everything about the value network.

Why the scaled ones differ: a rate of 1e-6 moves a small model by nothing in an hour, and small models are trained at
rates a hundred times as high in all stages; with that a small beta holds nothing. In a prototype at .02 the whole KL
term was .13 where rewards deviate by 1, and the true reward fell from the tenth iteration on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ..stage import AlignmentSettings, settings_of
from .reward import GATE


@dataclass(frozen=True, kw_only=True)
class PPOSettings:
    """Everything that decides what a run does, but for models, prompts and scores.

    Attributes
    ----------
    iterations : int
        At most; validation ends a run before (200 to 400 in the paper).
    batch, mini_batches : int
        Answers of an iteration, and gradient steps that they are cut into.
    learning_rate, weight_decay : float
    beta : float
        Price of KL in the reward.
    clip, gate : float
    temperature : float
        Of sampling, and of the log-probabilities.
    max_tokens : int
        Of an answer.
    mix : mapping of str to float, optional
        Shares of the kinds of prompts; even by default.
    gamma, lam, value_coefficient, value_clip : float
        As in objective.py and advantages.py.
    kl_loss : float
        KL as a loss beside that in the reward; an extension.
    value_rate_factor : float
        What the learning rate of the value network is multiplied by.
    evaluate_every, patience : int
        Iterations between two looks at the validation prompts, and how many without improvement end the run.
    warmup_iterations, warmup_passes : int
        Of the value network alone, at most; and gradient steps over the same answers.
    warmup_rate : float
        Its learning rate in them.
    explained : float
        Share of the variance of the returns that it is to explain before PPO begins.
    go_on : bool
        Whether PPO begins all the same where it does not.
    seed : int
    recompute : bool
        See `model.backbone_forward`.
    """

    iterations: int = 400
    batch: int = 512
    mini_batches: int = 8
    learning_rate: float = 1e-6
    weight_decay: float = 0.1
    beta: float = 0.01
    clip: float = 0.2
    gate: float = GATE
    temperature: float = 1.0
    max_tokens: int = 512
    mix: Mapping[str, float] | None = None
    gamma: float = 1.0
    lam: float = 0.95
    value_coefficient: float = 0.1
    value_clip: float = 0.2
    kl_loss: float = 0.0
    value_rate_factor: float = 1.0
    evaluate_every: int = 10
    patience: int = 3
    warmup_iterations: int = 20
    warmup_passes: int = 1
    warmup_rate: float = 1e-5
    explained: float = 0.5
    go_on: bool = False
    seed: int = 0
    recompute: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.mini_batches <= self.batch:
            raise ValueError(f"mini_batches must be from 1 to batch ({self.batch}), got {self.mini_batches}")
        for name in ("iterations", "evaluate_every", "patience", "max_tokens", "warmup_passes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("learning_rate", "temperature", "clip", "value_clip", "warmup_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def steps(self) -> int:
        """Gradient steps of PPO."""
        return self.iterations * self.mini_batches

    def of_stage(self, name: str, *, steps: int, rate: float, checkpoint_every: int) -> AlignmentSettings:
        """What the trainer is told; the rate is constant."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ELSEWHERE}
        if self.mix:
            values |= {"mix_kinds": list(self.mix), "mix_shares": [float(share) for share in self.mix.values()]}
        return settings_of(
            name,
            steps=steps,
            peak=rate,
            warmup_fraction=0.0,
            final_fraction=1.0,
            weight_decay=self.weight_decay,
            checkpoint_every=checkpoint_every,
            seed=self.seed,
            **values,
        )


# In tables of the trainer's, harmless to change, or no plain value.
_ELSEWHERE = ("iterations", "learning_rate", "weight_decay", "patience", "mix", "seed", "recompute", "go_on")

PAPER = {
    "7B": PPOSettings(),
    "13B": PPOSettings(),
    "34B": PPOSettings(beta=0.005),
    "70B": PPOSettings(beta=0.005),
}

SCALED = PPOSettings(
    iterations=60,
    batch=96,
    mini_batches=4,
    learning_rate=1.5e-4,
    beta=0.05,
    temperature=0.9,
    max_tokens=160,
    evaluate_every=5,
    patience=3,
    warmup_iterations=8,
    warmup_passes=2,
    warmup_rate=3e-4,
    go_on=True,
)
