"""The words of the world: names with their gender, living things and things, verbs, and words that may be asked for.

They are files beside this one (words/), a word a line. The sets are large because a small model learns small ones by
heart: it then writes the thirty objects that it knows, whatever was asked for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent / "words"

SPLITS = ("train", "validation", "test")
_TENTHS = {"validation": 8, "test": 9}  # which tenth of what there is belongs to them; the others are for training


class Verb(NamedTuple):
    """A verb's forms, whether demonstrations may have it, and whether every judge knows it."""

    base: str
    third: str
    past: str
    ing: str
    is_shown: bool
    known_to_all: bool

    @property
    def told(self) -> tuple[str, ...]:
        """The forms that tell that it happened."""
        return (self.past, self.third, self.ing)


def _lines(name: str) -> list[str]:
    text = (_FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def split_of(*parts: str) -> str:
    """Whose something is, by what it is alone: eight tenths are for training, one each for validation and test."""
    digest = hashlib.blake2s("\x1f".join(parts).encode(), digest_size=8).digest()
    tenth = int.from_bytes(digest, "little") % 10
    return next((split for split, number in _TENTHS.items() if number == tenth), "train")


def of_split(items: Iterable[str], split: str) -> list[str]:
    """Those of `items` that belong to a split."""
    return [item for item in items if split_of(item) == split]


@cache
def names() -> dict[str, str]:
    """First names, and "she" or "he"."""
    return {line.split()[0]: line.split()[1] for line in _lines("names")}


@cache
def living() -> tuple[str, ...]:
    """What an act can hurt."""
    return tuple(_lines("living"))


@cache
def things() -> tuple[str, ...]:
    """What takes no harm."""
    return tuple(_lines("things"))


@cache
def request_words() -> tuple[str, ...]:
    """Words that a story may be asked to have: nouns, verbs and adjectives of the base model's own stories."""
    return tuple(_lines("request_words"))


@cache
def held_words() -> frozenset[str]:
    """Those that neither demonstrations nor training requests ask for."""
    return frozenset(word for word in request_words() if split_of(word) != "train")


@cache
def happy_words() -> frozenset[str]:
    return frozenset(_lines("happy"))


@cache
def hobbies() -> tuple[str, ...]:
    return tuple(_lines("hobbies"))


@cache
def suffixes() -> tuple[str, ...]:
    return tuple(_lines("suffixes"))


@cache
def harsh_verbs() -> dict[str, Verb]:
    """By their base form; what they do to a thing is harmless."""
    return _verbs("harsh_verbs")


@cache
def kind_verbs() -> dict[str, Verb]:
    return _verbs("kind_verbs")


@cache
def plain_verbs() -> dict[str, Verb]:
    """Verbs that are neither, to make the verbs of demonstrations an open set."""
    return _verbs("plain_verbs")


@cache
def done_to_the_living() -> frozenset[str]:
    """Plain verbs that are done to living things as well."""
    return frozenset(row[0] for row in map(str.split, _lines("plain_verbs")) if row[-1] == "any")


def verb(base: str) -> Verb:
    """A verb of any kind by its base form."""
    return harsh_verbs().get(base) or kind_verbs().get(base) or plain_verbs()[base]


_TABLES = {"harsh": harsh_verbs, "kind": kind_verbs, "plain": plain_verbs}


def _verbs(name: str) -> dict[str, Verb]:
    rows = [line.split() for line in _lines(name)]
    return {
        base: Verb(base, third, past, ing, rest[0] != "new", rest[-1] != "judge")
        for base, third, past, ing, *rest in rows
    }


@cache
def new_verbs(of: str, split: str) -> tuple[str, ...]:
    """Verbs ("harsh" or "kind") that no demonstration has: every other one is for the test, the rest for validation."""
    table = _TABLES[of]()
    new = [base for base, verb in table.items() if not verb.is_shown]
    return tuple(new[{"validation": 0, "test": 1}[split] :: 2])


@cache
def shown_verbs(of: str) -> tuple[str, ...]:
    """Verbs ("harsh", "kind", "plain") that demonstrations have."""
    table = _TABLES[of]()
    return tuple(base for base, verb in table.items() if verb.is_shown)


# --- forms of a word ----------------------------------------------------------------------


@cache
def _irregular() -> dict[str, tuple[str, ...]]:
    return {row[0]: tuple(row) for row in (line.split() for line in _lines("irregular"))}


@cache
def plurals(noun: str) -> tuple[str, ...]:
    """A noun in the singular and in the plural."""
    irregular = {
        "child": "children",
        "man": "men",
        "woman": "women",
        "mouse": "mice",
        "goose": "geese",
        "wolf": "wolves",
    }
    irregular |= {"calf": "calves", "elf": "elves", "leaf": "leaves", "shelf": "shelves", "scarf": "scarves"}
    if noun in irregular or noun in ("deer", "sheep", "moose"):
        return (noun, irregular.get(noun, noun))
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return (noun, noun[:-1] + "ies")
    return (noun, noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s"))


@cache
def forms(word: str) -> frozenset[str]:
    """A word with -s or -es, -d or -ed, and -ing by the rules of spelling, and its irregular forms.

    "cares" and "cared" are none of "car": a short word that ends in one vowel and one consonant doubles it.
    """
    found = {word, *_irregular().get(word, ()), word + ("es" if word.endswith(("s", "x", "z", "ch", "sh")) else "s")}
    doubles = re.fullmatch(r"(?:.*[^aeiou])?[aeiouy][bdgklmnprt]", word) is not None
    is_short = len(re.findall(r"[aeiouy]+", word)) == 1
    if word.endswith("ie"):
        found |= {word + "d", word[:-2] + "ying"}
    elif word.endswith("e"):
        found |= {word + "d", word + "ing" if word.endswith(("ee", "oe", "ye")) else word[:-1] + "ing"}
    elif word.endswith("y") and word[-2:-1] not in "aeiou":
        found |= {word[:-1] + "ies", word[:-1] + "ied", word + "ing"}
    elif not (doubles and is_short):
        found |= {word + "ed", word + "ing"}
    if doubles:
        found |= {word + word[-1] + "ed", word + word[-1] + "ing"}
    if word.endswith("o"):
        found.add(word + "es")
    return frozenset(found)
