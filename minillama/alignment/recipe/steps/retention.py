"""Ghost Attention's test for the report: is the first message still kept at turn 2, 4, 6 …, before and after?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...ghost_attention import RetentionSettings, draw_tests, measure_retention, retention_rows
from ...story_world.traits import small_talk, world_pools
from ..pipeline import Context
from .shared import seed_for, settings_of
from .stage_models import stage_model

_MOST_TOKENS = 64


def adherence(context: Context, stages: Mapping[str, str]) -> list[dict[str, Any]]:
    """Recall and style by turn, of the stage before the last and of the last."""
    given = settings_of(context).report
    if not given.dialogues:
        return []
    seed = seed_for(context, "retention")
    last = max(given.turns)
    scenes = draw_tests(world_pools("test"), small_talk("test"), given.dialogues, seed=seed, last_turn=last)
    settings = RetentionSettings(turns=given.turns, max_tokens=_MOST_TOKENS, when_full="stop", seed=seed)
    found = []
    for name, step in list(stages.items())[-2:]:
        told = context.counting(f"dialogues of {last} turns ({name})")
        replies = measure_retention(
            stage_model(context, step), scenes, settings, journal=context.file(f"retention-{name}.jsonl"), progress=told
        )
        rows = retention_rows(scenes, replies)
        for measure in ("recall", "style"):
            shares = {str(row.turn): getattr(row, measure) for row in rows}
            turns = {turn: share.successes / share.n for turn, share in shares.items() if share.n}
            found.append({"measure": measure, "model": name, "turns": turns})
    return found
