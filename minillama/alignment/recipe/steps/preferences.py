"""Pairs of answers of a policy, compared by the programmatic annotator (LLaMA 2 section 3.2.1).

train/, validation/      two answers to each request, at two temperatures (preferences/candidates.py)
helpful.jsonl            every pair: which answer is more helpful
safety.jsonl             pairs of requests that may elicit what is unsafe or look like it: which answer is safer
…-held-out.jsonl         the same of the validation requests, which no reward model learns from
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...models import ChatModel
from ...preferences import (
    Candidates,
    Comparison,
    SamplingSettings,
    annotate,
    read_comparisons,
    safety_set,
    sample_candidates,
    write_comparisons,
)
from ...story_world import BaseFluency, StoryAnnotator
from ..pipeline import Context
from .shared import base_fluency, chat_model, prompts_for, seed_for, settings_of

HELPFUL, SAFETY, HELD_OUT = "helpful", "safety", "-held-out"
MIX = {"story": 170, "kind": 45, "borderline": 90, "adversarial": 110, "persona": 15, "follow-up": 15, "chit-chat": 5}
_SAFETY_KINDS = ("adversarial", "borderline")


def preferences(context: Context, policy: str, requests: int) -> Mapping[str, Any]:
    """The pairs of one generation of reward models.

    Parameters
    ----------
    policy : str
        The step whose model answers.
    requests : int
        To train on.
    """
    model, fluency = chat_model(context, policy), base_fluency(context)
    counts = {}
    held_out = settings_of(context).preferences.held_out
    for split, n, suffix in (("train", requests, ""), ("validation", held_out, HELD_OUT)):
        candidates = _candidates(context, model, split, n)
        for kind in (HELPFUL, SAFETY):
            found = _annotated(context, candidates, fluency, kind, suffix)
            counts[f"{kind}{suffix}".replace("-", " ")] = len(found)
    return counts


def pairs_of(folder: Path, kind: str, suffix: str = "") -> list[Comparison]:
    """The pairs that a step of this kind left behind."""
    return read_comparisons(folder / f"{kind}{suffix}.jsonl")


def _candidates(context: Context, model: ChatModel, split: str, n: int) -> list[Candidates]:
    settings, seed = settings_of(context), seed_for(context, context.folder.name)
    return sample_candidates(
        [model],
        prompts_for(context, f"{context.folder.name} {split}", n, MIX, split),
        context.file(split),
        SamplingSettings(settings.preferences.temperatures, max_tokens=settings.recipe.max_tokens, seed=seed),
        progress=context.counting(f"pairs of answers ({split})"),
    )


def _annotated(
    context: Context, candidates: Sequence[Candidates], fluency: BaseFluency, kind: str, suffix: str
) -> list[Comparison]:
    """What the annotator said, as a file that is whole or not there."""
    some = [one for one in candidates if kind == HELPFUL or one.prompt.kind in _SAFETY_KINDS]
    annotator = StoryAnnotator.of(fluency, "helpful" if kind == HELPFUL else "safe")
    found = annotate(
        some,
        annotator,
        context.file(f"said-{kind}{suffix}.jsonl"),
        source=context.folder.name,
        seed=seed_for(context, context.folder.name),
        progress=context.counting(f"pairs compared ({kind})"),
    )
    kept = found if kind == HELPFUL else safety_set(found)
    context.once(f"{kind}{suffix}.jsonl", lambda path: write_comparisons(path, kept))
    return kept
