"""What is replayed beside everything new, in the world of stories: answers that were found right, and skills that no
reward speaks for.

A stage forgets what its data has not (a prototype's follow-ups fell from 98 to 32 %). Replayed are the policy's own
verified answers, and demonstrations of personas and of dialogues of several turns; nothing that is unsafe.

First uses of requested words weigh as they do in fine-tuning (story_world/emphasis.py). With every token alike the
model forgot in one stage what fine-tuning had forced: of the requested words it used 36 % where it had used 58 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ...conversations import Example
from ...models import ChatModel, Prompt
from ...story_world import Demonstration, DemonstrationSettings, Request, demonstration_of
from ...story_world.fine_tuning import Curriculum, weighted
from ..pipeline import Context
from .kept import Kept, read_kept, replayed
from .shared import settings_of, verified_steps
from .stories import demonstrations_of

SKILLS = {"persona": 0.3, "suffix": 0.2, "dialogue": 0.3, "follow-up": 0.2}
"""Of the replayed demonstrations."""
_PASS = 2 << 20  # of demonstrations that no other step draws
_DEMONSTRATIONS = 600


def emphasised(model: ChatModel, prompt: Prompt, answer: str) -> Example:
    """An answer with the weights of fine-tuning."""
    return _weighted(demonstration_of(Request.of(prompt), answer), model)


def _weighted(shown: Demonstration, model: ChatModel) -> Example:
    how = Curriculum()
    return weighted(shown, model, how.word_weight[1], how.later_weight, how.start_weight, how.name_weight)


def replay_pool(
    context: Context, model: ChatModel, safe: str | None = None, own: Sequence[Kept] | None = None
) -> dict[str, list[Example]]:
    """Examples to replay, by kind: "story", "kind", "borderline", "persona", "dialogue" …

    Parameters
    ----------
    safe : str, optional
        The step that kept safe answers to adversarial requests.
    own : sequence of Kept, optional
        The model's own answers, in place of those that earlier steps kept.
    """
    example = partial(emphasised, model)
    kept = read_kept(context.of(verified_steps(settings_of(context))[-1])) if own is None else own
    pool = replayed(kept, example)
    if safe is not None:
        pool |= replayed(read_kept(context.of(safe)), example)
    settings = DemonstrationSettings(dense=0.0, shares=SKILLS)
    demonstrations = demonstrations_of(context, settings)
    for i in range(_DEMONSTRATIONS):
        shown = demonstrations.draw(_PASS, i)
        pool.setdefault(shown.kind, []).append(_weighted(shown, model))
    return pool
