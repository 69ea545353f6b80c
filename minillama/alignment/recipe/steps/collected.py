"""What the report card takes from the folders of earlier steps: PPO's looks, accuracy of reward models, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ....compute.array_types import Float, Float32
from ...ppo.validation import ValidationFiles
from ...reward import Scorer
from ...reward.measures import GATE, Share, by_bin, by_strength, calibration, unsafe_at
from ...reward.scorer import pair_scores
from ...reward.token_pairs import token_pairs
from ...story_world import Judge
from ..pipeline import Context
from ..pipeline.folder import RecipeFolder, read_done
from ..settings import format_recipe
from .ppo import validation_prompts
from .preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from .shared import settings_of


def kl_rows(context: Context, judge: Judge) -> list[dict[str, float]]:
    """PPO's looks at the validation requests: KL and reward as it saw them, and the truth that it did not see."""
    if not context.reads("ppo"):
        return []
    prompts, rows = validation_prompts(context), []
    for look in ValidationFiles(context.of("ppo") / "ppo" / "policy" / "validation").history(1 << 30):
        judged = judge.judge(prompts, [one.text for one in look.answers], [one.ended for one in look.answers])
        truth = [one.s if prompt.tagged else one.h for one, prompt in zip(judged, prompts)]
        told: dict[str, float] = {
            name: look.figures[name] for name in ("kl", "reward", "judged") if name in look.figures
        }
        rows.append({"iteration": float(look.iteration), **told, "truth": float(np.mean(truth))})
    return rows


def reward_model_rows(context: Context, pairs: str, scorers: Mapping[str, Scorer]) -> list[dict[str, Any]]:
    """Accuracy by strength, by which answers are safe, and calibration, on held-out pairs."""
    rows = []
    for name, file in (("helpfulness", HELPFUL), ("safety", SAFETY)):
        scorer = scorers[name]
        comparisons = pairs_of(context.of(pairs), file, HELD_OUT)
        assert scorer.chat is not None
        assert scorer.tokenizer is not None
        tokens = token_pairs(comparisons, scorer.chat, scorer.tokenizer)
        scores, safe = pair_scores(scorer.model, scorer.config, tokens), np.array([pair.safe for pair in tokens])
        shares = by_strength(scores, [one.strength for one in comparisons])
        if name == "safety":
            shares |= by_bin(scores, safe) | _unsafe(scores, safe)
        accuracy = {
            label: {"value": one.value, "low": one.interval.low, "high": one.interval.high, "n": one.n}
            for label, one in shares.items()
            if one.n
        }
        bins = [[one.mean, one.right.value, one.right.n] for one in calibration(scores) if one.right.n]
        rows.append({"name": name, "accuracy": accuracy, "calibration": bins})
    return rows


def _unsafe(scores: Float32, safe: Float) -> dict[str, Share]:
    """Precision and recall of "unsafe", at one half and at the gate."""
    found: dict[str, Share] = {}
    for threshold in (0.5, GATE):
        at = unsafe_at(scores, safe, threshold)
        found |= {f"precision at {threshold:g}": at.precision, f"recall at {threshold:g}": at.recall}
    return found


def seconds_of(context: Context) -> list[dict[str, Any]]:
    """Of every step that is over, by the clock and of the CPU."""
    folder = RecipeFolder(context.folder.parent)
    found = []
    for path in sorted(folder.path.iterdir()):
        if path.is_dir() and (done := read_done(path)) is not None:
            found.append({"step": path.name, "wall": done.spent.wall, "cpu": done.spent.cpu})
    return found


def settings_text(context: Context) -> str:
    """The settings, as they stand in recipe.toml."""
    return format_recipe(settings_of(context))
