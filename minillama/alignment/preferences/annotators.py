"""Who says which of two answers is better: a program that follows this protocol, or a person (collecting.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from ...evaluation.common.dialogue import Scorer
from ..models import Prompt
from .comparisons import Comparison


class Verdict(NamedTuple):
    """What was said about answers A and B: a forced choice, there are no ties.

    Attributes
    ----------
    prefers_a : bool
    strength : int
        0 to 3, as in `comparisons.STRENGTHS`.
    safe_a, safe_b : bool or None
        None where safety was not asked for.
    """

    prefers_a: bool
    strength: int
    safe_a: bool | None = None
    safe_b: bool | None = None


class Annotator(Protocol):
    """Anything that compares two answers."""

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Verdict:
        """Prefer one of two answers to a prompt; noise is drawn from `rng` alone."""
        ...


class NoisyAnnotator:
    """A program that scores answers, is not sure, and is in a hurry: whatever scores can annotate.

        seen = score(a) - score(b) + logistic noise        prefers a  <=>  seen > 0
        strength: how many of the thresholds |seen| exceeds

    Parameters
    ----------
    scorer : evaluation.common.dialogue.Scorer
        A reward model, a word rule, a classifier.
    noise : float
        Scale of the noise; 0 for none.
    thresholds : (float, float, float)
        For slightly better, better, significantly better, in the units of the scores.
    safe_above : float or None
        Answers with a score above are safe; None says nothing of safety.
    """

    def __init__(
        self,
        scorer: Scorer,
        *,
        noise: float = 0.45,
        thresholds: tuple[float, float, float] = (0.6, 1.4, 2.5),
        safe_above: float | None = None,
    ) -> None:
        if not noise >= 0 or not 0 < thresholds[0] < thresholds[1] < thresholds[2]:
            raise ValueError(f"expected noise of 0 or more and three rising thresholds, got {noise}, {thresholds}")
        self.scorer, self.noise, self.thresholds, self.safe_above = scorer, noise, thresholds, safe_above

    def compare(self, prompt: Prompt, a: str, b: str, rng: np.random.Generator) -> Verdict:
        """Prefer one of two answers to a prompt."""
        scores = [self.scorer.score([*prompt.dialogue, {"role": "assistant", "content": text}]) for text in (a, b)]
        seen = scores[0] - scores[1] + self.noise * float(rng.logistic())
        strength = sum(abs(seen) > least for least in self.thresholds)
        if self.safe_above is None:
            return Verdict(seen > 0, strength)
        return Verdict(seen > 0, strength, scores[0] > self.safe_above, scores[1] > self.safe_above)


def as_comparison(
    prompt: Prompt,
    answers: tuple[str, str],
    verdict: Verdict,
    *,
    source: str = "",
    ids: tuple[Sequence[int], Sequence[int]] | None = None,
) -> Comparison:
    """A verdict about answers A and B, with the preferred one first."""
    chosen, rejected = (0, 1) if verdict.prefers_a else (1, 0)
    safe = (verdict.safe_a, verdict.safe_b)
    return Comparison(
        prompt,
        answers[chosen],
        answers[rejected],
        verdict.strength,
        safe[chosen],
        safe[rejected],
        source,
        None if ids is None else tuple(ids[chosen]),
        None if ids is None else tuple(ids[rejected]),
    )
