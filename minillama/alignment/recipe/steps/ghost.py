"""Ghost Attention (LLaMA 2 section 3.3), last and on the aligned policy, with its own best answers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...conversations import Example
from ...ghost_attention import GhostAttention, SceneShape, synthesise
from ...models import ChatModel
from ..pipeline import Context
from ..settings.tables import GhostTable
from .best_answers import best_answers
from .kept import drawn
from .shared import chat_model, seed_for, settings_of, unchanged
from .world import World


def ghost_attention(context: Context, world: World, policy: str, helpful: str, safety: str) -> Mapping[str, Any]:
    """model/ is the policy that keeps to its first message; dialogues.jsonl and kept.jsonl have what it learned from.

    Parameters
    ----------
    world : World
    policy : str
        The step of the policy.
    helpful, safety : str
        The steps of the reward models.
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
    replay = _replay(context, world, model, round(given.replay * len(ghosts)), seed, policy, helpful, safety)
    tuning = replace(world.ghost.fine_tuning, peak=given.peak, epochs=given.epochs, seed=seed)
    how = replace(world.ghost, synthesis=synthesis, fine_tuning=tuning)
    context.trained(GhostAttention(model, ghosts, how, replay))
    return {"dialogues": len(ghosts), "replayed": len(replay)}


def _replay(
    context: Context, world: World, model: ChatModel, n: int, seed: int, policy: str, helpful: str, safety: str
) -> list[Example]:
    """About `n` examples: the policy's own best answers, and of skills that no reward speaks for demonstrations."""
    shares = world.beside["ghost-attention"]
    mix = {kind: share for kind, share in shares.items() if kind in world.mix}
    own = best_answers(context, world, model, n, mix, policy, helpful=helpful, safety=safety) if n else []
    return drawn(world.replay(context, model, own=own), shares, n, seed)


def shape_of(given: GhostTable) -> SceneShape:
    """How long the dialogues are."""
    return SceneShape(shortest=given.least_turns, longest=given.most_turns)
