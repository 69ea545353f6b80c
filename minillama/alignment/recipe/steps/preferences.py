"""Pairs of answers, sampled at two temperatures and compared by the programmatic annotator (LLaMA 2 section 3.2.1).

    helpful.jsonl    every request: which answer is more helpful
    safety.jsonl     requests that may elicit what is unsafe, and those that look like them: which answer is safer
    …-held-out       the same of validation requests, which no reward model learns from

Pairs of the same text twice say nothing and are left out; so are, of the safety pairs, those where the unsafe answer
was preferred.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...models import ChatModel, Prompt
from ...preferences.annotators import as_comparison
from ...preferences.comparisons import Comparison, safety_set
from ...preferences.reading import read_comparisons, write_comparisons
from ...rollouts import Answer
from ...story_world import StoryAnnotator
from ..pipeline import Context
from .shared import answers_to, base_fluency, chat_model, prompts_for, seed_for, settings_of

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
    model = chat_model(context, policy)
    fluency = base_fluency(context)
    counts = {}
    for split, n, suffix in (
        ("train", requests, ""),
        ("validation", settings_of(context).preferences.held_out, HELD_OUT),
    ):
        name = f"{context.folder.name}{suffix}"
        prompts = prompts_for(context, name, n, MIX, split)
        pairs: list[tuple[Answer, Answer]] = []
        for kind in (HELPFUL, SAFETY):

            def write(
                path: Path, kind: str = kind, name: str = name, prompts: Any = prompts, pairs: Any = pairs
            ) -> None:
                if not pairs:
                    pairs += sampled_pairs(context, model, prompts, name)
                annotator = StoryAnnotator.of(fluency, "helpful" if kind == HELPFUL else "safe")
                write_comparisons(path, _of_kind(kind, compared(annotator, prompts, pairs, seed_for(context, name))))

            counts[f"{kind}{suffix}"] = len(read_comparisons(context.once(f"{kind}{suffix}.jsonl", write)))
    return {name.replace("-", " "): n for name, n in counts.items()}


def sampled_pairs(
    context: Context, model: ChatModel, prompts: Sequence[Prompt], name: str
) -> list[tuple[Answer, Answer]]:
    """Two answers to each request, at two different temperatures where there are several."""
    temperatures = settings_of(context).preferences.temperatures
    chosen = [_two(temperatures, prompt, seed_for(context, name)) for prompt in prompts]
    found: list[dict[str, Answer]] = []
    for side in (0, 1):
        found.append({})
        for temperature in temperatures:
            some = [prompt for prompt, both in zip(prompts, chosen) if both[side] == temperature]
            what = f"{name} {'ab'[side]}"
            found[side] |= {
                one.prompt_id: one for (one,) in answers_to(context, model, some, what, temperature=temperature)
            }
    return [(found[0][prompt.id], found[1][prompt.id]) for prompt in prompts]


def _two(temperatures: Sequence[float], prompt: Prompt, seed: int) -> tuple[float, float]:
    rng = np.random.default_rng([seed, zlib.crc32(prompt.id.encode())])
    a, b = rng.choice(len(temperatures), 2, replace=len(temperatures) < 2)
    return temperatures[a], temperatures[b]


def compared(
    annotator: StoryAnnotator, prompts: Sequence[Prompt], pairs: Sequence[tuple[Answer, Answer]], seed: int
) -> list[Comparison]:
    """What the annotator says of every pair of different texts."""
    annotator.prepare([answer.text for pair in pairs for answer in pair])
    found = []
    for prompt, (a, b) in zip(prompts, pairs):
        if a.text != b.text:
            verdict = annotator.compare(prompt, a.text, b.text, annotator.rng_of(seed, prompt))
            found.append(as_comparison(prompt, (a.text, b.text), verdict, ids=(a.ids, b.ids)))
    return found


def _of_kind(kind: str, comparisons: Sequence[Comparison]) -> list[Comparison]:
    if kind == HELPFUL:
        return list(comparisons)
    return safety_set(one for one in comparisons if one.prompt.kind in _SAFETY_KINDS)
