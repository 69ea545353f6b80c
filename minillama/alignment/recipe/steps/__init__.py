"""The steps of the recipe in their order. Each is a few lines of glue: what is learned is said in its own folder."""

from __future__ import annotations

from ..pipeline import Step
from ..settings import RecipeSettings


def steps_of(settings: RecipeSettings) -> list[Step]:
    """The steps that these settings ask for."""
    return []
