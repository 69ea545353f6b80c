"""Gopher's repetition rules: documents that say the same thing again and again.

Source: Rae et al. 2021 (arXiv:2112.11446), table A1, with the readings of datatrove's
`gopher_repetition_filter.py`: shares are of the characters of the text, a line, paragraph or n-gram
counts from its second occurrence, and after a repeated n-gram the next n words are skipped, so that
no character counts twice. The most frequent n-gram counts all its occurrences, with its spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from ..decision import Decision
from .word_kernels import ngram_characters
from .words import failed, words_of

_PARAGRAPHS = re.compile(r"\n{2,}")
_LINES = re.compile(r"\n+")


@dataclass(frozen=True)
class GopherRepetition:
    """Drop texts that repeat themselves; None as a threshold switches a rule off.

    Every field is a rule of that name and the largest share that is kept.
    """

    max_duplicate_lines: float | None = 0.30
    max_duplicate_paragraphs: float | None = 0.30
    max_duplicate_line_characters: float | None = 0.20
    max_duplicate_paragraph_characters: float | None = 0.20
    max_top_2_gram: float | None = 0.20
    max_top_3_gram: float | None = 0.18
    max_top_4_gram: float | None = 0.16
    max_duplicate_5_grams: float | None = 0.15
    max_duplicate_6_grams: float | None = 0.14
    max_duplicate_7_grams: float | None = 0.13
    max_duplicate_8_grams: float | None = 0.12
    max_duplicate_9_grams: float | None = 0.11
    max_duplicate_10_grams: float | None = 0.10

    name: ClassVar[str] = "repetition"

    def __call__(self, text: str) -> Decision:
        """Drop the text when one of its figures is above its threshold."""
        above = {
            rule: f"{share:.4g} > {getattr(self, rule)}"
            for rule, share in self.figures(text)
            if share > getattr(self, rule)
        }
        return failed(text, above)

    def figures(self, text: str) -> Iterator[tuple[str, float]]:
        """The share that each rule in force compares with its threshold; none for an empty text."""
        on = {field.name for field in fields(self) if getattr(self, field.name) is not None}
        if not text:
            return
        for kind, parts in (("line", _LINES.split(text)), ("paragraph", _PARAGRAPHS.split(text.strip()))):
            count, characters = duplicates(parts)
            if f"max_duplicate_{kind}s" in on:
                yield f"max_duplicate_{kind}s", count / len(parts)
            if f"max_duplicate_{kind}_characters" in on:
                yield f"max_duplicate_{kind}_characters", characters / len(text)
        words = words_of(text)
        characters_of = ngram_characters(words.hashes, words.lengths)
        for n in range(2, 11):
            rule = f"max_top_{n}_gram" if n <= 4 else f"max_duplicate_{n}_grams"
            if rule in on:
                yield rule, int(characters_of[n]) / len(text)


def duplicates(parts: Sequence[str]) -> tuple[int, int]:
    """How many of the parts occurred before, and how many characters they have."""
    seen: set[str] = set()
    count, characters = 0, 0
    for part in parts:
        if part in seen:
            count += 1
            characters += len(part)
        else:
            seen.add(part)
    return count, characters
