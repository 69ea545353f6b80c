"""The value network alone, before PPO: answers of a policy that stands still, and what they brought.

    G_t = the whitened score of the answer (gamma = 1, no KL yet)         L = 1/2 mean (V_t - G_t)**2
    explained variance = 1 - Var(G - V) / Var(G)

It begins as a reward model, which was trained to be read after the last token of an answer only, and at another scale;
a value network that knows nothing makes every advantage a noisy copy of the reward. So it is trained until it explains
half of the variance, measured on answers that it has not learned from: at the beginning of each iteration. All this is
unconfirmed: the paper does not say where its value network comes from.

Answers do not depend on what is learned here: an iteration that was cut off is sampled again, and gives the same.
"""

from __future__ import annotations

import numpy as np

from ...params import empty_params
from ...training.gradients import Sums
from ...training.metrics import read_metrics
from ...training.objectives import shares
from ...training.run_folder import RunFolder
from ...training.stage import Row
from ...trees import digest_of_tree, map_tree
from ..reward import RewardModel
from ..stage import AlignmentStage
from .collection import Collected, Collector
from .experience import Experience
from .objective import ValueObjective
from .rollout_files import RolloutFiles

_STREAM = 1  # of the seed


class ValueWarmUp(AlignmentStage):
    """The value network of PPO, from a reward model.

    Parameters
    ----------
    value : RewardModel
        Where it starts; not changed.
    collector : Collector
        Of the PPO run.
    folder : RunFolder
    """

    columns = (
        "step", "iteration", "loss", "explained", "reward", "helpfulness", "safety", "by_safety", "gated", "length",
        "ended", "learning_rate", "gradient_norm", "seconds",
    )  # fmt: skip

    def __init__(self, value: RewardModel, collector: Collector, folder: RunFolder) -> None:
        settings = collector.settings
        self.steps_each = settings.mini_batches * settings.warmup_passes
        plain = settings.of_stage(
            "value_warmup",
            steps=settings.warmup_iterations * self.steps_each,
            rate=settings.warmup_rate,
            checkpoint_every=self.steps_each,
        )
        super().__init__(plain, collector.value_config, collector.model.tokenizer)
        self.collector, self._start = collector, value
        self.objective = ValueObjective(collector.value_config, recompute=settings.recompute)
        self.fingerprints = {"first model": digest_of_tree((collector.model.params, value))}
        self.seeds = {"rollouts": settings.seed}
        self._rollouts = RolloutFiles(folder.file("rollouts"))
        self._folder, self._iteration, self._explained = folder, 0, -np.inf
        self._collected: Collected | None = None

    def start(self) -> RewardModel:
        return map_tree(lambda array: array.copy(), self._start)

    def pattern(self) -> RewardModel:
        head = np.broadcast_to(np.float32(0), (self.config.dim,))
        return RewardModel(empty_params(self.config), head)

    def batch(self, step: int, model: RewardModel) -> Experience:
        iteration, part = divmod(step - 1, self.steps_each)
        settings = self.collector.settings
        if self._iteration != iteration + 1:
            self._iteration = iteration + 1
            self._collected = self._found(model, fresh=part == 0)
            if part == 0:
                self._explained = self._collected.figures["explained"]
        assert self._collected is not None
        cut = shares(settings.batch, settings.mini_batches)
        return self._collected.experience.taken(cut[part % settings.mini_batches])

    def _found(self, model: RewardModel, fresh: bool) -> Collected:
        """The iteration's answers; fresh ones with this model's values, by which it is measured."""
        digest = digest_of_tree(model)
        collected = self._rollouts.read(self._iteration, digest if fresh else None)
        if collected is None:
            seed = [self.collector.settings.seed, _STREAM, self._iteration]
            journal = self._rollouts.journal(self._iteration, digest)
            collected = self.collector.collect_values(model, seed, journal)
            self._rollouts.write(self._iteration, digest, collected)
            self._rollouts.prune((), self._iteration)
        return collected

    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        row: Row = {"iteration": self._iteration, "loss": sums["loss"] / max(1.0, sums["count"])}
        if (step - 1) % self.steps_each == 0 and self._collected is not None:
            row |= {name: self._collected.figures[name] for name in self.columns if name in self._collected.figures}
        return row

    def is_enough(self) -> bool:
        """What `train` asks as `stop`: whether the last fresh answers were explained well enough."""
        return self._explained >= self.collector.settings.explained

    def explained(self, step: int) -> list[float]:
        """What was explained of each iteration's fresh answers, up to a step of the run in the folder."""
        return [
            row["explained"] for row in read_metrics(self._folder.path) if row["step"] <= step and "explained" in row
        ]
