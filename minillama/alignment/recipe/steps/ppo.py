"""PPO against both reward models, on the newest policy (LLaMA 2 section 3.2.3).

Its prompts are of all kinds; what it stops by is how often an annotator prefers its answers to validation requests to
those before PPO: by safety where the request is tagged, else by helpfulness.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ....compute.array_types import Ints
from ....training.run_folder import RunFolder
from ...models import ChatModel, Prompt
from ...ppo import PPOOutcome, PPOSettings, Validation, run_ppo, wins_by
from ...preferences import Verdict
from ...reward.token_pairs import token_pairs
from ...story_world import StoryAnnotator
from ..pipeline import Context, Stopped
from .preferences import HELD_OUT, SAFETY, pairs_of
from .scoring import MIX, scoring_of
from .shared import base_fluency, chat_model, keep_model, prompts_for, scorer, seed_for, settings_of

FIGURES = "figures.json"
VALIDATION_MIX = {**MIX, "adversarial": 0.08}
"""Of the requests that PPO is stopped by: few that may elicit what is unsafe. There it wins early and for good, and so
many wins would hide what it loses elsewhere.
"""
_PROMPTS = 3000  # to draw from


def ppo(
    context: Context, policy: str, first: str, helpful: str, safety: str, generations: Sequence[str]
) -> Mapping[str, Any]:
    """model/ is the policy at its best look; ppo/ has the runs.

    Parameters
    ----------
    policy, first : str
        The steps of the policy that it starts from, and of the fine-tuned model whose answers centre the scores.
    helpful, safety : str
        The steps of the reward models.
    generations : sequence of str
        The steps whose held-out labels the gate is checked on.
    """
    if (context.file("model")).exists():
        return _read_figures(context)
    settings = settings_of(context)
    model, given = chat_model(context, policy), settings.ppo
    scoring = scoring_of(context, helpful, safety, first)
    judging_seed = seed_for(context, "ppo validation")
    prompts = prompts_for(context, "ppo", max(_PROMPTS, 20 * given.prompts), MIX)
    outcome = run_ppo(
        context.file("ppo"),
        model,
        scorer(context, helpful).model,
        prompts,
        scoring,
        context.trainer_observer(),
        _ppo_settings(context),
        labelled=_labelled(context, generations, model),
        validation=Validation(validation_prompts(context), wins_by(Preferring(context), judging_seed)),
        threads=context.threads,
        stop=context.stop,
    )
    if outcome.interrupted:
        raise Stopped
    context.once(FIGURES, lambda path: path.write_text(json.dumps(_figures(outcome))))
    context.once("model", lambda folder: keep_model(outcome.model, folder))
    return _read_figures(context)


def _figures(outcome: PPOOutcome) -> dict[str, float]:
    found: dict[str, float] = {"iterations": outcome.iterations, "best iteration": outcome.iteration}
    found |= {} if outcome.explained is None else {"explained": outcome.explained}
    return found | ({} if outcome.gate_share is None else {"unsafe below the gate": outcome.gate_share})


def _read_figures(context: Context) -> dict[str, float]:
    """What came of it; the checkpoints, many times the model, are not needed any more."""
    for run in ("value", "policy"):
        shutil.rmtree(RunFolder(context.file("ppo") / run).checkpoints_path, ignore_errors=True)
        shutil.rmtree(context.file("ppo") / run / "rollouts", ignore_errors=True)
    found: dict[str, float] = json.loads(context.file(FIGURES).read_text())
    return found


def validation_prompts(context: Context) -> list[Prompt]:
    """What PPO is stopped by: no rollout has them, and no report."""
    n = settings_of(context).ppo.validation
    return prompts_for(context, "ppo validation", n, VALIDATION_MIX, "validation")


def _ppo_settings(context: Context) -> PPOSettings:
    settings = settings_of(context)
    given = settings.ppo
    return PPOSettings(
        iterations=given.iterations,
        batch=given.prompts,
        mini_batches=max(1, given.prompts // given.mini_batch),
        learning_rate=given.peak,
        beta=given.beta,
        clip=given.clip,
        gate=given.gate,
        temperature=given.temperature,
        max_tokens=settings.recipe.max_tokens,
        mix=MIX,
        gamma=given.gamma,
        lam=given.lam,
        evaluate_every=given.validate_every,
        patience=given.patience,
        warmup_iterations=given.value_iterations,
        warmup_passes=2,
        warmup_rate=given.value_peak,
        go_on=True,
        seed=seed_for(context, "ppo"),
    )


def _labelled(context: Context, generations: Sequence[str], model: ChatModel) -> list[tuple[Ints, bool]]:
    """Held-out answers with the annotator's label: whether they are unsafe."""
    comparisons = [pair for step in generations for pair in pairs_of(context.of(step), SAFETY, HELD_OUT)]
    found = token_pairs(comparisons, model.chat, model.tokenizer)
    return [(ids, safe == 0) for pair in found for ids, safe in zip((pair.chosen, pair.rejected), pair.safe)]


class Preferring:
    """An annotator who asks for safety where a request is tagged, and for help elsewhere."""

    def __init__(self, context: Context) -> None:
        fluency = base_fluency(context)
        self.helpful, self.safe = StoryAnnotator.of(fluency, "helpful"), StoryAnnotator.of(fluency, "safe")

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Verdict:
        """As the one or the other says."""
        return (self.safe if prompt.tagged else self.helpful).compare(prompt, a, b, rng)
