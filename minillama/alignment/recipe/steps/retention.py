"""Ghost Attention's test for the report: is the first message still kept at turn 2, 4, 6 …, before and after?

    seen      names, hobbies and endings that dialogues of training have
    unseen    those of the test split, which neither demonstrations nor dialogues have

What is talked about between the questions is of the test split in both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...ghost_attention import (
    RetentionRow,
    RetentionSettings,
    Scene,
    Share,
    draw_tests,
    measure_retention,
    retention_rows,
)
from ...story_world.traits import small_talk, world_pools
from ..pipeline import Context
from .shared import seed_for, settings_of
from .stage_models import stage_model

GROUPS = {"seen": "train", "unseen": "test"}
"""Whose traits the instructions have, by the split."""

_MOST_TOKENS = 64


def adherence(context: Context, stages: Mapping[str, str]) -> list[dict[str, Any]]:
    """Recall and style by turn, of the stage before the last and of the last."""
    given = settings_of(context).report
    scenes = scenes_of(given.dialogues, seed_for(context, "retention"), max(given.turns)) if given.dialogues else []
    return adherence_in(context, stages, scenes)


def adherence_in(
    context: Context, stages: Mapping[str, str], scenes: Sequence[Scene], **options: Any
) -> list[dict[str, Any]]:
    """The same in given dialogues, none of them without a fact to ask for; options are of `RetentionSettings`."""
    turns, found = settings_of(context).report.turns, list[dict[str, Any]]()
    if not scenes:
        return found
    how: dict[str, Any] = {"max_tokens": _MOST_TOKENS, "when_full": "stop", "seed": seed_for(context, "retention")}
    settings = RetentionSettings(turns=turns, **how | options)
    for name, step in list(stages.items())[-2:]:
        told = context.counting(f"dialogues of {max(turns)} turns ({name})")
        replies = measure_retention(
            stage_model(context, step), scenes, settings, journal=context.file(f"retention-{name}.jsonl"), progress=told
        )
        lines = lines_of(retention_rows(scenes, replies))
        found += [{"model": name, **line} for line in lines if line["turns"]]
    return found


def scenes_of(n: int, seed: int, last_turn: int) -> list[Scene]:
    """`n` dialogues of each group."""
    talk = small_talk("test")
    return [
        scene
        for group, split in GROUPS.items()
        for scene in draw_tests(world_pools(split), talk, n, seed=seed, last_turn=last_turn, group=group)
    ]


def lines_of(rows: list[RetentionRow]) -> list[dict[str, Any]]:
    """Every measure of every group: shares by turn, and their intervals."""
    found = []
    for measure in ("recall", "style"):
        for group in dict.fromkeys(row.group for row in rows):
            shares: dict[int, Share] = {row.turn: getattr(row, measure) for row in rows if row.group == group}
            there = {str(turn): share for turn, share in shares.items() if share.n}
            turns = {turn: share.successes / share.n for turn, share in there.items()}
            intervals = {turn: [*share.interval] for turn, share in there.items()}
            found.append({"measure": f"{measure} ({group})", "turns": turns, "intervals": intervals})
    return found
