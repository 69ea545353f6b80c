"""Supervised fine-tuning on demonstrations, by the story world's curriculum (story_world/fine_tuning.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...sft import STORY, FineTuning
from ...story_world import example_of
from ...story_world.fine_tuning import Curriculum, curriculum_source
from ..pipeline import Context
from .shared import base_model, last_row, settings_of
from .stories import demonstrations_of

_HELD_OUT_PASS = 1 << 20  # of demonstrations that no step comes to
_HELD_OUT = 64


def sft(context: Context) -> Mapping[str, Any]:
    """model/ is the base model, fine-tuned on demonstrations."""
    settings = settings_of(context)
    given, seed = settings.sft, settings.recipe.seed
    model, demonstrations = base_model(context, settings.recipe.context), demonstrations_of(context)
    tuning = replace(STORY, peak=given.peak, tokens=given.batch_tokens, weight_decay=given.weight_decay, seed=seed)
    plan = Curriculum(steps=given.steps, settings=tuning, seed=seed)
    held_out = [example_of(demonstrations.draw(_HELD_OUT_PASS, i), model) for i in range(_HELD_OUT)]
    source = curriculum_source(demonstrations, model, plan)
    context.trained(FineTuning(model, source, tuning, steps=plan.steps, held_out=held_out))
    return {"stories": len(demonstrations), "steps": plan.steps, **last_row(context, "validation_loss")}
