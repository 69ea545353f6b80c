"""Reward models (LLaMA 2 section 3.2): which of two answers is better, as a number for each."""

from .model import RewardModel, Scorer, read_scorer, write_scorer
from .objective import MARGINS, Preference, preference_loss

__all__ = ["MARGINS", "Preference", "RewardModel", "Scorer", "preference_loss", "read_scorer", "write_scorer"]
