"""One iteration's experience: sample, score, and what policy, reference and value network say of every token.

    prompts -> answers -> scores of both reward models -> R_c
    log pi, log pi_0, V of every token of the answers       -> rewards, advantages, returns
    rows in mini-batches, each sorted by length

Answers are drawn by the batched sampler, which may multiply in integers: what it says of its tokens is not used. Their
log-probabilities are computed again by the arithmetic that the update has, at the temperature of sampling, in the same
parts on the same threads. So ratio and KL begin at exactly 1 and 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...compute.array_types import Float
from ...compute.threads import threads_in_use
from ...config import ModelConfig
from ...params import Params
from ...training.objectives import shares
from ...training.workers import Workers
from ...trees import Tree
from ..conversations import answered
from ..models import ChatModel, Prompt
from ..reward import RewardModel
from ..rollouts import Answer, answer_logprobs, sample_answers
from .advantages import explained_variance, gae, k1, k3, whitened
from .experience import Experience, blank
from .objective import ActorCritic, experience_logprobs, experience_values
from .prompts import draw_prompts
from .reward import Combined, Scoring, combined, token_rewards
from .settings import PPOSettings

Figures = dict[str, float]


class Collected(NamedTuple):
    """Experience of an iteration, the answers in its order, and figures of it."""

    experience: Experience
    answers: Sequence[Answer]
    figures: Figures


class Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: Figures = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """What has passed since the last lap belongs to `name`."""
        now = time.perf_counter()
        name = f"seconds.{name}"
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._since
        self._since = now


@dataclass(frozen=True)
class Collector:
    """What makes experience, the weights apart.

    Attributes
    ----------
    model : ChatModel
        With the reference's weights.
    value_config : ModelConfig
    prompts : sequence of Prompt
    scoring : Scoring
    settings : PPOSettings
    progress : callable, optional
        Told (answers done, answers in all) while they are sampled.
    """

    model: ChatModel
    value_config: ModelConfig
    prompts: Sequence[Prompt]
    scoring: Scoring
    settings: PPOSettings
    progress: Callable[[int, int], None] | None = None

    def collect(self, model: ActorCritic, seed: Sequence[int], journal: Path | None = None) -> Collected:
        """Experience of a policy, a function of weights and seed; answers that end are kept in a journal."""
        settings, clock = self.settings, Clock()
        prompts = draw_prompts(self.prompts, settings.batch, settings.mix, seed)
        answers = self.sampled(model.policy, prompts, seed, journal)
        clock.lap("sampling")
        answers, parts = arranged(answers, settings.mini_batches, seed)
        raw, scores = self.scored(answers, prompts)
        clock.lap("scoring")
        experience = _blank(answers)
        with Workers(threads_in_use()) as workers:
            experience = self._measured(experience, "logprobs", model.policy, model, parts, workers)
            clock.lap("policy")
            experience = self._measured(experience, "reference", self.model.params, model, parts, workers)
            clock.lap("reference")
            experience = self._valued(experience, model.value, model, parts, workers)
            clock.lap("policy")
        kl = k1(experience.logprobs, experience.reference)
        rewards = token_rewards(scores.scores, kl.astype(np.float64), experience.mask, settings.beta)
        experience, explained = with_advantages(experience, rewards, settings.gamma, settings.lam)
        figures = reward_figures(raw, scores) | kl_figures(experience) | {"explained": explained}
        figures |= _by_kind(experience, answers, {prompt.id: prompt.kind for prompt in self.prompts})
        return Collected(experience, answers, figures | _lengths(answers) | clock.seconds)

    def collect_values(self, value: RewardModel, seed: Sequence[int], journal: Path | None = None) -> Collected:
        """Experience of the reference for the value network alone: what the answers brought, nothing in its place."""
        settings, clock = self.settings, Clock()
        prompts = draw_prompts(self.prompts, settings.batch, settings.mix, seed)
        answers = self.sampled(self.model.params, prompts, seed, journal)
        clock.lap("sampling")
        answers, parts = arranged(answers, settings.mini_batches, seed)
        raw, scores = self.scored(answers, prompts)
        clock.lap("scoring")
        with Workers(threads_in_use()) as workers:
            experience = self._valued(_blank(answers), value, value, parts, workers)
        clock.lap("policy")
        rewards = token_rewards(scores.scores, np.zeros(experience.mask.shape), experience.mask, 0.0)
        experience, explained = with_advantages(experience, rewards, settings.gamma, lam=1.0)
        figures = reward_figures(raw, scores) | {"explained": explained}
        return Collected(experience, answers, figures | _lengths(answers) | clock.seconds)

    def sampled(
        self, policy: Params, prompts: Sequence[Prompt], seed: Sequence[int], journal: Path | None = None
    ) -> list[Answer]:
        """An answer to each prompt."""
        drawn = sample_answers(
            replace(self.model, params=policy),
            prompts,
            temperature=self.settings.temperature,
            seed=int(np.random.SeedSequence(list(seed)).generate_state(1)[0]),
            max_tokens=self.settings.max_tokens,
            journal=journal,
            progress=self.progress,
        )
        return [one for (one,) in drawn]

    def scored(
        self, answers: Sequence[Answer], prompts: Sequence[Prompt]
    ) -> tuple[tuple[Float, Float | None], Combined]:
        """What both models give the answers, and what becomes of it."""
        tagged = {prompt.id: prompt.tagged for prompt in prompts}
        raw = self.scoring.of([(*answer.prompt, *answer.ids) for answer in answers])
        is_tagged = np.array([tagged[answer.prompt_id] for answer in answers], bool)
        return raw, combined(*raw, is_tagged, self.scoring.centres, self.settings.gate)

    def divergence(self, policy: Params, answers: Sequence[Answer]) -> Figures:
        """KL of a policy from its reference, estimated from answers that it gave."""
        conversations = [answered(answer.prompt, answer.ids) for answer in answers]
        found = {}
        for name, params in (("logprobs", policy), ("reference", self.model.params)):
            found[name] = answer_logprobs(
                params, self.model.config, conversations, self.settings.temperature, threads=threads_in_use()
            )
        pairs = zip(found["logprobs"], found["reference"], strict=True)
        sums = [[estimate(a, b).sum(dtype=np.float64) for estimate in (k1, k3)] for a, b in pairs]
        kl, third = np.mean(sums, axis=0)
        return {"kl": float(kl), "k3": float(third)}

    def _measured(
        self, known: Experience, name: str, params: Params, tree: Tree, parts: Sequence[slice], workers: Workers
    ) -> Experience:
        """With the log-probabilities that a policy gives the answers."""

        def logprobs(part: Experience) -> Float:
            return experience_logprobs(params, self.model.config, part, self.settings.temperature)

        return _filled(known, name, logprobs, tree, parts, workers)

    def _valued(
        self, known: Experience, value: RewardModel, tree: Tree, parts: Sequence[slice], workers: Workers
    ) -> Experience:
        """With the values before every token."""

        def values(part: Experience) -> Float:
            return experience_values(value, self.value_config, part)

        return _filled(known, "values", values, tree, parts, workers)


def arranged(answers: Sequence[Answer], n: int, seed: Sequence[int]) -> tuple[list[Answer], list[slice]]:
    """Answers in a random order, cut into `n` mini-batches, the longest first in each; and where these lie."""
    order = np.random.default_rng([*seed, len(answers)]).permutation(len(answers))
    parts = shares(len(answers), n)

    def length(i: int) -> int:
        return len(answers[i].prompt) + len(answers[i].ids)

    return [answers[i] for part in parts for i in sorted(order[part], key=length, reverse=True)], parts


def with_advantages(experience: Experience, rewards: Float, gamma: float, lam: float) -> tuple[Experience, float]:
    """With whitened advantages and returns, and the share of what was to come that the values explain."""
    mask, values = experience.mask, experience.values.astype(np.float64)
    advantages, returns = gae(rewards, values, gamma, lam)
    _, to_come = gae(rewards, values, gamma, 1.0)
    kind = experience.values.dtype
    filled = experience._replace(
        advantages=whitened(advantages, mask).astype(kind), returns=np.where(mask, returns, 0).astype(kind)
    )
    return filled, explained_variance(values, to_come, mask)


def _blank(answers: Sequence[Answer]) -> Experience:
    rows = [np.array([*answer.prompt, *answer.ids], np.int64) for answer in answers]
    return blank(rows, np.array([len(answer.prompt) for answer in answers], np.int64))


def _filled(
    experience: Experience,
    name: str,
    function: Callable[[Experience], Float],
    tree: Tree,
    parts: Sequence[slice],
    workers: Workers,
) -> Experience:
    """With an array of what a function says of every token, by the parts and threads that the update of `tree` has."""
    found = [one for rows in parts for one in workers.on_parts(function, tree, experience.taken(rows))]
    array: Any = np.zeros(experience.mask.shape, found[0].dtype)
    array[experience.mask] = np.concatenate(found)
    return experience._replace(**{name: array})


# --- figures --------------------------------------------------------------------------------


def reward_figures(raw: tuple[Float, Float | None], scores: Combined) -> Figures:
    """Means over answers: the centred score before it is whitened, both models' own, and how often safety decided."""
    helpful, safe = raw
    return {
        "reward": float(scores.scores.mean()),
        "helpfulness": float(np.mean(helpful, dtype=np.float64)),
        **({} if safe is None else {"safety": float(np.mean(safe, dtype=np.float64))}),
        "by_safety": float(scores.by_safety.mean()),
        "gated": float(scores.gated.mean()),
    }


def kl_figures(experience: Experience) -> Figures:
    """Nats an answer, by both estimators."""
    pair, mask = (experience.logprobs.astype(np.float64), experience.reference.astype(np.float64)), experience.mask
    return {
        name: float(np.where(mask, estimate(*pair), 0).sum() / len(mask)) for name, estimate in (("kl", k1), ("k3", k3))
    }


def _by_kind(experience: Experience, answers: Sequence[Answer], kinds: Mapping[str, str]) -> Figures:
    """The mean advantage over the tokens of each kind of request."""
    found: Figures = {}
    of_rows = np.array([kinds[answer.prompt_id] for answer in answers])
    for kind in sorted(set(of_rows)):
        rows = of_rows == kind
        found[f"advantage.{kind}"] = float(experience.advantages[rows][experience.mask[rows]].mean(dtype=np.float64))
    return found


def _lengths(answers: Sequence[Answer]) -> Figures:
    return {
        "length": float(np.mean([len(answer.ids) for answer in answers])),
        "ended": float(np.mean([answer.ended for answer in answers])),
    }
