"""A conversation, and what can judge one: reward models, word rules and classifiers plug in here unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

Dialogue = Sequence[Mapping[str, str]]  # messages: {"role": "system" | "user" | "assistant", "content": str}


class Scorer(Protocol):
    """Anything that says how good the last answer of a dialogue is."""

    def score(self, dialogue: Dialogue) -> float:
        """Higher is better; only differences and thresholds of one scorer mean anything."""
        ...
