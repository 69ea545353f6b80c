"""Which steps there are, in their order, and whose folders each of them reads."""

from __future__ import annotations

from functools import partial

from ..pipeline import Step
from ..settings import RecipeSettings
from .chat import chat
from .distillation import distillation
from .ghost import ghost_attention
from .ppo import ppo
from .preferences import preferences
from .replay import VERIFIED
from .report import report
from .reward import reward
from .sft import sft
from .shared import BASE
from .stories import stories
from .verified import verified

FIRST = "verified"
"""The step of the chat model that reward models and every round start from: the paper's SFT checkpoint."""


def steps_of(settings: RecipeSettings) -> list[Step]:
    """The steps that these settings ask for."""
    steps = [
        Step(BASE, stories),
        Step("sft", sft, (BASE,)),
        Step("verified", verified, (BASE, "sft")),
    ]
    shown, policy = {"SFT": "sft", "verified": FIRST}, FIRST
    generation = ["preferences"]
    steps += _generation("", policy, settings.preferences.requests, generation)
    helpful, safety, pairs = "reward-helpful", "reward-safety", generation[-1]
    if settings.distillation.requests:
        run = partial(distillation, policy=policy, safety=safety)
        steps.append(Step("distillation", run, _different(*VERIFIED, safety)))
        shown["distilled"] = policy = "distillation"
    if settings.ppo.iterations:
        run = partial(ppo, policy=policy, first=FIRST, helpful=helpful, safety=safety, pairs=pairs)
        steps.append(Step("ppo", run, _different(BASE, FIRST, policy, helpful, safety, pairs)))
        shown["PPO"] = policy = "ppo"
    if settings.ghost_attention.dialogues:
        run = partial(ghost_attention, policy=policy, safe="distillation")
        steps.append(Step("ghost-attention", run, _different(*VERIFIED, policy, "distillation")))
        policy = "ghost-attention"
    steps.append(Step("chat", partial(chat, policy=policy), (policy,)))
    shown["chat"] = "chat"
    run = partial(report, stages=shown, helpful=helpful, safety=safety, pairs=pairs)
    steps.append(Step("report", run, _different(BASE, *shown.values(), helpful, safety, pairs)))
    return steps


def _different(*names: str) -> tuple[str, ...]:
    """Each name once."""
    return tuple(dict.fromkeys(names))


def _generation(suffix: str, policy: str, requests: int, generations: list[str]) -> list[Step]:
    """Pairs from a policy, and reward models from all pairs so far."""
    pairs = generations[-1]
    reads = _different(FIRST, *generations)
    return [
        Step(pairs, partial(preferences, policy=policy, requests=requests), _different(BASE, policy)),
        *(
            Step(
                f"reward-{kind}{suffix}",
                partial(reward, kind=kind, backbone=FIRST, generations=tuple(generations)),
                reads,
            )
            for kind in ("helpful", "safety")
        ),
    ]
