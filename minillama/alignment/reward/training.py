"""Training a reward model: batches of pairs over the one trainer (LLaMA 2 sections 3.2.2 and A.3.1 to A.3.4).

                 pairs a step   peak rate                     epochs   margin   auxiliary
    paper        512            1e-5, 5e-6 for 70B            1        ?        ?            cosine to a tenth, warm-up
    story        32             4e-4 helpful, 5e-4 safe       1, 2     small    0, 1         3 %, at least 5 steps

One epoch, as more over-fits. Which margins the published models had, and the weight of the safety model's auxiliary
loss, are unconfirmed ("?"): the presets take the small ones, and a weight of 1 for safety. The scaled preset has a
smaller batch, to have 100 steps and more of some thousand pairs, and a rate higher by as much as small models learn
faster; a safety model of one epoch gave no score below the gate's 0.15, hence two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...params import Params
from ...tokenizers import Tokenizer
from ...training.gradients import Sums
from ...training.objectives import shares
from ...training.stage import Row
from ...training.workers import Workers
from ...trees import digest_of_tree, map_tree
from ..stage import AlignmentStage, settings_of
from .frozen import FrozenBelow
from .model import RewardModel, reward_model, reward_pattern
from .objective import MARGINS, Pairs, Preference
from .scorer import pair_scores
from .token_pairs import TokenPair, batch_of, fingerprint


@dataclass(frozen=True, kw_only=True)
class RewardSettings:
    """How a reward model is trained; the defaults are the paper's.

    Attributes
    ----------
    name : str
        "helpfulness" or "safety": stands in the run's config.toml.
    peak : float
        Learning rate after the warm-up.
    batch_size : int
        Pairs of a step.
    epochs : int
        Times that every pair is seen.
    margin : str
        A variant of MARGINS.
    auxiliary : float
        Weight of the auxiliary loss of safety.
    micro_batches : int
        Parts that every thread computes its share of a batch in, to save memory.
    recompute : bool
        Keep only the input of every block, and run it again: a third more work, far less memory.
    checkpoint_every, validate_every, seed : int
    """

    name: str = "helpfulness"
    peak: float = 1e-5
    batch_size: int = 512
    epochs: int = 1
    margin: str = "small"
    auxiliary: float = 0.0
    micro_batches: int = 1
    recompute: bool = False
    checkpoint_every: int = 100
    validate_every: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.margin not in MARGINS:
            raise ValueError(f"margin should be one of {', '.join(MARGINS)}, got {self.margin!r}")
        if self.batch_size < 1 or self.epochs < 1 or self.micro_batches < 1:
            raise ValueError(
                f"batch_size, epochs and micro_batches should be 1 or more, got {self.batch_size}, {self.epochs}, "
                f"{self.micro_batches}"
            )
        if not self.peak > 0 or not self.auxiliary >= 0:
            raise ValueError(f"peak should be above 0 and auxiliary not below, got {self.peak}, {self.auxiliary}")


def paper_settings(size: str = "7B", kind: str = "helpfulness", **changed: Any) -> RewardSettings:
    """Those of the paper for a model of this size; `kind` "safety" has the auxiliary loss."""
    peak = 5e-6 if size == "70B" else 1e-5
    return RewardSettings(**{"name": kind, "peak": peak, "auxiliary": float(kind == "safety"), **changed})


def story_settings(kind: str = "helpfulness", **changed: Any) -> RewardSettings:
    """Those scaled down to a model of some million parameters and some thousand pairs."""
    own = {"peak": 5e-4, "epochs": 2, "auxiliary": 1.0} if kind == "safety" else {"peak": 4e-4}
    return RewardSettings(**{"name": kind, "batch_size": 32, **own, **changed})


class RewardTraining(AlignmentStage):
    """A reward model from the backbone of a chat model.

    Parameters
    ----------
    settings : RewardSettings
    params : Params
        Of the chat model; not changed.
    config : ModelConfig
    tokenizer : Tokenizer
        Kept beside every checkpoint.
    pairs : sequence of TokenPair
    validation : sequence of TokenPair
        Held out, for "validation_loss" and "validation_accuracy".
    frozen : FrozenBelow, optional
        Train its upper part alone; pairs are then those that its `states` gave, and so is the model's tree.
    first : RewardModel, optional
        Go on from this one, not changed, in place of `params` and a head of zeros.

    Raises
    ------
    ValueError
        When there are no pairs, some have no hidden states and others do, they do not fit the model, or the auxiliary
        loss has nothing to learn from.
    """

    objective: Preference
    columns = (
        "step",
        "loss",
        "ranking",
        "accuracy",
        "auxiliary",
        "safety_accuracy",
        "learning_rate",
        "gradient_norm",
        "pairs",
        "tokens_per_second",
        "seconds",
        "validation_loss",
        "validation_accuracy",
    )

    def __init__(
        self,
        settings: RewardSettings,
        params: Params,
        config: ModelConfig,
        tokenizer: Tokenizer,
        pairs: Sequence[TokenPair],
        validation: Sequence[TokenPair] = (),
        frozen: FrozenBelow | None = None,
        first: RewardModel | None = None,
    ) -> None:
        _check(pairs, validation, config, frozen is not None)
        if settings.auxiliary and all(np.isnan(pair.safe).all() for pair in pairs):
            raise ValueError(f"auxiliary is {settings.auxiliary:g}, and no pair says what is safe: set it to 0")
        values = asdict(settings)
        own = {key: values.pop(key) for key in ("name", "peak", "checkpoint_every", "validate_every", "seed")}
        harmless = {key: values.pop(key) for key in ("micro_batches", "recompute")}
        steps = -(-len(pairs) * settings.epochs // settings.batch_size)
        values |= {"trained_layers": None if frozen is None else frozen.n_trained}
        super().__init__(
            settings_of(own.pop("name"), steps=steps, **own, **values),
            config if frozen is None else frozen.upper_config,
            tokenizer,
        )
        self.reward, self.pairs, self.validation = settings, list(pairs), list(validation)
        self.micro_batches = harmless["micro_batches"]
        self.objective = Preference(self.config, settings.auxiliary, harmless["recompute"])
        self.fingerprints = {"pairs": fingerprint(pairs), "validation": fingerprint(validation)}
        if first is not None:
            self.fingerprints["first model"] = digest_of_tree(first)
        self._params, self._frozen, self._first = params, frozen, first

    def start(self) -> RewardModel:
        if self._frozen is not None:
            return self._frozen.upper()
        if self._first is not None:
            return map_tree(np.copy, self._first)
        return reward_model(map_tree(np.copy, self._params))

    def pattern(self) -> RewardModel:
        return reward_pattern(self.config)

    def order(self, epoch: int) -> np.ndarray:
        """The pairs' order in an epoch, from 0."""
        return np.random.default_rng([self.settings.run.seed, epoch]).permutation(len(self.pairs))

    def of_step(self, step: int) -> list[TokenPair]:
        """The pairs of a step, from 1: the epochs one after the other, cut into steps of the same size within one."""
        total, n = len(self.pairs) * self.reward.epochs, self.settings.run.steps
        cut = shares(total, n)[(step - 1) % n]
        orders = {epoch: self.order(epoch) for epoch in range(self.reward.epochs)}
        return [self.pairs[orders[i // len(self.pairs)][i % len(self.pairs)]] for i in range(cut.start, cut.stop)]

    def batch(self, step: int, model: RewardModel) -> Pairs:
        return batch_of(self.of_step(step), self.reward.margin)

    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        n = sums["count"]
        row: Row = {"loss": sums["loss"] / n, "ranking": sums["ranking"] / n, "accuracy": sums["right"] / n}
        if sums.get("labelled"):
            row |= {
                "auxiliary": sums["auxiliary"] / sums["labelled"],
                "safety_accuracy": sums["told"] / sums["labelled"],
            }
        return row | {"pairs": int(n), "tokens_per_second": round(sums["tokens"] / seconds)}

    def evaluate(self, model: RewardModel, workers: Workers) -> Row:
        if not self.validation:
            return {}
        scores = pair_scores(model, self.config, self.validation, workers)
        sums, _ = self.objective.of_scores(scores, batch_of(self.validation, self.reward.margin))
        n = sums["count"]
        return {"validation_loss": sums["loss"] / n, "validation_accuracy": sums["right"] / n}


def _check(pairs: Sequence[TokenPair], validation: Sequence[TokenPair], config: ModelConfig, is_partial: bool) -> None:
    if not pairs:
        raise ValueError("there are no pairs to learn from")
    for name, some in (("pair", pairs), ("validation pair", validation)):
        for i, pair in enumerate(some):
            if (pair.below is not None) != is_partial:
                expected = "those that FrozenBelow.states gave" if is_partial else "no hidden states without frozen="
                raise ValueError(f"{name} {i}: expected {expected}")
            longest = max(len(pair.chosen), len(pair.rejected))
            if longest > config.max_seq_len:
                raise ValueError(
                    f"{name} {i} has {longest} tokens, more than the context of {config.max_seq_len}: leave it out "
                    "(token_pairs(max_tokens=…)) or take a longer one"
                )
