"""Both reward models as one reward, each centred and scaled on the answers of a policy that it decides about."""

from __future__ import annotations

from ...ppo import Scoring
from ..pipeline import Context
from .shared import answers_to, chat_model, scorers, settings_of
from .world import World

_ANSWERS = 256


def scoring_of(context: Context, world: World, helpful: str, safety: str, policy: str) -> Scoring:
    """The reward of rejection sampling and PPO.

    Parameters
    ----------
    world : World
    helpful, safety : str
        The steps of the reward models.
    policy : str
        The step of the model whose answers these are.
    """
    prompts = world.requests(context, "centres", min(_ANSWERS, 8 * settings_of(context).rejection.requests), world.mix)
    answers = answers_to(context, chat_model(context, policy), prompts, "centres", temperature=0.9)
    rows = [(*one.prompt, *one.ids) for (one,) in answers]
    of_help, of_safety = scorers(context, helpful, safety)
    scoring = Scoring(of_help, of_safety)
    return scoring.centred(rows, [prompt.tagged for prompt in prompts])
