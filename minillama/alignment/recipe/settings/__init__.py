"""What a run of the recipe is told: tables of numbers for each stage, presets, and their file recipe.toml."""

from .files import differences, format_recipe, read_recipe
from .presets import PRESETS, RecipePreset, preset_named
from .tables import RecipeSettings

__all__ = [
    "PRESETS",
    "RecipePreset",
    "RecipeSettings",
    "differences",
    "format_recipe",
    "preset_named",
    "read_recipe",
]
