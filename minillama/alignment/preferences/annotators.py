"""Who says which of two answers is better: a program that follows this protocol, or a person (collecting.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

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
