"""Quality rules of Gopher and FineWeb: documents that do not look like prose.

Sources: Gopher, Rae et al. 2021 (arXiv:2112.11446), appendix A.1.1, and FineWeb's own rules
(arXiv:2406.17557), both with the readings of datatrove's `gopher_quality_filter.py` and
`fineweb_quality_filter.py`. What a word is, is in `words.py`. The thresholds are for English.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from ..decision import Decision
from .repetition import duplicates
from .word_kernels import count_present
from .words import Hashes, failed, word_hash, words_of

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


@dataclass(frozen=True)
class GopherQuality:
    """Drop texts that do not look like prose; None as a threshold switches a rule off.

    Every field but `stop_words` is a rule of that name; `min_` and `max_` are what is still kept.
    """

    min_words: int | None = 50
    """Words that are not symbols."""
    max_words: int | None = 100_000
    min_mean_word_length: float | None = 3
    """Characters, over the words that are not symbols."""
    max_mean_word_length: float | None = 10
    max_hashes_per_word: float | None = 0.1
    max_ellipses_per_word: float | None = 0.1
    max_bullet_lines: float | None = 0.9
    """Share of the lines that begin with • or -."""
    max_ellipsis_lines: float | None = 0.3
    """Share of the lines that end with ... or …."""
    min_words_with_letter: float | None = 0.8
    """Share of all words, symbols included."""
    min_stop_words: int | None = 2
    """Different ones; as the published code does it, only in lower case."""
    stop_words: tuple[str, ...] = STOP_WORDS

    name: ClassVar[str] = "gopher"

    def __call__(self, text: str) -> Decision:
        """Drop the text when one of its figures is outside its threshold."""
        return _decide(self, text)

    def figures(self, text: str) -> Iterator[tuple[str, float]]:
        """The figure that each rule compares with its threshold; shares are missing where there is nothing."""
        words = words_of(text)
        n_words = len(words.hashes)
        lengths = words.lengths[~words.is_symbol]
        yield "min_words", len(lengths)
        yield "max_words", len(lengths)
        if len(lengths):
            mean = float(lengths.mean())
            yield "min_mean_word_length", mean
            yield "max_mean_word_length", mean
        if n_words:
            yield "max_hashes_per_word", text.count("#") / n_words
            yield "max_ellipses_per_word", sum(map(text.count, _ELLIPSES)) / n_words
            yield "min_words_with_letter", int(np.count_nonzero(words.has_letter)) / n_words
        lines = text.splitlines()
        if lines:
            yield "max_bullet_lines", sum(line.lstrip().startswith(_BULLETS) for line in lines) / len(lines)
            yield "max_ellipsis_lines", sum(line.rstrip().endswith(_ELLIPSES) for line in lines) / len(lines)
        yield "min_stop_words", int(count_present(words.hashes, _hashes_of(tuple(self.stop_words))))


@dataclass(frozen=True)
class FineWebQuality:
    """FineWeb's additional rules over the lines that are not empty; None switches a rule off.

    The code's default for duplicated lines is 0.01; the FineWeb text is usually quoted as 0.1.
    """

    min_terminal_lines: float | None = 0.12
    """Share of the lines whose last character ends a sentence (Unicode's Sentence_Terminal)."""
    max_short_lines: float | None = 0.67
    """Share of the lines of at most `short_line` characters."""
    max_duplicate_line_characters: float | None = 0.01
    """Share of the characters without line ends."""
    max_newlines_per_word: float | None = 0.3
    short_line: int = 30

    name: ClassVar[str] = "fineweb"

    def __call__(self, text: str) -> Decision:
        """Drop the text when it is empty or one of its figures is outside its threshold."""
        if not text.strip():
            return Decision(None, {"empty": 1}, {"empty": "no line that is not empty"})
        return _decide(self, text)

    def figures(self, text: str) -> Iterator[tuple[str, float]]:
        """The figure that each rule compares with its threshold; none for an empty text."""
        lines = [line for line in text.split("\n") if line and not line.isspace()]
        if not lines:
            return
        terminal = sentence_terminals()
        yield "min_terminal_lines", sum(line[-1] in terminal for line in lines) / len(lines)
        yield "max_short_lines", sum(len(line) <= self.short_line for line in lines) / len(lines)
        n_newlines = text.count("\n")
        yield "max_duplicate_line_characters", duplicates(lines)[1] / (len(text) - n_newlines)
        yield "max_newlines_per_word", n_newlines / max(len(words_of(text).hashes), 1)


def _decide(rules: GopherQuality | FineWebQuality, text: str) -> Decision:
    figures = {}
    for rule, figure in rules.figures(text):
        threshold = getattr(rules, rule)
        if threshold is None:
            continue
        if rule.startswith("min_") and figure < threshold:
            figures[rule] = f"{_number(figure)} < {threshold}"
        if rule.startswith("max_") and figure > threshold:
            figures[rule] = f"{_number(figure)} > {threshold}"
    return failed(text, figures)


def _number(figure: float) -> str:
    return str(figure) if isinstance(figure, int) else f"{figure:.4g}"


@cache
def sentence_terminals() -> frozenset[str]:
    """The characters that end a sentence in any script (Unicode's Sentence_Terminal)."""
    import regex

    return frozenset(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(0x20000)))))


@cache
def _hashes_of(words: tuple[str, ...]) -> Hashes:
    return np.array([word_hash(word) for word in dict.fromkeys(words)], dtype=np.uint64)
