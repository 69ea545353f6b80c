"""Names and endings that nobody has: with them the sets that demonstrations show are open.

    name      the beginning of one name and the end of another    Mari|anne, Os|car  ->  Mariscar
    ending    one or two words that may be asked for              Ball!   Ball, ball!   Red and ball!

A model of three million parameters that saw thirty endings and four hundred names learned these by heart: of names that
it had not seen half were answered with another one, and no unseen ending was said once. What can be learned from an
open set is to copy.
"""

from __future__ import annotations

import re
from collections.abc import Container
from functools import cache

import numpy as np

from . import vocabulary
from .drawing import pick, shown_names, shown_words

_SHORTEST, _LONGEST = 4, 9
_VOWELS = "aeiouy"


@cache
def _parts() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Beginnings of the names that demonstrations have, and their ends: cut before a vowel that is not the first."""
    cuts = [
        (name, match.start())
        for name in shown_names()
        for match in re.finditer(rf"(?<=[^{_VOWELS}])[{_VOWELS}]", name)
        if match.start()
    ]
    return tuple(name[:cut] for name, cut in cuts), tuple(name[cut:] for name, cut in cuts)


def made_up_name(rng: np.random.Generator) -> str:
    """A name of the training split that is no known one."""
    beginnings, ends = _parts()
    while True:
        name = pick(rng, beginnings) + pick(rng, ends)
        if _SHORTEST <= len(name) <= _LONGEST and _is_new(name, vocabulary.names()):
            return name


def made_up_ending(rng: np.random.Generator) -> str:
    """What a persona may be told to end with, of the training split and not among those that requests have."""
    while True:
        one, other = rng.choice(shown_words(), 2, replace=False).tolist()
        text = pick(rng, (one, f"{one}, {one}", f"{one} and {other}", f"oh {one}"))
        ending = f"{text.capitalize()}!"
        if _is_new(ending, vocabulary.suffixes()):
            return ending


def _is_new(text: str, known: Container[str]) -> bool:
    return text not in known and vocabulary.split_of(text) == "train"
