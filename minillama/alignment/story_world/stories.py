"""A story taken apart: whom it is about, and its sentences. Demonstrations are put together from these.

Used are stories whose first sentence names the hero: "… a little girl named Lily …", or a known first name. The hero is
given another name of the same gender, so that every pronoun stays right; other characters keep theirs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import vocabulary
from .sentences import sentences, words

_FEWEST, _LONGEST = 4, 30  # sentences of a story, words of a sentence

_NAMED = re.compile(r"\b([a-z]+)(?:,? (?:who was )?(?:named|called)|,? whose name was) ([A-Z][a-z]+)\b")
_CAPITALISED = re.compile(r"\b[A-Z][a-z]+\b")
_QUOTE = re.compile(r'["“”]')
_SORTS = {"girl": "she", "boy": "he", "woman": "she", "man": "he"}


@dataclass(frozen=True)
class Story:
    """A hero and sentences.

    Attributes
    ----------
    name : str
        Of the hero, who is in the first sentence by this name.
    gender : "she", "he" or "it"
        "it" where no pronoun says more: any name fits.
    sort : str or None
        What the hero is said to be: "girl", "dog".
    sentences : tuple of str
        At least four.
    """

    name: str
    gender: str
    sort: str | None
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        return " ".join(self.sentences)

    def named(self, name: str) -> Story:
        """With another name for the hero."""
        pattern = re.compile(rf"\b{self.name}\b")
        return replace(self, name=name, sentences=tuple(pattern.sub(name, part) for part in self.sentences))

    def without_quotes(self) -> Story | None:
        """Without the sentences in which somebody speaks; None when too few are left, or the first or last is one."""
        kept = tuple(part for part in self.sentences if not _QUOTE.search(part))
        is_whole = len(kept) >= _FEWEST and kept[0] == self.sentences[0]
        return replace(self, sentences=kept) if is_whole else None


def parse_story(text: str) -> Story | None:
    """The story of a text; None where it is not said whom it is about, or it is too short or badly quoted."""
    parts = [" ".join(part.split()) for part in sentences(text)]
    parts = [part for part in parts if not re.fullmatch(r"The end[.!]", part)]
    if len(parts) < _FEWEST or not parts[0][0].isupper():
        return None
    hero = _hero(parts)
    if hero is None:
        return None
    kept = [part for part in _whole_quotes(parts) if len(words(part)) <= _LONGEST and not part[0].islower()]
    if len(kept) < _FEWEST or kept[0] != parts[0] or kept[-1] != parts[-1]:
        return None
    return Story(*hero, tuple(kept))


def parse_stories(texts: Iterable[str]) -> list[Story]:
    """The stories among texts, in their order."""
    return [story for story in map(parse_story, texts) if story is not None]


def _whole_quotes(parts: list[str]) -> list[str]:
    """Without the sentences that are a part of what somebody says: half of a quotation, or inside one."""
    kept, is_open = [], False
    for part in parts:
        closes = len(_QUOTE.findall(part)) % 2 == 1
        if not is_open and not closes:
            kept.append(part)
        is_open ^= closes
    return kept


def _hero(parts: list[str]) -> tuple[str, str, str | None] | None:
    """Name, gender and sort of whom the first sentence names."""
    first, text = parts[0], " ".join(parts)
    named = _NAMED.search(first)
    if named:
        sort, name = named.groups()
        gender = _SORTS.get(sort) or _gender(name, text)
        return (name, gender, sort if sort in _SORTS or sort in vocabulary.living() else None)
    known = [name for name in _CAPITALISED.findall(first) if name in vocabulary.names()]
    if not known:
        return None
    counts = Counter(_CAPITALISED.findall(text))
    name = max(known, key=lambda name: counts[name])
    return (name, _gender(name, text), None) if counts[name] > 1 else None


def _gender(name: str, text: str) -> str:
    if name in vocabulary.names():
        return vocabulary.names()[name]
    counts = Counter(words(text))
    she, he = counts["she"] + counts["her"], counts["he"] + counts["his"] + counts["him"]
    return "it" if she == he else "she" if she > he else "he"
