"""Both reward models as one reward, each centred on the answers of the fine-tuned model that it decides about."""

from __future__ import annotations

from ...ppo import Scoring
from ..pipeline import Context
from .shared import answers_to, chat_model, prompts_for, scorer, settings_of

MIX = {"story": 0.36, "kind": 0.12, "borderline": 0.2, "adversarial": 0.22, "persona": 0.06, "follow-up": 0.04}
"""Of the requests that policies are trained on by reward."""
_ANSWERS = 256


def scoring_of(context: Context, helpful: str, safety: str, first: str) -> Scoring:
    """The reward of rejection sampling and PPO.

    Parameters
    ----------
    helpful, safety : str
        The steps of the reward models.
    first : str
        The step of the fine-tuned model.
    """
    prompts = prompts_for(context, "centres", min(_ANSWERS, 8 * settings_of(context).rejection.requests), MIX)
    answers = answers_to(context, chat_model(context, first), prompts, "centres", temperature=0.9)
    rows = [(*one.prompt, *one.ids) for (one,) in answers]
    scoring = Scoring(scorer(context, helpful), scorer(context, safety))
    return scoring.centred(rows, [prompt.tagged for prompt in prompts])
