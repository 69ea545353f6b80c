"""A step: its name, whose folders it reads, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .context import Context


@dataclass(frozen=True)
class Step:
    """One step of a pipeline.

    Attributes
    ----------
    name : str
        Lower case, with hyphens: "reward-helpful"; its folder is called after it.
    run : callable
        Given a `Context`, makes what is to be in its folder; returns figures for people and for the report, plain
        JSON. Doing it again in a folder where it was killed gives the same.
    inputs : tuple of str
        The names of earlier steps whose folders it reads, and no others.
    """

    name: str
    run: Callable[[Context], Mapping[str, Any]]
    inputs: tuple[str, ...] = ()


def check_steps(steps: Sequence[Step]) -> None:
    """Raise ValueError unless names differ, and every input is an earlier step."""
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            raise ValueError(f"two steps are called {step.name}")
        if missing := [name for name in step.inputs if name not in seen]:
            raise ValueError(f"{step.name} reads {missing[0]}, which is no earlier step")
        seen.add(step.name)
