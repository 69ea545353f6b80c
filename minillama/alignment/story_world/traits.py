"""Personas of the world as pools of traits for Ghost Attention, and small talk for the turns between.

Names, hobbies and endings are divided by what they are, as they are for requests: what "validation" or "test" has, no
demonstration and no dialogue of "train" has.
"""

from __future__ import annotations

import numpy as np

from ..ghost_attention import Pools, Trait, Turn, ends_with
from ..ghost_attention import names as has_words
from ..ghost_attention.scenes import Fillers
from . import vocabulary, wording
from .drawing import draw
from .made_up import made_up_ending, made_up_name
from .sentences import words


def world_pools(*splits: str, made_up: int = 0) -> Pools:
    """Names, hobbies and endings of one or several splits, each in every wording.

    Parameters
    ----------
    made_up : int
        So many names and endings more that nobody has.
    """
    of = lambda items: [item for split in splits for item in vocabulary.of_split(items, split)]  # noqa: E731
    rng = np.random.default_rng(made_up)
    names = [*of(vocabulary.names()), *(made_up_name(rng) for _ in range(made_up))]
    endings = [*of(vocabulary.suffixes()), *(made_up_ending(rng) for _ in range(made_up))]
    return {
        "name": [_name(name, text) for name in names for text in wording.PERSONA],
        "hobby": [_hobby(hobby, text) for hobby in of(vocabulary.hobbies()) for text in wording.HOBBY],
        "ending": [_ending(ending, text) for ending in endings for text in wording.SUFFIX],
    }


def _name(name: str, text: str) -> Trait:
    return Trait("name", name, text.format(name=name), f"Name: {name}.", has_words(name), wording.ASK_NAME.shown)


def _hobby(hobby: str, text: str) -> Trait:
    asked = wording.ASK_HOBBY.shown
    return Trait("hobby", hobby, text.format(hobby=hobby), f"Hobby: {hobby}.", has_words(hobby), asked)


def _ending(suffix: str, text: str) -> Trait:
    return Trait("ending", suffix, text.format(suffix=suffix), f"End: {suffix}", ends_with(suffix))


def small_talk(split: str) -> Fillers:
    """Draws requests to tell of a living being or a thing, in the wordings of a split; an answer has to name it."""

    def drawn(rng: np.random.Generator) -> Turn:
        request = draw("chit-chat", split, rng)
        nouns = set(vocabulary.plurals(request.object or ""))
        return Turn(request.dialogue[-1]["content"], lambda answer: bool(nouns & set(words(answer))))

    return drawn
