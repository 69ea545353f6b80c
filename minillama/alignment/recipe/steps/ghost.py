"""Ghost Attention (LLaMA 2 section 3.3), last and on the aligned policy, with kept answers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...ghost_attention import GhostAttention, SceneShape, synthesise
from ..pipeline import Context
from ..settings.tables import GhostTable
from .kept import drawn
from .shared import chat_model, seed_for, settings_of, unchanged
from .world import World


def ghost_attention(context: Context, world: World, policy: str, safe: str | None) -> Mapping[str, Any]:
    """model/ is the policy that keeps to its first message; dialogues.jsonl has what it learned from.

    Parameters
    ----------
    world : World
    policy : str
        The step of the policy.
    safe : str, optional
        The step that kept safe answers to adversarial requests.
    """
    settings = settings_of(context)
    given, model, seed = settings.ghost_attention, chat_model(context, policy), seed_for(context, "ghost attention")
    scenes = world.scenes(context, model, seed)
    synthesis = replace(world.ghost.synthesis, temperature=given.temperature, seed=seed)
    told = context.counting("dialogues with an instruction")
    ghosts = synthesise(model, scenes, synthesis, journal=context.file("dialogues.jsonl"), progress=told)
    if not ghosts:
        unchanged(context, model, f"none of {len(scenes)} dialogues obeyed its instruction for two turns")
        return {"dialogues": 0}
    pool = world.replay(context, model, safe)
    replay = drawn(pool, world.beside["ghost-attention"], round(given.replay * len(ghosts)), seed)
    tuning = replace(world.ghost.fine_tuning, peak=given.peak, epochs=given.epochs, seed=seed)
    how = replace(world.ghost, synthesis=synthesis, fine_tuning=tuning)
    context.trained(GhostAttention(model, ghosts, how, replay))
    return {"dialogues": len(ghosts), "replayed": len(replay)}


def shape_of(given: GhostTable) -> SceneShape:
    """How long the dialogues are."""
    return SceneShape(shortest=given.least_turns, longest=given.most_turns)
