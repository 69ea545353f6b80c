"""PPO as a stage of the trainer (LLaMA 2 section 3.2.3).

    iteration i:    sample answers, score them, log pi, log pi_0, V, advantages         -> RUN/rollouts, then
    its n steps:    one mini-batch each, one gradient step

The rollout of an iteration depends on the weights at its beginning, and is on the disk before they change: a run that
was killed anywhere goes on to the same bits. A checkpoint in the middle of an iteration keeps its rollout alive.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence

import numpy as np

from ...config import ModelConfig
from ...params import empty_params
from ...training.gradients import Sums
from ...training.objectives import shares
from ...training.run_folder import RunError, RunFolder
from ...training.stage import Row
from ...training.workers import Workers
from ...trees import digest_of_tree, map_tree
from ..models import ChatModel, Prompt
from ..reward import RewardModel
from ..stage import AlignmentStage
from .collection import Collected, Collector
from .experience import Experience
from .objective import ActorCritic, PPOObjective
from .reward import Scoring
from .rollout_files import RolloutFiles
from .settings import PPOSettings
from .validation import Validation, ValidationFiles, best_of, evaluation_of, has_peaked

_STREAM = 0  # of the seed
OF_STEP = ("loss", "policy_loss", "value_loss", "entropy", "clipped", "value_clipped", "approx_kl")
OF_ITERATION = ("reward", "helpfulness", "safety", "by_safety", "gated", "kl", "k3", "explained", "length", "ended")
SECONDS = ("seconds.sampling", "seconds.scoring", "seconds.policy", "seconds.reference", "seconds.update")
"""Of an iteration: answers, their scores, policy and values before the first update, the reference, all its updates."""


class PPO(AlignmentStage):
    """A policy and its value network.

    Parameters
    ----------
    model : ChatModel
        Where the policy starts, and the reference; not changed.
    value : RewardModel
        Where the value network starts (`warmup.py`); not changed.
    prompts : sequence of Prompt
    scoring : Scoring
    settings : PPOSettings
    folder : RunFolder
    validation : Validation, optional
        Without it the run does not stop by itself.
    value_config : ModelConfig, optional
        Where the value network has another shape than the policy.
    progress : callable, optional
        Told (answers done, answers in all) while they are sampled.
    """

    def __init__(
        self,
        model: ChatModel,
        value: RewardModel,
        prompts: Sequence[Prompt],
        scoring: Scoring,
        settings: PPOSettings,
        folder: RunFolder,
        *,
        validation: Validation | None = None,
        value_config: ModelConfig | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        every = settings.evaluate_every * settings.mini_batches
        plain = settings.of_stage("ppo", steps=settings.steps, rate=settings.learning_rate, checkpoint_every=every)
        super().__init__(plain, model.config, model.tokenizer)
        self.ppo, self.value_config = settings, value_config or model.config
        self._start = ActorCritic(model.params, value)
        self.collector = Collector(model, self.value_config, prompts, scoring, settings, progress)
        self.objective = PPOObjective(
            model.config, self.value_config, settings.temperature, settings.clip, settings.value_clip,
            settings.value_coefficient, settings.kl_loss, settings.recompute,
        )  # fmt: skip
        kinds = sorted({prompt.kind for prompt in prompts})
        self.columns = (
            "step", "iteration", *OF_STEP, *OF_ITERATION, *(f"advantage.{kind}" for kind in kinds),
            "validation", "validation_reward", "validation_kl", "validation_loss",
            "learning_rate", "gradient_norm", *SECONDS, "seconds",
        )  # fmt: skip
        self.fingerprints = {"first model": digest_of_tree(self._start), "prompts": _digest_of_prompts(prompts)}
        if validation is not None:
            self.fingerprints |= {"validation prompts": _digest_of_prompts(validation.prompts)}
        self.seeds = {"rollouts": settings.seed}
        self._folder, self._validation = folder, validation
        self.rollouts = RolloutFiles(folder.file("rollouts"))
        self.looks = ValidationFiles(folder.file("validation"))
        self._step, self._iteration = 0, 0
        self._collected: Collected | None = None
        self._updating = self._beginning = 0.0  # seconds of this iteration's updates, and before the first of them

    def start(self) -> ActorCritic:
        return map_tree(lambda array: array.copy(), self._start)

    def pattern(self) -> ActorCritic:
        head = np.broadcast_to(np.float32(0), (self.value_config.dim,))
        return ActorCritic(empty_params(self.config), RewardModel(empty_params(self.value_config), head))

    def rate_factor(self, name: str) -> float:
        return self.ppo.value_rate_factor if name.startswith("value.") else 1.0

    def place_of(self, step: int) -> tuple[int, int]:
        """Iteration, from 1, and number of the mini-batch, from 0, of a step."""
        iteration, part = divmod(step - 1, self.ppo.mini_batches)
        return iteration + 1, part

    # --- what a step learns from ---------------------------------------------------------

    def batch(self, step: int, model: ActorCritic) -> Experience:
        iteration, part = self.place_of(step)
        if part == 0:
            since = time.perf_counter()
            self._begin(iteration, model)
            self._updating, self._beginning = 0.0, time.perf_counter() - since
        elif self._iteration != iteration:
            self._collected = self.rollouts.read(iteration)
            self._iteration = iteration
        if self._collected is None:
            raise RunError(
                f"{self.rollouts.path(iteration)} is missing or damaged, and an iteration that has begun cannot be "
                f"sampled again from later weights: delete the checkpoint of step {step - 1}, and the run goes on from "
                "the one before"
            )
        return self._collected.experience.taken(shares(self.ppo.batch, self.ppo.mini_batches)[part])

    def _begin(self, iteration: int, model: ActorCritic) -> None:
        """Find or make the rollout of an iteration."""
        if iteration == 1 and self.looks.read(0) is None:
            self._look(0, model)
        digest = digest_of_tree(model)
        collected = self.rollouts.read(iteration, digest)
        if collected is None:
            seed, journal = [self.ppo.seed, _STREAM, iteration], self.rollouts.journal(iteration, digest)
            collected = self.collector.collect(model, seed, journal)
            self.rollouts.write(iteration, digest, collected)
        self._iteration, self._collected = iteration, collected
        self.rollouts.prune(self._needed(), iteration)

    def _needed(self) -> set[int]:
        """Iterations that a checkpoint stands in the middle of."""
        steps = [saved.step for saved in self._folder.saved()]
        return {self.place_of(step + 1)[0] for step in steps if self.place_of(step + 1)[1]}

    # --- what it tells ---------------------------------------------------------------------

    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        iteration, part = self.place_of(step)
        row: Row = {"iteration": iteration}
        row |= {name: sums[name] / max(1.0, sums["count"]) for name in OF_STEP}
        self._step, self._updating = step, self._updating + seconds - (0.0 if part else self._beginning)
        if part == self.ppo.mini_batches - 1 and self._collected is not None:
            row |= self._collected.figures | {"seconds.update": self._updating}
            row |= {name: round(row[name], 3) for name in SECONDS if name in row}
        return row

    def evaluate(self, model: ActorCritic, workers: Workers) -> Row:
        """A look at the validation requests, at the end of every few iterations."""
        if self._validation is None or not self._at_look():
            return {}
        figures = self._look(self._iteration, model)
        return {
            "validation": figures["judged"],
            "validation_reward": figures["reward"],
            "validation_kl": figures["kl"],
            "validation_loss": 0.0 - figures["judged"],
        }

    def _at_look(self) -> bool:
        iteration, part = self.place_of(self._step + 1)
        return part == 0 and ((iteration - 1) % self.ppo.evaluate_every == 0 or self._step == self.ppo.steps)

    def _look(self, iteration: int, model: ActorCritic) -> dict[str, float]:
        if self._validation is None:
            return {}
        first = self.looks.read(0) if iteration else None
        found = evaluation_of(
            self._validation, self.collector, model.policy, iteration, None if first is None else first.answers
        )
        self.looks.write(found)
        return found.figures

    def has_peaked(self) -> bool:
        """What `train` asks as `stop`: whether this step's look was the last that patience allows."""
        return self._at_look() and self.had_peaked_at(self._step)

    def had_peaked_at(self, step: int) -> bool:
        """Whether the run ended by itself after a step."""
        judged = [look.figures["judged"] for look in self.looks.history(step // self.ppo.mini_batches)]
        return has_peaked(judged, self.ppo.patience)

    def best_iteration(self, last: int) -> int:
        """The iteration of the best look up to one, 0 where that is the start; without looks the last."""
        history = self.looks.history(last)
        return history[best_of([look.figures["judged"] for look in history])].iteration if history else last


def _digest_of_prompts(prompts: Sequence[Prompt]) -> str:
    told = [(prompt.id, prompt.dialogue, prompt.kind, prompt.tagged) for prompt in prompts]
    return hashlib.sha256(repr(told).encode()).hexdigest()
