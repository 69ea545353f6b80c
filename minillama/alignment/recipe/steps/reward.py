"""A reward model of one of the two kinds (LLaMA 2 section 3.2.2).

The first generation starts from the chat checkpoint. A later one goes on from the generation before, at half the rate:
on the newest pairs, which are of the answers that it will have to judge, and on as many older ones, which keep it right
about the others. (How the paper went on from week to week is unconfirmed.)

Of a large model the last layers alone are trained ([reward] layers): what the frozen ones below make of every pair is
computed once, and is then on the disk until the model is there.

Pairs of the other kind are mixed in, of other requests: the same two answers with a second label, which is safer where
the first says which is more helpful, would only take back what the first one teaches.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ....compute.array_types import Float
from ....config import ModelConfig
from ....tokenizers import save_tokenizer
from ...models import ChatModel
from ...preferences import Comparison, mixed
from ...reward import FrozenBelow, RewardModel, Scorer, pair_scores, write_scorer
from ...reward.model import read_reward_model
from ...reward.scorer import SHIFT, read_shift, write_shift
from ...reward.token_pairs import TokenPair, token_pairs
from ...reward.training import RewardSettings, RewardTraining
from ..pipeline import TRAINING, Context
from .preferences import HELD_OUT, HELPFUL, SAFETY, pairs_of
from .shared import chat_model, last_row, scorer, seed_for, settings_of

UPPER, STATES = "upper", "states"
_LATER_RATE = 0.5
_BELOW = 1e-3  # of equal scores all are caught


def reward(
    context: Context,
    kind: str,
    backbone: str,
    generations: Sequence[str],
    before: str | None = None,
    part: str = "",
) -> Mapping[str, Any]:
    """model/ is the reward model; its shift.json has what is taken from its scores, if anything is.

    Parameters
    ----------
    kind : "helpful" or "safety"
    backbone : str
        The step of the chat model that the first generation starts from.
    generations : sequence of str
        The steps with pairs, the newest one last.
    before : str, optional
        The step of the generation before.
    part : str
        Which of their pairs, by the ending of their files; those of training by default.
    """
    given, model = settings_of(context).reward, chat_model(context, backbone)
    own, other = (HELPFUL, SAFETY) if kind == "helpful" else (SAFETY, HELPFUL)
    share = given.helpful_mix if kind == "helpful" else given.safety_mix
    seed = seed_for(context, f"reward {kind}{part}")

    peak = given.helpful_peak if kind == "helpful" else given.safety_peak

    def pairs(kind: str, suffix: str) -> list[Comparison]:
        return [one for step in generations for one in pairs_of(context.of(step), kind, suffix)]

    def learned_pairs(kind: str) -> list[Comparison]:
        newest = pairs_of(context.of(generations[-1]), kind, part)
        older = [one for step in generations[:-1] for one in pairs_of(context.of(step), kind, part)]
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
    share_below = given.gate_share if kind == "safety" else 0.0
    if given.layers:
        _train_last_layers(context, settings, model, learned, held_out, share_below)
    else:
        first = None if before is None else scorer(context, before).model
        stage = RewardTraining(settings, model.params, model.config, model.tokenizer, learned, held_out, first=first)
        found = context.trained(stage)
        if share_below and not (found / SHIFT).exists():
            config, trained = read_reward_model(found, model.config)
            write_shift(found, _shift(context, trained, config, held_out, share_below))
    training = f"{TRAINING}-{UPPER}" if given.layers else TRAINING
    figures: dict[str, Any] = {"pairs": len(learned), **last_row(context, "validation_accuracy", training=training)}
    return figures | ({"shift": read_shift(context.file("model"))} if share_below else {})


def _train_last_layers(
    context: Context,
    settings: RewardSettings,
    model: ChatModel,
    learned: Sequence[TokenPair],
    held_out: Sequence[TokenPair],
    share_below: float,
) -> None:
    """The last layers and the head, on what the frozen layers make of the pairs; then the whole model as a folder."""
    frozen = FrozenBelow(model.params, model.config, settings_of(context).reward.layers)

    def states(name: str, some: Sequence[TokenPair]) -> list[TokenPair]:
        told = context.counting(f"pairs through the frozen layers ({name})")
        return frozen.states(some, context.file(STATES) / name, threads=context.threads, progress=told)

    def stage() -> RewardTraining:
        below = states("learned", learned), states("held-out", held_out)
        return RewardTraining(settings, model.params, model.config, model.tokenizer, *below, frozen)

    upper = context.trained(stage, UPPER)

    def write(folder: Path) -> None:
        config, trained = read_reward_model(upper, frozen.upper_config)
        shift = 0.0
        if share_below:
            shift = _shift(context, trained, config, states("held-out", held_out), share_below)
        folder.mkdir()
        write_scorer(folder, Scorer(frozen.whole(trained), model.config, shift=shift))
        save_tokenizer(model.tokenizer, folder)

    context.once("model", write)
    shutil.rmtree(context.file(STATES), ignore_errors=True)  # a gigabyte of some thousand pairs of a large model


def _shift(
    context: Context, trained: RewardModel, config: ModelConfig, held_out: Sequence[TokenPair], share: float
) -> float:
    """What is taken from the scores, so that the gate catches its share of the rejected answers."""
    return gate_shift(pair_scores(trained, config, held_out)[:, 1], share, settings_of(context).ppo.gate)


def gate_shift(rejected: Float, share: float, gate: float) -> float:
    """What is taken from scores so that a share of these, one at least, lies below a gate given as a probability."""
    ordered = np.sort(rejected.astype(np.float64))
    last = max(1, round(share * len(ordered))) - 1  # of those that are caught
    edge = (ordered[last] + ordered[min(last + 1, len(ordered) - 1)]) / 2
    return float(edge - np.log(gate / (1 - gate))) + _BELOW
