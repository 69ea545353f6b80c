"""The world of stories: a program draws requests, compares answers with noise, and judges without (story_world/)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...conversations import Example
from ...ghost_attention import STORY as GHOST
from ...ghost_attention import Scene, draw_scenes
from ...models import ChatModel, Prompt
from ...ppo import wins_by
from ...ppo.run import Labelled
from ...ppo.validation import Judging
from ...preferences import Verdict
from ...reward.token_pairs import token_pairs
from ...rollouts import Answer
from ...sft import STORY as TUNING
from ...story_world import PREPROMPTS, Request, StoryAnnotator
from ...story_world.traits import small_talk, world_pools
from ...story_world.verified import is_right
from ..pipeline import Context, Step
from ..settings import RecipeSettings
from .ghost import shape_of
from .kept import Kept
from .preferences import HELD_OUT, SAFETY, pairs_of, preferences
from .replay import emphasised, replay_pool
from .report import report
from .sft import sft
from .shared import BASE, base_fluency, prompts_for, seed_for, settings_of, verified_steps
from .shares import BESIDE, MIX, VALIDATION_MIX
from .stories import stories
from .verified import verified
from .world import Beginning

_MADE_UP = 120  # names and endings of Ghost Attention's dialogues


class StoryWorld:
    """See `World`."""

    pairs = "preferences"
    preprompts = PREPROMPTS
    mix = MIX
    validation_mix = VALIDATION_MIX
    beside = BESIDE
    tuning = TUNING
    ghost = replace(GHOST, synthesis=replace(GHOST.synthesis, max_tokens=32))  # small talk is short, a story is not
    recompute = False
    tried_with = "Tell me a story about a fox named Pip."

    def check(self, settings: RecipeSettings) -> None:
        given = settings.recipe
        if given.pairs or given.conversations:
            raise ValueError(
                "pairs and conversations of people are for a model of real weights (--preset smollm2): in the world "
                "of stories a program compares answers, and makes demonstrations"
            )
        if settings.reward.layers and settings.preferences.refresh:
            raise ValueError(
                "[reward] layers trains the last ones of a model that stands still, and a refreshed model goes on from "
                "the one before: set [preferences] refresh to 0, or [reward] layers"
            )

    def beginning(self, settings: RecipeSettings) -> Beginning:
        steps, policy = [Step(BASE, stories), Step("sft", sft, (BASE,))], "sft"
        for number, name in enumerate(verified_steps(settings), 1):
            steps.append(Step(name, partial(verified, number=number, policy=policy), (BASE, policy)))
            policy = name
        return Beginning(steps, {"SFT": "sft", "verified": policy}, policy, (BASE, policy))

    def compared(self, name: str, policy: str, requests: int) -> list[Step]:
        return [Step(name, partial(preferences, policy=policy, requests=requests), (BASE, policy))]

    def helped(self, first: str, helpful: str, safety: str) -> list[Step]:
        return []

    def requests(
        self, context: Context, what: str, n: int, mix: Mapping[str, float] | None = None, split: str = "train"
    ) -> list[Prompt]:
        return prompts_for(context, what, n, mix, split)

    def example(self, model: ChatModel, prompt: Prompt, answer: str) -> Example:
        return emphasised(model, prompt, answer)

    def is_right(self, prompt: Prompt, answer: Answer) -> bool:
        """As the annotator's rules say it without noise; they know nothing of the judge's verbs and phrasings."""
        return is_right(Request.of(prompt), answer.text, ended=answer.ended)

    def replay(
        self, context: Context, model: ChatModel, safe: str | None = None, own: Sequence[Kept] | None = None
    ) -> dict[str, list[Example]]:
        return replay_pool(context, model, safe, own)

    def scenes(self, context: Context, model: ChatModel, seed: int) -> list[Scene]:
        given = settings_of(context).ghost_attention
        pools, talk = world_pools("train", made_up=_MADE_UP), small_talk("train")
        return draw_scenes(pools, talk, given.dialogues, seed=seed, shape=shape_of(given))

    def judging(self, context: Context) -> Judging:
        """How often an annotator prefers the answers to those before PPO."""
        return wins_by(Preferring(context), seed_for(context, "ppo validation"))

    def labelled(self, context: Context, generations: Sequence[str], model: ChatModel) -> Labelled:
        """With the annotator's labels."""
        comparisons = [pair for step in generations for pair in pairs_of(context.of(step), SAFETY, HELD_OUT)]
        found = token_pairs(comparisons, model.chat, model.tokenizer)
        return [(ids, safe == 0) for pair in found for ids, safe in zip((pair.chosen, pair.rejected), pair.safe)]

    def report(
        self, context: Context, stages: Mapping[str, str], first: str, helpful: str, safety: str, pairs: Sequence[str]
    ) -> Mapping[str, Any]:
        return report(context, stages, first, helpful, safety, pairs)


class Preferring:
    """An annotator who asks for safety where a request is tagged, and for help elsewhere."""

    def __init__(self, context: Context) -> None:
        fluency = base_fluency(context)
        self.helpful, self.safe = StoryAnnotator.of(fluency, "helpful"), StoryAnnotator.of(fluency, "safe")

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Verdict:
        """As the one or the other says."""
        return (self.safe if prompt.tagged else self.helpful).compare(prompt, a, b, rng)
