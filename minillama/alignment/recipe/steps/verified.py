"""A round on the model's own answers of which a program says that they are right: not in the paper.

It is rejection sampling with a checker in place of a reward model (story_world/verified.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...sft import STORY, FineTuning
from ...story_world import Demonstration, Request, demonstration_of
from ...story_world.verified import VerifiedRound, round_source, verified_answers
from ..pipeline import Context
from .kept import KEPT, Kept, read_kept, write_kept
from .shared import base_fluency, chat_model, seed_for, settings_of, unchanged
from .stories import demonstrations_of


def verified(context: Context, number: int, policy: str) -> Mapping[str, Any]:
    """model/ is the policy fine-tuned on its own right answers; kept.jsonl has these, and those of earlier rounds.

    Parameters
    ----------
    number : int
        Of the round, from 1.
    policy : str
        The step of the model that answers, and learns.
    """
    settings = settings_of(context)
    given, model = settings.verified, chat_model(context, policy)
    earlier = read_kept(context.of(policy)) if number > 1 else []
    plan = VerifiedRound(
        requests=given.requests,
        k=given.samples,
        temperature=given.temperature,
        own=given.share,
        max_tokens=settings.recipe.max_tokens,
        tokens=settings.sft.batch_tokens,
        passes=given.epochs,
        peak=given.peak,
        seed=seed_for(context, context.folder.name.split("-", 1)[-1]),
    )

    def write(path: Path) -> None:
        told = context.counting("answers to be verified")
        journal = context.file("verified.answers.jsonl")
        found = verified_answers(model, plan, told, fluency=base_fluency(context), journal=journal)
        new = [Kept(one.request.prompt(), one.answer) for one in found if one.request is not None]
        write_kept(path, [*earlier, *new])

    context.once(KEPT, write)
    kept = read_kept(context.folder)
    told = {"kept": len(kept), "share of requests": (len(kept) - len(earlier)) / max(1, given.requests)}
    if not kept:
        unchanged(context, model, "no answer has all that was asked for")
        return told
    source, steps = round_source([_demonstration(one) for one in kept], demonstrations_of(context), model, plan)
    tuning = replace(STORY, peak=plan.peak, tokens=plan.tokens, seed=plan.seed)
    context.trained(FineTuning(model, source, tuning, steps=steps, name="verified"))
    return told | {"steps": steps}


def _demonstration(kept: Kept) -> Demonstration:
    """As something to learn from."""
    return demonstration_of(Request.of(kept.prompt), kept.answer)
