"""What a run of the recipe is told: tables of numbers for each stage, presets, and their file recipe.toml."""

from .files import differences, format_recipe, read_recipe
from .limits import check_limits
from .presets import PRESETS, RecipePreset, preset_named
from .tables import RecipeSettings

__all__ = [
    "PRESETS",
    "RecipePreset",
    "RecipeSettings",
    "check_limits",
    "differences",
    "format_recipe",
    "preset_named",
    "read_recipe",
]
