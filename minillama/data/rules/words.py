"""What the quality rules count in a text: its words, cut once and shared by all filters.

A word is a run of letters, digits and combining marks, an apostrophe with the letters after it (the
"'t" of "don't"), or a run of one and the same other character ("...", "-", "##"). The published code
cuts with spaCy, which is slower by orders of magnitude; it gives as many words ("do" + "n't"), and
differs in abbreviations, addresses and the like. As there, punctuation is words: a story with much
dialogue has many words without a letter. Texts of languages without spaces are long words, from mark to mark:
`languages.py` says which rules are off for them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from ..decision import Decision, keep
from .word_kernels import APOSTROPHE, DECIMAL, DIGIT, LETTER, MARK, SPACE, WORD
from .word_kernels import split_normal_words as _split_normal_words
from .word_kernels import split_words as _split_words

Hashes = npt.NDArray[np.uint64]


class Words(NamedTuple):
    """The words of a text, in order."""

    hashes: Hashes
    """(n_words,) uint64, equal for equal words."""
    lengths: npt.NDArray[np.int32]
    """(n_words,) int32, in characters."""
    kinds: npt.NDArray[np.uint8]
    """(n_words,) uint8, the classes of the word's characters, as in `word_kernels`."""

    @property
    def is_symbol(self) -> npt.NDArray[np.bool_]:
        """(n_words,) bool: words without a letter, digit or mark."""
        return self.kinds & WORD == 0

    @property
    def has_letter(self) -> npt.NDArray[np.bool_]:
        """(n_words,) bool: words with at least one letter."""
        return self.kinds & LETTER != 0


@cache
def character_classes() -> npt.NDArray[np.uint8]:
    """(0x110000,) uint8: the class bits of every code point."""
    import regex

    everything = np.arange(0x110000, dtype=np.uint32).view("<U1")
    alphabetic, alphanumeric = np.strings.isalpha(everything), np.strings.isalnum(everything)
    table = np.where(alphabetic, LETTER, 0).astype(np.uint8)
    table |= np.where(alphanumeric, WORD, 0).astype(np.uint8)
    table |= np.where(np.strings.isspace(everything), SPACE, 0).astype(np.uint8)
    table |= np.where(np.strings.isdecimal(everything), DIGIT, 0).astype(np.uint8)
    text = "".join(map(chr, range(0x110000)))
    for match in regex.finditer(r"\p{M}+", text):
        table[match.start() : match.end()] |= WORD
    for match in regex.finditer(r"\p{Mn}+", text):
        table[match.start() : match.end()] |= MARK
    for bit, characters in ((APOSTROPHE, "'’"), (DECIMAL, ".,،٫⎖⎗⎘")):
        table[[ord(character) for character in characters]] |= bit
    return table


def code_points(text: str) -> npt.NDArray[np.uint32]:
    """(n_characters,) uint32."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.dtype("<u4"))


@lru_cache(maxsize=2)
def words_of(text: str) -> Words:
    """The words of a text; those of the last two texts are remembered, for the next filter."""
    return Words(*_split_words(code_points(text), character_classes()))


@lru_cache(maxsize=2)
def normal_words(text: str, *, numbers_to_zero: bool = True) -> Hashes:
    """Hashes of the words of the normalised text, as duplicates are compared.

    Lower case, numbers as 0 (unless switched off), punctuation and symbols as spaces, diacritics
    removed, spaces collapsed: datatrove's `simplify_text`, which FineWeb used.

    Returns
    -------
    (n_words,) uint64
    """
    text = text.lower()
    if not text.isascii():
        text = unicodedata.normalize("NFD", text)
    return _split_normal_words(code_points(text), character_classes(), numbers_to_zero)


def word_hash(word: str) -> int:
    """The hash that `words_of` gives this word."""
    hashes = words_of(word).hashes
    if len(hashes) != 1:
        raise ValueError(f"expected one word, got {word!r}, which is {len(hashes)}")
    return int(hashes[0])


def failed(text: str, figures: Mapping[str, str]) -> Decision:
    """Drop a text for rules, each with its figure against its threshold; keep it where there are none."""
    if not figures:
        return keep(text)
    beginning = excerpt(text, 60)
    examples = {rule: f"{figure}: {beginning}" for rule, figure in figures.items()}
    return Decision(None, dict.fromkeys(figures, 1), examples)


class Thresholds(Protocol):
    """Rules that compare figures: a threshold under the name of each figure, None where the rule is off."""

    def figures(self, text: str) -> Iterator[tuple[str, float]]:
        """The figure that each rule compares; "min_" and "max_" in its name say how."""


def decide(rules: Thresholds, text: str) -> Decision:
    """Drop the text when one of its figures is outside its threshold."""
    figures = {}
    for rule, figure in rules.figures(text):
        threshold = getattr(rules, rule)
        if threshold is None:
            continue
        written = str(figure) if isinstance(figure, int) else f"{figure:.4g}"
        if rule.startswith("min_") and figure < threshold:
            figures[rule] = f"{written} < {threshold}"
        if rule.startswith("max_") and figure > threshold:
            figures[rule] = f"{written} > {threshold}"
    return failed(text, figures)


def n_bytes(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def excerpt(text: str, length: int = 100) -> str:
    """The beginning of a text on one line."""
    line = " ".join(text[: 4 * length].split())
    return line if len(line) <= length and len(text) <= 4 * length else line[: length - 1] + "…"
