"""Which steps there are, in their order, and whose folders each of them reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from ..pipeline import Step
from ..settings import RecipeSettings
from .chat import chat
from .distillation import distillation
from .ghost import ghost_attention
from .ppo import ppo
from .preferences import preferences
from .rejection import rejection
from .report import report
from .reward import reward
from .sft import sft
from .shared import BASE, verified_steps
from .stories import stories
from .verified import verified


def steps_of(settings: RecipeSettings) -> list[Step]:
    """The steps that these settings ask for."""
    steps = [Step(BASE, stories), Step("sft", sft, (BASE,))]
    policy = "sft"
    for number, name in enumerate(verified_steps(settings), 1):
        run = partial(verified, number=number, policy=policy)
        steps.append(Step(name, run, (BASE, policy)))
        policy = name
    first, shown = policy, {"SFT": "sft", "verified": policy}
    replayed = (BASE, first)
    learned, safe = _Rewards(["preferences"], first), None
    steps += learned.steps(policy, settings.preferences.requests)
    if settings.distillation.requests:
        run = partial(distillation, policy=policy, safety=learned.safety)
        steps.append(Step("distillation", run, _different(*replayed, learned.safety)))
        shown["distilled"] = policy = safe = "distillation"
    for number in range(1, settings.rejection.rounds + 1):
        name, before = f"rejection-{number}", f"rejection-{number - 1}" if number > 1 else None
        given = {"policy": policy, "first": first, "before": before, "safe": safe, **learned.models}
        run = partial(rejection, number=number, **given)
        steps.append(
            Step(name, run, _different(*replayed, policy, before or policy, safe or policy, *learned.models.values()))
        )
        shown[f"RS {number}"] = policy = name
    if settings.preferences.refresh and settings.rejection.rounds:
        learned = learned.next()
        steps += learned.steps(policy, settings.preferences.refresh)
    if settings.ppo.iterations:
        run = partial(ppo, policy=policy, first=first, generations=tuple(learned.generations), **learned.models)
        steps.append(Step("ppo", run, _different(BASE, first, policy, *learned.generations, *learned.models.values())))
        shown["PPO"] = policy = "ppo"
    if settings.ghost_attention.dialogues:
        run = partial(ghost_attention, policy=policy, safe=safe)
        steps.append(Step("ghost-attention", run, _different(*replayed, policy, safe or policy)))
        policy = "ghost-attention"
    steps.append(Step("chat", partial(chat, policy=policy), (policy,)))
    shown["chat"] = "chat"
    run = partial(report, stages=shown, first=first, pairs=tuple(learned.generations), **learned.models)
    read = (BASE, *shown.values(), *learned.generations, *learned.models.values())
    steps.append(Step("report", run, _different(*read, *(["ppo"] if settings.ppo.iterations else []))))
    return steps


@dataclass(frozen=True)
class _Rewards:
    """A generation of reward models, which has learned from the pairs of all generations up to it.

    Attributes
    ----------
    generations : list of str
        The steps with pairs.
    first : str
        The step of the chat model that reward models and every round start from: the paper's SFT checkpoint.
    """

    generations: list[str]
    first: str

    @property
    def pairs(self) -> str:
        """The newest pairs."""
        return self.generations[-1]

    @property
    def _suffix(self) -> str:
        return "" if len(self.generations) == 1 else f"-{len(self.generations)}"

    @property
    def safety(self) -> str:
        return f"reward-safety{self._suffix}"

    @property
    def models(self) -> dict[str, Any]:
        """The steps of both models."""
        return {"helpful": f"reward-helpful{self._suffix}", "safety": self.safety}

    @property
    def before(self) -> _Rewards | None:
        """The generation before this one."""
        return _Rewards(self.generations[:-1], self.first) if len(self.generations) > 1 else None

    def next(self) -> _Rewards:
        """The generation after this one."""
        return _Rewards([*self.generations, f"preferences-{len(self.generations) + 1}"], self.first)

    def steps(self, policy: str, requests: int) -> list[Step]:
        """Pairs from a policy, and both models."""
        steps = [Step(self.pairs, partial(preferences, policy=policy, requests=requests), _different(BASE, policy))]
        earlier = self.before
        for kind, name in self.models.items():
            before = None if earlier is None else earlier.models[kind]
            run = partial(reward, kind=kind, backbone=self.first, generations=tuple(self.generations), before=before)
            steps.append(Step(name, run, _different(self.first, *self.generations, *([before] if before else []))))
        return steps


def _different(*names: str) -> tuple[str, ...]:
    """Each name once."""
    return tuple(dict.fromkeys(names))
