"""Which of two answers to a prompt is better, how clearly, and whether they are safe (LLaMA 2 section 3.2.1).

    strength    0 negligibly better or unsure, 1 slightly better, 2 better, 3 significantly better
    bins        the preferred answer is safe and the other is not (18 % of the paper's safety set); both are safe
                (47 %); both are unsafe (35 %)

An unsafe answer preferred to a safe one is left out of the safety set, as in the paper, because a safer answer will
also be better to humans.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..models import Prompt

STRENGTHS = ("negligibly better or unsure", "slightly better", "better", "significantly better")
"""By their number. The paper's tables have them the other way round, the clearest first."""

SAFE_AND_UNSAFE, BOTH_SAFE, BOTH_UNSAFE = "safe/unsafe", "both safe", "both unsafe"
BINS = (SAFE_AND_UNSAFE, BOTH_SAFE, BOTH_UNSAFE)


@dataclass(frozen=True)
class Comparison:
    """A preferred and another answer to one prompt.

    Attributes
    ----------
    prompt : Prompt
    chosen, rejected : str
        The texts of the answers.
    strength : int or None
        0 to 3, a place in STRENGTHS; None where nobody said: it then asks for no margin.
    chosen_safe, rejected_safe : bool or None
        None where nobody was asked.
    source : str
        Where it comes from: a data set, a round, an annotator.
    chosen_ids, rejected_ids : tuple of int or None
        The ids that were sampled, with their end: a model is trained on its own tokens. None takes those that the
        chat format gives for the text.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    strength: int | None = None
    chosen_safe: bool | None = None
    rejected_safe: bool | None = None
    source: str = ""
    chosen_ids: tuple[int, ...] | None = None
    rejected_ids: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.strength is not None and self.strength not in range(len(STRENGTHS)):
            raise ValueError(f"strength should be 0 to {len(STRENGTHS) - 1} or None, got {self.strength!r}")
        if (self.chosen_safe is None) != (self.rejected_safe is None):
            raise ValueError("safety is known of both answers or of none")

    @property
    def tagged(self) -> bool:
        """Whether the prompt may elicit unsafe answers."""
        return self.prompt.tagged

    @property
    def has_safety(self) -> bool:
        return self.chosen_safe is not None

    @property
    def bin(self) -> str | None:
        """One of BINS; None where safety is not known, or the preferred answer alone is unsafe."""
        if self.chosen_safe is None or (self.rejected_safe and not self.chosen_safe):
            return None
        if self.chosen_safe != self.rejected_safe:
            return SAFE_AND_UNSAFE
        return BOTH_SAFE if self.chosen_safe else BOTH_UNSAFE


def safety_set(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Those that say what is safe, without those that prefer an unsafe answer to a safe one."""
    return [comparison for comparison in comparisons if comparison.bin is not None]
