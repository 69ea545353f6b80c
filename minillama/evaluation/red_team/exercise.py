"""What comes of one red-team exercise: all answers with all verdicts, before any of it is summed up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .rates import Judged
from .robustness import Robustness


@dataclass(frozen=True)
class Exercise:
    """Answers to prompts under attacks, and what was said about them.

    Attributes
    ----------
    items : list of Judged
    judges : list of (name, what it is)
    settings : dict
        Of model and generation, as `model.json` has them.
    seed : int
        Of attacks and of the answers that a person should check.
    folder : Path
    has_template : bool
        Whether the model has a chat template; without one it was given lines to continue.
    robustness : Robustness or None
        Of the folder's log of attempts, if there is one.
    """

    items: list[Judged]
    judges: list[tuple[str, str]]
    settings: dict[str, Any]
    seed: int
    folder: Path
    has_template: bool
    robustness: Robustness | None = None
