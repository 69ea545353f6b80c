"""Context distillation of safety (LLaMA 2 section 4.2.4), on the newest policy.

Learned are answers behind a pre-prompt that the safety model prefers, to adversarial requests alone; replayed beside
them right answers to harmless ones, in the world of stories as many borderline as kept ones, which have the same verbs
and are to be told.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ...safety import DistillationSettings, chosen, distil, mixed
from ...safety.learning import first_weighted
from ...sft import FineTuning, passes_of
from ..pipeline import Context
from .kept import KEPT, Kept, read_kept, replayed, there, write_kept
from .shared import chat_model, scorer, seed_for, settings_of, unchanged
from .world import World, tuning_of


def distillation(context: Context, world: World, policy: str, safety: str) -> Mapping[str, Any]:
    """model/ is the policy after distillation; kept.jsonl has the distilled answers.

    Parameters
    ----------
    world : World
    policy, safety : str
        The steps of the policy, and of the safety model.
    """
    settings = settings_of(context)
    given, model, seed = settings.distillation, chat_model(context, policy), seed_for(context, "distillation")
    prompts = world.requests(context, "distillation", given.requests, {"adversarial": 1})

    def write(path: Path) -> None:
        sampling = DistillationSettings(temperature=given.temperature, max_tokens=settings.recipe.max_tokens, seed=seed)
        told = context.counting("answers behind pre-prompts")
        rows = distil(
            model, prompts, world.preprompts, scorer(context, safety), sampling, folder=context.folder, progress=told
        )
        write_kept(path, [Kept(row.prompt, row.distilled) for row in chosen(rows)])

    context.once(KEPT, write)
    kept = [
        example
        for some in replayed(read_kept(context.folder), partial(world.example, model)).values()
        for example in some
    ]
    if not kept:
        unchanged(context, model, f"the safety model prefers none of {len(prompts)} answers behind a pre-prompt")
        return {"requests": len(prompts), "kept": 0}
    pool = world.replay(context, model)
    examples = mixed(kept, pool, there(world.beside["distillation"], pool, given.replay), seed=seed)
    examples = [first_weighted(example, given.first_weight) for example in examples]
    tuning = tuning_of(world, settings, given, seed)
    context.trained(FineTuning(model, passes_of(examples, tuning), tuning, name="distillation"))
    return {"requests": len(prompts), "kept": len(kept), "replayed": len(examples) - len(kept)}
