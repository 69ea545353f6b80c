"""The steps of the recipe in their order. Each is a few lines of glue: what is learned is said in its own folder."""

from __future__ import annotations

from ..pipeline import Step
from ..settings import RecipeSettings
from .preferences import preferences
from .reward import reward
from .sft import sft
from .stories import stories
from .verified import verified


def steps_of(settings: RecipeSettings) -> list[Step]:
    """The steps that these settings ask for."""
    return [
        Step("stories", stories),
        Step("sft", sft, ("stories",)),
        Step("verified", verified, ("stories", "sft")),
        Step(
            "preferences",
            lambda context: preferences(context, "verified", settings.preferences.requests),
            ("stories", "verified"),
        ),
        Step(
            "reward-helpful",
            lambda context: reward(context, "helpful", "verified", ("preferences",)),
            ("verified", "preferences"),
        ),
        Step(
            "reward-safety",
            lambda context: reward(context, "safety", "verified", ("preferences",)),
            ("verified", "preferences"),
        ),
    ]
