"""Any prompt under the wordings that a red team tries: adversarial prompts made from plain ones.

    hypothetical framing, role play, misspelling, a positive framing, another turn in front   (LLaMA 2 section 4.2.1)

The wordings themselves are those of the red team (evaluation/red_team/attacks.py). Harmless prompts go through them
too: whoever learns that a framing means danger refuses what is harmless in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...evaluation.red_team import attacks as wordings
from ...evaluation.red_team.prompts import Prompt as Asked
from ..models import Prompt

ATTACKS = ("hypothetical", "misspelling", "role-play", "positive", "multi-turn")
"""Those that need no other language."""


def under_attack(prompt: Prompt, attack: str, seed: int = 0) -> Prompt:
    """A prompt whose last message is put in the words of an attack.

    Parameters
    ----------
    prompt : Prompt
        Its kind, tag and facts stay: what is asked for is the same.
    attack : str
        A name of the red team's attacks, or several joined by "+".
    seed : int
        What is drawn follows from it and the request.

    Raises
    ------
    ValueError
        An attack is not known.
    """
    dialogue = [dict(message) for message in prompt.dialogue]
    asked = Asked(prompt.kind, prompt.id, dialogue[-1]["content"], "unsafe" if prompt.tagged else "safe", prompt.kind)
    for step in wordings.checked_attack(attack).split("+"):
        dialogue = wordings.ATTACKS[step](dialogue, asked, seed)
    return replace(prompt, id=f"{prompt.id} under {attack}", dialogue=tuple(dialogue))


def under_attacks(prompts: Sequence[Prompt], attacks: Sequence[str] = ATTACKS, seed: int = 0) -> list[Prompt]:
    """Every prompt under every attack."""
    return [under_attack(prompt, attack, seed) for attack in attacks for prompt in prompts]


def each_under_one(
    prompts: Sequence[Prompt], attacks: Sequence[str] = ("none", *ATTACKS), seed: int = 0
) -> list[Prompt]:
    """Every prompt once, under one attack of those: they take turns."""
    return [under_attack(prompt, attacks[n % len(attacks)], seed) for n, prompt in enumerate(prompts)]
