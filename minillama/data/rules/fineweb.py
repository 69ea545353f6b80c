"""FineWeb's own quality rules: pages whose lines do not look like prose.

Source: Penedo et al. 2024 (arXiv:2406.17557), with the readings of datatrove's `fineweb_quality_filter.py`. What a
word is, is in `words.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from ..decision import Decision
from .repetition import duplicates
from .words import decide, words_of


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
        return decide(self, text)

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


@cache
def sentence_terminals() -> frozenset[str]:
    """The characters that end a sentence in any script (Unicode's Sentence_Terminal)."""
    import regex

    return frozenset(regex.findall(r"\p{Sentence_Terminal}", "".join(map(chr, range(0x20000)))))
