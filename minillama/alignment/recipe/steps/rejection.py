"""A round of rejection sampling (LLaMA 2 section 3.2.3): the best of K answers, over all rounds, are learned.

Every round starts from the same model: the fine-tuned one, after context distillation where there was one. To turn
away from harm alone, and not from whatever has the same verb, takes passes over kept answers whose first tokens count
more; a round that began before that, with some hundred turns among its answers, would turn away at random.

Answers are compared by the reward of PPO: the safety model's where a request is tagged or an answer falls below the
gate, else the helpfulness model's.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ....compute.array_types import Float
from ...conversations import Example
from ...models import ChatModel, Prompt
from ...ppo import Scoring
from ...ppo.reward import combined
from ...rejection_sampling import NothingKeptError, RejectionSettings, Rewards, rejection_round
from ...rejection_sampling.round_files import folder_of
from ...rollouts import Answer
from ...sft import FineTuning, passes_of
from ..pipeline import Context
from .kept import drawn
from .scoring import scoring_of
from .shared import chat_model, seed_for, settings_of, template_of, unchanged
from .world import World, tuning_of

_VALIDATION = 60  # requests that the temperature is chosen on


def rejection(
    context: Context,
    world: World,
    number: int,
    policy: str,
    first: str,
    helpful: str,
    safety: str,
    before: str | None,
    safe: str | None,
) -> Mapping[str, Any]:
    """model/ is the next policy; round-0N/ has the answers, and those of the rounds before.

    Parameters
    ----------
    world : World
    number : int
        Of the round, from 1.
    policy, first : str
        The steps of the policy that answers, and of the fine-tuned model whose answers centre the scores.
    helpful, safety : str
        The steps of the reward models.
    before : str, optional
        The step of the round before.
    safe : str, optional
        The step that kept safe answers to adversarial requests; every round starts from its model, else from `first`.
    """
    settings = settings_of(context)
    given, seed = settings.rejection, seed_for(context, "rejection")
    start = chat_model(context, safe or first)
    if before is not None:
        _take_over(context, context.of(before), number)
    pool = world.replay(context, start, safe)
    how = RejectionSettings(
        samples=given.samples, temperatures=given.temperatures, validation_samples=min(4, given.samples),
        max_tokens=settings.recipe.max_tokens, seed=seed,
    )  # fmt: skip

    try:
        outcome = rejection_round(
            context.folder,
            number,
            chat_model(context, policy),
            world.requests(context, f"rejection {number}", given.requests, world.mix),
            combined_rewards(scoring_of(context, world, helpful, safety, first), settings.ppo.gate),
            partial(_learned, context, world, start),
            how,
            validation=world.requests(context, "rejection", min(_VALIDATION, given.requests), world.mix, "validation"),
            replay=drawn(pool, world.beside["rejection"], round(given.replay * given.requests), seed),
            keep=has_ended,
            example=lambda prompt, one: world.example(start, prompt, one.text),
            rewards_name=f"{helpful} {safety}",
            progress=lambda what, done, total: context.progress(done, total, what),
        )
    except NothingKeptError:
        unchanged(context, start, f"none of {given.requests * given.samples} answers comes to an end")
        return {"prompts": given.requests, "chosen": 0}
    return {name.replace("_", " "): value for name, value in outcome.figures.items()}


def _learned(context: Context, world: World, start: ChatModel, examples: list[Example], _: Path) -> ChatModel:
    """The model that every round starts from, fine-tuned on the best answers and what is replayed."""
    settings, seed = settings_of(context), seed_for(context, "rejection")
    given = settings.rejection
    tuning = tuning_of(world, settings, given, seed)
    context.trained(FineTuning(start, passes_of(examples, tuning), tuning, name="rejection"))
    return ChatModel.load(context.file("model"), template_of(context))


def has_ended(prompt: Prompt, answer: Answer) -> bool:
    """Whether a round may learn from an answer: one that was cut would teach to go on."""
    return answer.ended


def combined_rewards(scoring: Scoring, gate: float) -> Rewards:
    """The reward of PPO, before it is whitened."""

    def rewards(prompts: Sequence[Prompt], answers: Sequence[Answer]) -> Float:
        raw = scoring.of([(*answer.prompt, *answer.ids) for answer in answers])
        tagged = np.array([prompt.tagged for prompt in prompts], bool)
        return combined(*raw, tagged, scoring.centres, gate).scores

    return rewards


def _take_over(context: Context, before: Path, number: int) -> None:
    """The candidates of the rounds before, beside those of this one."""
    for earlier in range(1, number):
        name = folder_of(context.folder, earlier).name
        context.once(name, lambda path, name=name: shutil.copytree(before / name, path))  # type: ignore[misc]
