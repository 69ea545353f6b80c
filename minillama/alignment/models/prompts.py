"""What a model is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Prompt:
    """A dialogue that ends with a user's message.

    Attributes
    ----------
    id : str
        Of its own: what is sampled, labelled and kept goes by it.
    dialogue : tuple of {"role": …, "content": …}
    kind : str
        What is asked for, for tables: "story", "adversarial" …
    tagged : bool
        May elicit unsafe answers: the safety model decides alone about them (LLaMA 2 section 3.2.3).
    facts : mapping
        What a program that checks the answers needs to know; plain JSON.
    """

    id: str
    dialogue: tuple[Mapping[str, str], ...]
    kind: str = ""
    tagged: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
