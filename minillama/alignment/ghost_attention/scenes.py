"""Scenes: an instruction, and what a user says after it, turn by turn. Nobody has answered yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .instructions import Check, Instruction, Mixture, Pools


@dataclass(frozen=True)
class Turn:
    """What a user says.

    Attributes
    ----------
    text : str
    check : callable, optional
        What an answer has to have beside keeping the styles; of a question about a fact, that it names it.
    fact : str
        The kind of fact that is asked for; "" where none is.
    """

    text: str
    check: Check | None = None
    fact: str = ""


@dataclass(frozen=True)
class Scene:
    """A dialogue to be answered.

    Attributes
    ----------
    id : str
        Of its own: what is drawn for it goes by it.
    instruction : Instruction
    turns : tuple of Turn
    group : str
        Row of a table: "seen" or "unseen" constraints.
    """

    id: str
    instruction: Instruction
    turns: tuple[Turn, ...]
    group: str = ""


Fillers = Callable[[np.random.Generator], Turn]
"""Draws what the turns between two questions are about."""


@dataclass(frozen=True)
class SceneShape:
    """How long dialogues are, and how often they ask about the instruction.

    Attributes
    ----------
    shortest, longest : int
        Turns.
    late_share : float
        Dialogues whose length lies in the last third of that range: long ones are what is hard.
    question_share : float
        Turns that ask about a fact, of an instruction that has one.
    """

    shortest: int = 2
    longest: int = 20
    late_share: float = 0.5
    question_share: float = 0.4

    def length(self, rng: np.random.Generator) -> int:
        first = self.shortest
        if rng.random() < self.late_share:
            first = self.longest - (self.longest - self.shortest) // 3
        return int(rng.integers(first, self.longest + 1))


def draw_scenes(
    pools: Pools,
    fillers: Fillers,
    n: int,
    *,
    seed: int,
    shape: SceneShape = SceneShape(),
    mixture: Mixture = Mixture(),  # noqa: B008
    name: str = "scene",
    group: str = "",
) -> list[Scene]:
    """`n` scenes; number i is a function of seed, name and i."""
    key = list(name.encode())
    scenes = []
    for i in range(n):
        rng = np.random.default_rng([seed, i, *key])
        instruction = mixture.draw(pools, rng)
        turns = [_turn(instruction, fillers, shape, rng) for _ in range(shape.length(rng))]
        scenes.append(Scene(f"{name}-{i}", instruction, tuple(turns), group))
    return scenes


def _turn(instruction: Instruction, fillers: Fillers, shape: SceneShape, rng: np.random.Generator) -> Turn:
    asks = bool(instruction.facts) and rng.random() < shape.question_share
    return draw_question(instruction, rng) if asks else fillers(rng)


def draw_question(instruction: Instruction, rng: np.random.Generator) -> Turn:
    """A question about one of the facts of an instruction."""
    fact = instruction.facts[int(rng.integers(len(instruction.facts)))]
    return Turn(fact.questions[int(rng.integers(len(fact.questions)))], fact.check, fact.kind)


def filler_from(texts: Sequence[str]) -> Fillers:
    """Fillers that are drawn from a list."""
    return lambda rng: Turn(texts[int(rng.integers(len(texts)))])
