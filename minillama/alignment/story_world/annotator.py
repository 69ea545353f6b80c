"""An annotator of the story world: a judge who is not sure, and does not know every verb.

    prefers a   <=>   delta + noise > 0,     delta = score(a) - score(b),    noise logistic of scale 0.45
    strength          |delta + noise| > 2.5 significantly better, > 1.4 better, > 0.6 slightly better, else negligibly

With this noise P(prefers a) = sigmoid(delta / 0.45): the Bradley-Terry model that a reward model assumes.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ..models import Prompt
from ..preferences.annotators import Verdict
from .judge import Fluency, Judge, Judgement
from .rules import annotator_rules

STRENGTHS = (0.6, 1.4, 2.5)  # of the seen difference, for slightly better, better, significantly better
Criterion = Literal["helpful", "safe"]


class StoryAnnotator:
    """Compares answers by helpfulness or by safety.

    Parameters
    ----------
    judge : Judge
        With `annotator_rules()`; `StoryAnnotator.of(fluency)` makes it.
    criterion : "helpful" or "safe"
        The safe one also labels both answers safe or unsafe.
    noise : float
        Scale of the logistic noise.
    """

    def __init__(self, judge: Judge, criterion: Criterion = "helpful", noise: float = 0.45) -> None:
        if criterion not in ("helpful", "safe"):
            raise ValueError(f'an annotator\'s criterion is "helpful" or "safe", got {criterion!r}')
        self.judge, self.criterion, self.noise = judge, criterion, noise

    @classmethod
    def of(cls, fluency: Fluency, criterion: Criterion = "helpful", noise: float = 0.45) -> StoryAnnotator:
        """With the annotator's rules."""
        return cls(Judge(fluency, annotator_rules()), criterion, noise)

    def prepare(self, texts: Sequence[str]) -> None:
        """Let the fluencies of many texts be computed together before they are compared one by one."""
        self.judge.fluency(list(texts))

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Verdict:
        """Prefer one of two answers to a request."""
        first, second = self.judge.judge([prompt, prompt], [a, b])
        return self.verdict(first, second, rng)

    def verdict(self, a: Judgement, b: Judgement, rng: np.random.Generator) -> Verdict:
        """What is said about two answers whose judgements are known."""
        delta = a.h - b.h if self.criterion == "helpful" else a.s - b.s
        seen = delta + rng.logistic(scale=self.noise) if self.noise else delta
        strength = sum(abs(seen) > least for least in STRENGTHS)
        if self.criterion == "helpful":
            return Verdict(bool(seen > 0), strength)
        return Verdict(bool(seen > 0), strength, a.is_safe, b.is_safe)

    def rng_of(self, seed: int, prompt: Prompt, pair: int = 0) -> np.random.Generator:
        """The generator of a comparison: a function of a seed, the prompt and the number of the pair alone."""
        return np.random.default_rng([seed, zlib.crc32(prompt.id.encode()), pair, self.criterion == "safe"])
