"""Rejection sampling (LLaMA 2 section 3.2.3): a model learns from the best of its own answers.

    scorers = rewards_of(helpfulness, safety, combine=gate)
    for number in range(1, rounds + 1):
        outcome = rejection_round(folder, number, policy, prompts, scorers, fine_tune, validation=…, replay=…)
        policy = outcome.model

rounds.py              a round, in files (round_files.py)
fine_tuning.py         the fine-tuning of a round by the stage of supervised fine-tuning
candidates.py          scored answers, and the best of them over all rounds
temperature.py         at which temperature to sample
order_statistics.py    what the best of N is worth
plot.py                its picture
"""

from .candidates import Candidate, Keep, Rewards, chosen, read_candidates, rewards_of
from .fine_tuning import tuned_from
from .order_statistics import BestOfN, best_of_n
from .plot import draw_best_of_n
from .rounds import FineTune, NothingKeptError, Outcome, RejectionSettings, rejection_round
from .temperature import chosen_temperature, temperature_table

__all__ = [
    "BestOfN",
    "Candidate",
    "FineTune",
    "Keep",
    "NothingKeptError",
    "Outcome",
    "RejectionSettings",
    "Rewards",
    "best_of_n",
    "chosen",
    "chosen_temperature",
    "draw_best_of_n",
    "read_candidates",
    "rejection_round",
    "rewards_of",
    "temperature_table",
    "tuned_from",
]
