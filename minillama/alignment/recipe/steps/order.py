"""Which steps there are, in their order, and whose folders each of them reads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..pipeline import Step
from ..settings import RecipeSettings
from .chat import chat
from .distillation import distillation
from .ghost import ghost_attention
from .ppo import ppo
from .rejection import rejection
from .reward import reward
from .world import World


def steps_of(settings: RecipeSettings, world: World) -> list[Step]:
    """The steps that these settings ask for, in a world."""
    steps, shown, first, reads = world.beginning(settings)
    policy, learned, safe = first, _Rewards(world, first, [world.pairs]), None
    steps += learned.steps(policy, settings.preferences.requests)
    steps += world.helped(first, **learned.models)
    if settings.distillation.requests:
        run = partial(distillation, world=world, policy=policy, safety=learned.safety)
        steps.append(Step("distillation", run, _different(*reads, policy, learned.safety)))
        shown["distilled"] = policy = safe = "distillation"
    for number in range(1, settings.rejection.rounds + 1):
        name, before = f"rejection-{number}", f"rejection-{number - 1}" if number > 1 else None
        given = {"policy": policy, "first": first, "before": before, "safe": safe, **learned.models}
        run = partial(rejection, world=world, number=number, **given)
        read = (*reads, first, policy, before or policy, safe or policy, *learned.models.values())
        steps.append(Step(name, run, _different(*read)))
        shown[f"RS {number}"] = policy = name
    if settings.preferences.refresh and settings.rejection.rounds:
        learned = learned.next()
        steps += learned.steps(policy, settings.preferences.refresh)
    if settings.ppo.iterations:
        given = {"policy": policy, "generations": tuple(learned.generations), **learned.models}
        run = partial(ppo, world=world, **given)
        read = (*reads, policy, *learned.generations, *learned.models.values())
        steps.append(Step("ppo", run, _different(*read)))
        shown["PPO"] = policy = "ppo"
    if settings.ghost_attention.dialogues:
        run = partial(ghost_attention, world=world, policy=policy, **learned.models)
        steps.append(Step("ghost-attention", run, _different(*reads, policy, *learned.models.values())))
        policy = "ghost-attention"
    steps.append(Step("chat", partial(chat, policy=policy), (policy,)))
    shown["chat"] = "chat"
    run = partial(world.report, stages=shown, first=first, pairs=tuple(learned.generations), **learned.models)
    read = (*reads, *shown.values(), *learned.generations, *learned.models.values())
    steps.append(Step("report", run, _different(*read, *(["ppo"] if settings.ppo.iterations else []))))
    return steps


@dataclass(frozen=True)
class _Rewards:
    """A generation of reward models, which has learned from the pairs of all generations up to it.

    Attributes
    ----------
    world : World
    first : str
        The step of the chat model that reward models and every round start from: the paper's SFT checkpoint.
    generations : list of str
        The steps with pairs.
    """

    world: World
    first: str
    generations: list[str]

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
        return replace(self, generations=self.generations[:-1]) if len(self.generations) > 1 else None

    def next(self) -> _Rewards:
        """The generation after this one."""
        return replace(self, generations=[*self.generations, f"preferences-{len(self.generations) + 1}"])

    def steps(self, policy: str, requests: int) -> list[Step]:
        """Pairs from a policy, and both models."""
        steps, earlier = self.world.compared(self.pairs, policy, requests), self.before
        for kind, name in self.models.items():
            before = None if earlier is None else earlier.models[kind]
            run = partial(reward, kind=kind, backbone=self.first, generations=tuple(self.generations), before=before)
            steps.append(Step(name, run, _different(self.first, *self.generations, *([before] if before else []))))
        return steps


def _different(*names: str) -> tuple[str, ...]:
    """Each name once."""
    return tuple(dict.fromkeys(names))
