"""Reward models (LLaMA 2 section 3.2): which of two answers is better, as a number for each.

model.py           backbone and head
objective.py       the ranking loss with its margins, the auxiliary loss of safety, and their gradients
beginnings.py      what the answers of a pair share is computed once
scorer.py          scores of many rows, or of a dialogue
"""

from .model import RewardModel, reward_model
from .objective import MARGINS, Pairs, Preference, preference_loss, safety_loss
from .scorer import Scorer, read_scorer, write_scorer

__all__ = [
    "MARGINS",
    "Pairs",
    "Preference",
    "RewardModel",
    "Scorer",
    "preference_loss",
    "read_scorer",
    "reward_model",
    "safety_loss",
    "write_scorer",
]
