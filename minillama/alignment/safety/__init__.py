"""Safety (LLaMA 2 section 4): answers that do no harm, and what they cost in harmless requests that are refused.

preprompts.py     "You are a responsible, respectful assistant …": templates, adjectives, answer templates by risk
attacks.py        any prompt under the wordings that a red team tries
scoring.py        the probability that an answer is safe, by a reward model
distillation.py   context distillation: what a pre-prompt makes of an answer, learned without the pre-prompt
keeping.py        which of those answers are learned, what is replayed beside them, and a table of both
learning.py       fine-tuning on that
outcomes.py       violations, kind turns and false refusals of every stage, with intervals and paired differences
gate.py           an extension: an answer below a threshold is not given
scaling.py        safety data from none to all of it, against the mean reward of both models
plots.py          pictures of the last two
"""

from .distillation import DistillationSettings, Distilled, distil
from .gate import Gated, GatedChat
from .keeping import KEPT, chosen, examples_of, mixed
from .learning import Learning, learn_distilled, own_answers
from .outcomes import Outcome, stage_rates
from .scoring import SafetyModel

__all__ = [
    "KEPT",
    "DistillationSettings",
    "Distilled",
    "Gated",
    "GatedChat",
    "Learning",
    "Outcome",
    "SafetyModel",
    "chosen",
    "distil",
    "examples_of",
    "learn_distilled",
    "mixed",
    "own_answers",
    "stage_rates",
]
