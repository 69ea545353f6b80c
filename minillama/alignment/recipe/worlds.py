"""The worlds that a recipe can be about, by the name that recipe.toml gives them, and the steps in one."""

from __future__ import annotations

from ...files.suggestions import did_you_mean
from .people import PeopleWorld
from .pipeline import Step
from .settings import RecipeSettings
from .steps import order
from .steps.story import StoryWorld
from .steps.world import World

WORLDS: dict[str, World] = {"story": StoryWorld(), "people": PeopleWorld()}


def world_of(settings: RecipeSettings) -> World:
    """The world that the settings name.

    Raises
    ------
    ValueError
        When there is none of that name.
    """
    name = settings.recipe.world
    if name not in WORLDS:
        raise ValueError(
            f"[recipe] world: there is none called {name[:60]!r}; {did_you_mean(name, list(WORLDS))}possible: "
            f"{', '.join(WORLDS)}"
        )
    return WORLDS[name]


def steps_of(settings: RecipeSettings) -> list[Step]:
    """The steps that these settings ask for."""
    return order.steps_of(settings, world_of(settings))
