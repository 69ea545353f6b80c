"""The newest policy's own best answers: what is replayed beside a skill that is to change nothing else.

What earlier steps kept are answers of earlier policies. Replayed after PPO, they take back what it has won: requested
words came more than twice in 28 of 100 cases where they had in 15. So the policy answers once more: a last round of
rejection sampling, where of the answers that a program finds right the one with the largest reward stays.

The reward models alone do not see everything that was asked for. In the world of stories the helpfulness model hears
fluency and not which words a story has, and from round to round fewer of them came; what a program can check need not
be learned from comparisons.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...models import ChatModel
from ...rejection_sampling.candidates import chosen, scored
from ..pipeline import Context
from .kept import KEPT, Kept, read_kept, write_kept
from .rejection import combined_rewards
from .scoring import scoring_of
from .shared import answers_to, settings_of
from .world import World

_SAMPLES, _TEMPERATURE = 6, 0.9
_ASKED = 2  # requests for each answer that is wanted: to the harder ones none may be right


def best_answers(
    context: Context, world: World, model: ChatModel, n: int, mix: Mapping[str, float], policy: str, **rewards: str
) -> list[Kept]:
    """The best right answers to twice `n` requests, in kept.jsonl; none to a request where none is right.

    Parameters
    ----------
    model : ChatModel
        That which the step `policy` left behind.
    mix : mapping of str to float
        Shares of the kinds of requests.
    **rewards
        The steps of the reward models, `helpful` and `safety`.
    """

    def write(path: Path) -> None:
        prompts = world.requests(context, "replayed", _ASKED * n, mix)
        answers = answers_to(context, model, prompts, "replayed", k=_SAMPLES, temperature=_TEMPERATURE)
        scoring = scoring_of(context, world, policy=policy, **rewards)
        reward = combined_rewards(scoring, settings_of(context).ppo.gate)
        found = chosen(scored(prompts, answers, reward, number=1, temperature=_TEMPERATURE, keep=world.is_right))
        asked = {prompt.id: prompt for prompt in prompts}
        write_kept(path, [Kept(asked[one.prompt_id], one.text) for one in found])

    context.once(KEPT, write)
    return read_kept(context.folder)
