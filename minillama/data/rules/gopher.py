"""Gopher's quality rules: documents that do not look like prose.

Source: Rae et al. 2021 (arXiv:2112.11446), appendix A.1.1, with the readings of datatrove's
`gopher_quality_filter.py`. What a word is, is in `words.py`. The thresholds and stop words are for English;
`languages.py` has those of others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from ..decision import Decision
from .languages import STOP_WORDS
from .word_kernels import count_present
from .words import Hashes, decide, word_hash, words_of

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
        return decide(self, text)

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


@cache
def _hashes_of(words: tuple[str, ...]) -> Hashes:
    return np.array([word_hash(word) for word in dict.fromkeys(words)], dtype=np.uint64)
