"""Reward models (LLaMA 2 section 3.2): which of two answers is better, as a number for each.

model.py           backbone and head
objective.py       the ranking loss with its margins, the auxiliary loss of safety, and their gradients
beginnings.py      what the answers of a pair share is computed once
token_pairs.py     comparisons as ids
training.py        the stage, with the paper's settings and scaled ones
frozen.py          the last layers trained alone
scorer.py          scores of many rows, or of a dialogue
"""

from .frozen import FrozenBelow
from .model import RewardModel, reward_model
from .objective import MARGINS, Pairs, Preference, preference_loss, safety_loss
from .scorer import Scorer, pair_scores, read_scorer, write_scorer
from .token_pairs import TokenPair, batch_of, token_pairs
from .training import RewardSettings, RewardTraining, paper_settings, story_settings

__all__ = [
    "MARGINS",
    "FrozenBelow",
    "Pairs",
    "Preference",
    "RewardModel",
    "RewardSettings",
    "RewardTraining",
    "Scorer",
    "TokenPair",
    "batch_of",
    "pair_scores",
    "paper_settings",
    "preference_loss",
    "read_scorer",
    "reward_model",
    "safety_loss",
    "story_settings",
    "token_pairs",
    "write_scorer",
]
