"""Personas of the world as pools of traits for Ghost Attention, and small talk for the turns between.

Names, hobbies and endings are divided by what they are, as they are for requests: what "validation" or "test" has, no
demonstration and no dialogue of "train" has.
"""

from __future__ import annotations

import numpy as np

from ..ghost_attention import Pools, Trait, Turn, ends_with, names
from ..ghost_attention.scenes import Fillers
from . import vocabulary, wording
from .drawing import draw
from .sentences import words


def world_pools(*splits: str) -> Pools:
    """Names, hobbies and endings of one or several splits, each in every wording."""
    of = lambda items: [item for split in splits for item in vocabulary.of_split(items, split)]  # noqa: E731
    return {
        "name": [_name(name, text) for name in of(vocabulary.names()) for text in wording.PERSONA],
        "hobby": [_hobby(hobby, text) for hobby in of(vocabulary.hobbies()) for text in wording.HOBBY],
        "ending": [_ending(suffix, text) for suffix in of(vocabulary.suffixes()) for text in wording.SUFFIX],
    }


def _name(name: str, text: str) -> Trait:
    return Trait("name", name, text.format(name=name), f"Name: {name}.", names(name), wording.ASK_NAME.shown)


def _hobby(hobby: str, text: str) -> Trait:
    asked = wording.ASK_HOBBY.shown
    return Trait("hobby", hobby, text.format(hobby=hobby), f"Hobby: {hobby}.", names(hobby), asked)


def _ending(suffix: str, text: str) -> Trait:
    return Trait("ending", suffix, text.format(suffix=suffix), f"End: {suffix}", ends_with(suffix))


def small_talk(split: str) -> Fillers:
    """Draws requests to tell of a living being or a thing, in the wordings of a split; an answer has to name it."""

    def drawn(rng: np.random.Generator) -> Turn:
        request = draw("chit-chat", split, rng)
        nouns = set(vocabulary.plurals(request.object or ""))
        return Turn(request.dialogue[-1]["content"], lambda answer: bool(nouns & set(words(answer))))

    return drawn
