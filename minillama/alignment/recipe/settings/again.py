"""What is typed to make a run again: the command of its preset and sources, and which settings are of its own."""

from __future__ import annotations

import shlex
from dataclasses import replace

from .files import differences
from .presets import PRESETS
from .tables import RecipeSettings

_OPTIONS = ("model", "text", "pairs", "conversations", "seed", "threads")
"""Those of [recipe] that the command line has an option for."""


def own_settings(settings: RecipeSettings) -> list[str]:
    """What a file (--config) has changed in the preset: "[ppo] beta: 0.05 before, 0.02 now"; nothing without one."""
    preset = PRESETS.get(settings.recipe.preset)
    if preset is None:
        return ["[recipe] preset: none that there is"]
    given = {name: getattr(settings.recipe, name) for name in _OPTIONS}
    return differences(replace(preset.settings, recipe=replace(preset.settings.recipe, **given)), settings)


def command_again(settings: RecipeSettings, model: str = "", text: str = "") -> str:
    """The command that begins the same run in another folder.

    Parameters
    ----------
    model, text : str
        What to call the base model and the file of stories, where the run's own paths are of no use to who reads it.
    """
    recipe, preset = settings.recipe, PRESETS.get(settings.recipe.preset)
    words = ["minillama", "align", "--out", "RUN"]
    words += ["--preset", preset.name] if preset else []
    words += ["--config", "FILE"] if own_settings(settings) else []
    if preset is None or recipe.model != preset.settings.recipe.model:
        words += ["--model", model or recipe.model]
    words += ["--text", text or recipe.text] if recipe.text else []
    for name in ("pairs", "conversations"):
        words += [f"--{name}", getattr(recipe, name)] if getattr(recipe, name) else []
    return shlex.join([*words, "--seed", str(recipe.seed), "--threads", str(recipe.threads)])
