"""PPO against both reward models, on the newest policy (LLaMA 2 section 3.2.3).

Its prompts are of all kinds; what it stops by is how often an annotator, or a second reward model, prefers its answers
to validation requests to those before PPO: by safety where the request is tagged, else by helpfulness.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ....training.run_folder import RunFolder
from ...models import Prompt
from ...ppo import PPOOutcome, PPOSettings, Validation, run_ppo
from ...reward import Scorer
from ..pipeline import Context, Stopped
from .scoring import scoring_of
from .shared import chat_model, keep_model, seed_for, settings_of
from .world import World

FIGURES = "figures.json"
_PROMPTS = 3000  # to draw from


def ppo(
    context: Context, world: World, policy: str, helpful: str, safety: str, generations: Sequence[str]
) -> Mapping[str, Any]:
    """model/ is the policy at its best look; ppo/ has the runs.

    Parameters
    ----------
    world : World
    policy : str
        The step of the policy that it starts from, whose answers also centre the scores.
    helpful, safety : str
        The steps of the reward models.
    generations : sequence of str
        The steps whose held-out labels the gate is checked on.
    """
    if (context.file("model")).exists():
        return _read_figures(context)
    settings = settings_of(context)
    model, given = chat_model(context, policy), settings.ppo
    scoring = scoring_of(context, world, helpful, safety, policy)
    assert isinstance(scoring.helpfulness, Scorer)
    prompts = world.requests(context, "ppo", max(_PROMPTS, 20 * given.prompts), world.mix)
    asked = validation_prompts(context, world.requests, world.validation_mix)
    outcome = run_ppo(
        context.file("ppo"),
        model,
        scoring.helpfulness.model,
        prompts,
        scoring,
        context.trainer_observer(),
        _ppo_settings(context, world),
        labelled=world.labelled(context, generations, model),
        validation=Validation(asked, world.judging(context)),
        threads=context.threads,
        stop=context.stop,
        progress=context.telling("answers"),
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


def validation_prompts(
    context: Context, requests: Callable[..., list[Prompt]], mix: Mapping[str, float]
) -> list[Prompt]:
    """What PPO is stopped by, of a world's requests: no rollout has them, and no report."""
    return requests(context, "ppo validation", settings_of(context).ppo.validation, mix, "validation")


def _ppo_settings(context: Context, world: World) -> PPOSettings:
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
        mix=world.mix,
        gamma=given.gamma,
        lam=given.lam,
        evaluate_every=given.validate_every,
        patience=given.patience,
        warmup_iterations=given.value_iterations,
        warmup_passes=2,
        warmup_rate=given.value_peak,
        value_rate_factor=given.value_peak / given.peak,
        go_on=True,
        recompute=world.recompute,
        seed=seed_for(context, "ppo"),
    )
