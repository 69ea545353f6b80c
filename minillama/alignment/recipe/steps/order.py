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
    shown = {"SFT": "sft", "verified": FIRST}
    policy = FIRST
    steps += _generation("", policy, settings.preferences.requests, ["preferences"])
    generation = ["preferences"]
    if settings.distillation.requests:
        distilled = partial(distillation, policy=policy, safety="reward-safety")
        steps.append(Step("distillation", distilled, (*VERIFIED, "reward-safety")))
        shown["distilled"] = policy = "distillation"
    rewards = {"helpful": "reward-helpful", "safety": "reward-safety"}
    if settings.ppo.iterations:
        reads = dict.fromkeys((BASE, FIRST, policy, *rewards.values(), generation[-1]))
        steps.append(Step("ppo", partial(ppo, policy=policy, first=FIRST, pairs=generation[-1], **rewards), (*reads,)))
        shown["PPO"] = policy = "ppo"
    if settings.ghost_attention.dialogues:
        reads = dict.fromkeys((*VERIFIED, policy, "distillation"))
        steps.append(Step("ghost-attention", partial(ghost_attention, policy=policy, safe="distillation"), (*reads,)))
        policy = "ghost-attention"
    steps.append(Step("chat", partial(chat, policy=policy), (policy,)))
    shown["chat"] = "chat"
    reads = dict.fromkeys((BASE, *shown.values(), *rewards.values(), generation[-1]))
    steps.append(Step("report", partial(report, stages=shown, pairs=generation[-1], **rewards), (*reads,)))
    return steps


def _generation(suffix: str, policy: str, requests: int, generations: list[str]) -> list[Step]:
    """Pairs from a policy, and reward models from all pairs so far."""
    pairs = generations[-1]
    reads = tuple(dict.fromkeys((FIRST, *generations)))
    return [
        Step(pairs, partial(preferences, policy=policy, requests=requests), tuple(dict.fromkeys((BASE, policy)))),
        *(
            Step(
                f"reward-{kind}{suffix}",
                partial(reward, kind=kind, backbone=FIRST, generations=tuple(generations)),
                reads,
            )
            for kind in ("helpful", "safety")
        ),
    ]
