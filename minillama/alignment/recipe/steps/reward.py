"""A reward model of one of the two kinds (LLaMA 2 section 3.2.2).

The first generation starts from the chat checkpoint. A later one goes on from the generation before, at half the rate:
on the newest pairs, which are of the answers that it will have to judge, and on as many older ones, which keep it right
about the others. (How the paper went on from week to week is unconfirmed.)

Pairs of the other kind are mixed in, of other requests: the same two answers with a second label, which is safer where
the first says which is more helpful, would only take back what the first one teaches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...preferences import Comparison, mixed
from ...reward.token_pairs import TokenPair, token_pairs
from ...reward.training import RewardSettings, RewardTraining
from ..pipeline import Context
from .preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from .shared import chat_model, last_row, scorer, seed_for, settings_of

_LATER_RATE = 0.5


def reward(
    context: Context, kind: str, backbone: str, generations: Sequence[str], before: str | None = None
) -> Mapping[str, Any]:
    """model/ is the reward model.

    Parameters
    ----------
    kind : "helpful" or "safety"
    backbone : str
        The step of the chat model that the first generation starts from.
    generations : sequence of str
        The steps with pairs, the newest one last.
    before : str, optional
        The step of the generation before.
    """
    given, model = settings_of(context).reward, chat_model(context, backbone)
    own, other = (HELPFUL, SAFETY) if kind == "helpful" else (SAFETY, HELPFUL)
    share = given.helpful_mix if kind == "helpful" else given.safety_mix
    seed = seed_for(context, f"reward {kind}")
    peak = given.helpful_peak if kind == "helpful" else given.safety_peak

    def pairs(kind: str, suffix: str = "") -> list[Comparison]:
        return [one for step in generations for one in pairs_of(context.of(step), kind, suffix)]

    def learned_pairs(kind: str) -> list[Comparison]:
        newest = pairs_of(context.of(generations[-1]), kind)
        older = [one for step in generations[:-1] for one in pairs_of(context.of(step), kind)]
        order = np.random.default_rng([seed, len(generations)]).permutation(len(older))[: len(newest)]
        return [*newest, *(older[i] for i in sorted(order.tolist()))]

    def tokens(some: Sequence[Comparison]) -> list[TokenPair]:
        return token_pairs(some, model.chat, model.tokenizer, max_tokens=model.config.max_seq_len)

    settings = RewardSettings(
        name="helpfulness" if kind == "helpful" else "safety",
        peak=peak if before is None else peak * _LATER_RATE,
        epochs=given.helpful_epochs if kind == "helpful" else given.safety_epochs,
        batch_size=given.batch_pairs,
        margin=given.margin,
        auxiliary=0.0 if kind == "helpful" else given.auxiliary,
        seed=seed,
    )
    mixture = mixed(learned_pairs(own), learned_pairs(other), share, seed, about=lambda one: one.prompt.id)
    learned, held_out = tokens(mixture), tokens(pairs(own, HELD_OUT))
    first = None if before is None else scorer(context, before).model
    stage = RewardTraining(settings, model.params, model.config, model.tokenizer, learned, held_out, first=first)
    context.trained(stage)
    return {"pairs": len(learned), **last_row(context, "validation_accuracy")}
