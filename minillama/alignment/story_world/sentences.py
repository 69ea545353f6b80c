"""Sentences and words of a story, by rules that a reader can check.

A sentence ends with . ! or ?, closing quotes after it included, before a space and a capital letter, a digit or an
opening quote, or at the end of the text: `"Hi!" said Tom.` is one sentence, `"Hi." Tom said.` two.
"""

from __future__ import annotations

import re
from collections import Counter

_END = re.compile(r"""(?<=[.!?])["'”’]*\s+(?=["'“‘]?[A-Z0-9])""")
_TITLES = re.compile(r"\b(Mr|Mrs|Ms|Dr|St)\.$")
_WORD = re.compile(r"[A-Za-z]+(?:['’-][A-Za-z]+)*")
_POSSESSIVE = re.compile(r"['’]s$")
_FINISHED = re.compile(r"""[.!?]["'”’]*$""")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, stop) of every sentence, without the spaces between them."""
    spans, start = [], len(text) - len(text.lstrip())
    for match in _END.finditer(text):
        stop = match.start() + len(match.group().rstrip())
        if not _TITLES.search(text[start:stop]):
            spans.append((start, stop))
            start = match.end()
    stop = len(text.rstrip())
    return [*spans, (start, stop)] if stop > start else spans


def sentences(text: str) -> list[str]:
    return [text[start:stop] for start, stop in sentence_spans(text)]


def word_spans(text: str) -> list[tuple[int, int, str]]:
    """(start, stop, word in small letters, without the 's of a possessive) of every word."""
    found = []
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match.group())
        found.append((match.start(), match.start() + len(word), word.lower()))
    return found


def words(text: str) -> list[str]:
    return [word for _, _, word in word_spans(text)]


def is_finished(text: str) -> bool:
    """Whether a text ends as a sentence does."""
    return bool(_FINISHED.search(text.rstrip()))


def four_grams(text: str) -> Counter[tuple[str, ...]]:
    found = words(text)
    return Counter(zip(found, found[1:], found[2:], found[3:]))


def repetition(text: str) -> float:
    """The share of 4-grams that were there before; 0 of fewer than four words."""
    grams = four_grams(text)
    total = grams.total()
    return 1 - len(grams) / total if total else 0.0
