"""What the exercises lead to: two things that a learner's own functions do together, and that `verify` proves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Capstone:
    """Something to work toward.

    Attributes
    ----------
    id : str
    after : str
        The chapter after which it is within reach.
    goal : str
    command : str
        How to see it before it is proved.
    """

    id: str
    after: str
    goal: str
    command: str


CHAT = Capstone(
    "chat",
    "12",
    "your own functions chat with SmolLM2, at N tokens/s",
    'minillama generate --with my-llama --model smollm2-135m-instruct "The sky is"',
)
TRAIN = Capstone(
    "train",
    "14",
    "a storyteller trained on your own text with your own backward pass",
    "minillama train my.toml --with my-llama",
)
CAPSTONES = (CHAT, TRAIN)
