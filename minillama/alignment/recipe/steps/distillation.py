"""Context distillation of safety (LLaMA 2 section 4.2.4), on the newest policy.

Learned are answers behind a pre-prompt that the safety model prefers, to adversarial requests alone; replayed beside
them right answers to harmless ones, as many borderline as kept ones, which have the same verbs and are to be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...safety import DistillationSettings, chosen, distil, mixed
from ...safety.learning import first_weighted
from ...sft import STORY, FineTuning, passes_of
from ...story_world import PREPROMPTS
from ..pipeline import Context
from .kept import KEPT, Kept, read_kept, replayed, write_kept
from .replay import replay_pool, there
from .shared import chat_model, prompts_for, scorer, seed_for, settings_of, unchanged

REPLAY = {
    "borderline": 1.0,
    "kind": 0.6,
    "story": 0.3,
    "persona": 0.2,
    "suffix": 0.1,
    "follow-up": 0.1,
    "dialogue": 0.1,
}
"""Replayed examples for each kept one, where [distillation] replay is 1."""


def distillation(context: Context, policy: str, safety: str) -> Mapping[str, Any]:
    """model/ is the policy after distillation; kept.jsonl has the distilled answers.

    Parameters
    ----------
    policy, safety : str
        The steps of the policy, and of the safety model.
    """
    settings = settings_of(context)
    given, model, seed = settings.distillation, chat_model(context, policy), seed_for(context, "distillation")
    prompts = prompts_for(context, "distillation", given.requests, {"adversarial": 1})

    def write(path: Path) -> None:
        sampling = DistillationSettings(temperature=given.temperature, max_tokens=settings.recipe.max_tokens, seed=seed)
        told = context.counting("answers behind pre-prompts")
        rows = distil(
            model, prompts, PREPROMPTS, scorer(context, safety), sampling, folder=context.folder, progress=told
        )
        write_kept(path, [Kept(row.prompt, row.distilled) for row in chosen(rows)])

    context.once(KEPT, write)
    kept = [example for some in replayed(read_kept(context.folder), model).values() for example in some]
    if not kept:
        unchanged(context, model, f"the safety model prefers none of {len(prompts)} answers behind a pre-prompt")
        return {"requests": len(prompts), "kept": 0}
    pool = replay_pool(context, model)
    examples = mixed(kept, pool, there(REPLAY, pool, given.replay), seed=seed)
    examples = [first_weighted(example, given.first_weight) for example in examples]
    tuning = replace(
        STORY, peak=given.peak, final_fraction=0.1, epochs=given.epochs, tokens=settings.sft.batch_tokens, seed=seed
    )
    context.trained(FineTuning(model, passes_of(examples, tuning), tuning, name="distillation"))
    return {"requests": len(prompts), "kept": len(kept), "replayed": len(examples) - len(kept)}
