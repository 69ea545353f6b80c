"""What a run of the recipe is told: tables of numbers for each stage, presets, and their file recipe.toml."""

from .again import command_again, own_settings
from .files import differences, format_recipe, read_recipe
from .limits import check_limits
from .made import changed_since, made_with
from .presets import PRESETS, RecipePreset, preset_named
from .tables import RecipeSettings

__all__ = [
    "PRESETS",
    "RecipePreset",
    "RecipeSettings",
    "changed_since",
    "check_limits",
    "command_again",
    "differences",
    "format_recipe",
    "made_with",
    "own_settings",
    "preset_named",
    "read_recipe",
]
