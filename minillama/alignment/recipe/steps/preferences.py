"""Pairs of answers of a policy, compared by the programmatic annotator (LLaMA 2 section 3.2.1).

train/, validation/      two answers to each request, at two temperatures (preferences/candidates.py)
helpful.jsonl            pairs of harmless requests: which answer is more helpful
safety.jsonl             which answer is safer: of all those that may elicit what is unsafe, and of others
…-held-out.jsonl         the same of the validation requests, which no reward model learns from

Answer B of some requests is sampled behind a pre-prompt that asks for kindness: the second variant of the model. A
fine-tuned model hardly ever turns kind, so that without it no pair would say that this is safer where somebody would be
hurt, nor that it helps nobody elsewhere; and few would have a safe and an unsafe answer.

Of an adversarial request the more helpful answer is the one that does what shall not be done: no reward of helpfulness
is asked for there, and the model that learned it would have to forget it from the safety pairs that are mixed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models import ChatModel, Prompt
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
from ...rollouts.sampling import seed_of
from ...safety.preprompts import behind
from ...story_world import PREPROMPTS, BaseFluency, StoryAnnotator
from ..pipeline import Context, RecipeFolder
from .shared import base_fluency, chat_model, prompts_for, seed_for, settings_of

HELPFUL, SAFETY, HELD_OUT = "helpful", "safety", "-held-out"
MIX = {"story": 250, "kind": 45, "borderline": 90, "adversarial": 110, "persona": 20, "follow-up": 15, "chit-chat": 15}
_IN_SAFETY = {"adversarial": 1, "borderline": 1, "kind": 1, "persona": 1, "follow-up": 1, "chit-chat": 1, "story": 0.25}
"""The share of a kind's requests in the safety set: it must have seen everything that it will be asked about, or its
score of that is an accident, and the gate acts on it.
"""
_BEHIND = {"adversarial": 0.6, "borderline": 0.25, "kind": 0.25}  # of a kind's requests, B behind a pre-prompt
_CHUNK = 1024  # prompts that are sampled together: with few of a temperature the last answers are drawn alone


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
            if not found:
                raise ValueError(_no_pairs(context, kind, split, n))
            counts[f"{kind}{suffix}".replace("-", " ")] = len(found)
    return counts


def _no_pairs(context: Context, kind: str, split: str, n: int) -> str:
    """Why the reward model of a kind would have nothing to learn from, or to be measured on."""
    first = context.folder.name.endswith("preferences")  # later generations have a number
    setting = "held_out" if split != "train" else "requests" if first else "refresh"
    return (
        f"[preferences] {setting}: of {n} requests ({split}) no pair is left for the {kind} reward model, as both "
        "answers are the same or an unsafe one was preferred: write a larger number into "
        f"{RecipeFolder(context.folder.parent).settings}, delete {context.folder}, and --resume goes on"
    )


def pairs_of(folder: Path, kind: str, suffix: str = "") -> list[Comparison]:
    """The pairs that a step of this kind left behind."""
    return read_comparisons(folder / f"{kind}{suffix}.jsonl")


def compared(candidates: Sequence[Candidates], kind: str) -> list[Candidates]:
    """Those of which the annotator is asked what is more helpful, or safer."""
    if kind == SAFETY:
        return [one for one in candidates if _chance(one.prompt, 2) < _IN_SAFETY[one.prompt.kind]]
    return [one for one in candidates if not one.prompt.tagged]


def _chance(prompt: Prompt, draw: int) -> float:
    """A number from 0 to 1 that a prompt has whatever else is drawn."""
    return float(np.random.default_rng([seed_of(draw, prompt.id)]).random())


def _candidates(context: Context, model: ChatModel, split: str, n: int) -> list[Candidates]:
    settings, seed = settings_of(context), seed_for(context, context.folder.name)
    return sample_candidates(
        [model],
        prompts_for(context, f"{context.folder.name} {split}", n, MIX, split),
        context.file(split),
        SamplingSettings(
            settings.preferences.temperatures, max_tokens=settings.recipe.max_tokens, seed=seed, chunk=_CHUNK
        ),
        second=lambda prompt: second_asked(prompt, seed),
        progress=context.counting(f"pairs of answers ({split})"),
    )


def second_asked(prompt: Prompt, seed: int) -> Prompt:
    """What answer B is sampled after: the prompt, or the prompt behind a pre-prompt; a function of prompt and seed."""
    rng = np.random.default_rng([seed, seed_of(1, prompt.id)])
    if rng.random() >= _BEHIND.get(prompt.kind, 0.0):
        return prompt
    return behind(prompt, PREPROMPTS[int(rng.integers(len(PREPROMPTS)))])


def _annotated(
    context: Context, candidates: Sequence[Candidates], fluency: BaseFluency, kind: str, suffix: str
) -> list[Comparison]:
    """What the annotator said, as a file that is whole or not there."""
    some = compared(candidates, kind)
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
