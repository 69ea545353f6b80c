"""Ghost Attention (LLaMA 2 section 3.3), last and on the aligned policy, with kept answers beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...ghost_attention import (
    STORY,
    GhostAttention,
    GhostAttentionSettings,
    SceneShape,
    draw_scenes,
    synthesise,
)
from ...story_world.traits import small_talk, world_pools
from ..pipeline import Context
from .replay import drawn, replay_pool
from .shared import chat_model, seed_for, settings_of, unchanged

REPLAY = {
    "story": 0.25,
    "kind": 0.1,
    "borderline": 0.15,
    "adversarial": 0.3,
    "persona": 0.05,
    "suffix": 0.05,
    "follow-up": 0.1,
}
_MOST_TOKENS = 64  # of an answer: small talk is short


def ghost_attention(context: Context, policy: str, safe: str | None) -> Mapping[str, Any]:
    """model/ is the policy that keeps to its first message; dialogues.jsonl has what it learned from.

    Parameters
    ----------
    policy : str
        The step of the policy.
    safe : str, optional
        The step that kept safe answers to adversarial requests.
    """
    settings = settings_of(context)
    given, model, seed = settings.ghost_attention, chat_model(context, policy), seed_for(context, "ghost attention")
    shape = SceneShape(shortest=given.least_turns, longest=given.most_turns)
    scenes = draw_scenes(world_pools("train"), small_talk("train"), given.dialogues, seed=seed, shape=shape)
    synthesis = replace(STORY.synthesis, temperature=given.temperature, max_tokens=_MOST_TOKENS, seed=seed)
    told = context.counting("dialogues with an instruction")
    ghosts = synthesise(model, scenes, synthesis, journal=context.file("dialogues.jsonl"), progress=told)
    if not ghosts:
        unchanged(context, model, f"none of {len(scenes)} dialogues obeyed its instruction for two turns")
        return {"dialogues": 0}
    pool = replay_pool(context, model, safe)
    replay = drawn(pool, REPLAY, round(given.replay * len(ghosts)), seed)
    tuning = replace(STORY.fine_tuning, peak=given.peak, epochs=given.epochs, seed=seed)
    how = GhostAttentionSettings(synthesis=synthesis, fine_tuning=tuning, learned="each")
    context.trained(GhostAttention(model, ghosts, how, replay))
    return {"dialogues": len(ghosts), "replayed": len(replay)}
