"""A reward model of one of the two kinds, from all pairs so far (LLaMA 2 section 3.2.2).

It starts from the chat checkpoint every time, and learns from the pairs of all generations together: the newest ones
are of the answers that it will have to judge, the older ones keep it right about the others.

Pairs of the other kind are mixed in, of other requests: the same two answers with a second label, which is safer where
the first says which is more helpful, would only take back what the first one teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...preferences import Comparison, mixed
from ...reward.token_pairs import TokenPair, token_pairs
from ...reward.training import RewardSettings, RewardTraining
from ..pipeline import Context
from .preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from .shared import chat_model, last_row, seed_for, settings_of


def reward(context: Context, kind: str, backbone: str, generations: Sequence[str]) -> Mapping[str, Any]:
    """model/ is the reward model.

    Parameters
    ----------
    kind : "helpful" or "safety"
    backbone : str
        The step of the chat model that it starts from.
    generations : sequence of str
        The steps whose pairs it learns from.
    """
    given, model = settings_of(context).reward, chat_model(context, backbone)
    own, other = (HELPFUL, SAFETY) if kind == "helpful" else (SAFETY, HELPFUL)
    share = given.helpful_mix if kind == "helpful" else given.safety_mix
    seed = seed_for(context, f"reward {kind}")

    def pairs(kind: str, suffix: str = "") -> list[Comparison]:
        return [one for step in generations for one in pairs_of(context.of(step), kind, suffix)]

    def tokens(some: Sequence[Comparison]) -> list[TokenPair]:
        return token_pairs(some, model.chat, model.tokenizer, max_tokens=model.config.max_seq_len)

    settings = RewardSettings(
        name="helpfulness" if kind == "helpful" else "safety",
        peak=given.helpful_peak if kind == "helpful" else given.safety_peak,
        epochs=given.helpful_epochs if kind == "helpful" else given.safety_epochs,
        batch_size=given.batch_pairs,
        margin=given.margin,
        auxiliary=0.0 if kind == "helpful" else given.auxiliary,
        seed=seed,
    )
    mixture = mixed(pairs(own), pairs(other), share, seed, about=lambda one: one.prompt.id)
    learned, held_out = tokens(mixture), tokens(pairs(own, HELD_OUT))
    stage = RewardTraining(settings, model.params, model.config, model.tokenizer, learned, held_out)
    context.trained(stage)
    return {"pairs": len(learned), **last_row(context, "validation_accuracy")}
