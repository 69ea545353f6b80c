"""Phrases that were there before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise
from .inputs import NOUNS, SHORT, pick
from .variants import later


def make_ngrams(rng: np.random.Generator, words: int, n: int) -> tuple[Any, ...]:
    """A phrase a little longer than n that comes again and again, with other words or pieces of the text between."""
    if not 5 <= n <= 10:
        raise ValueError("Gopher's rule is for 5 to 10 words")
    phrase = pick(rng, NOUNS, n + 2)
    drawn: list[str] = []
    while len(drawn) < words:
        drawn += phrase + pick(rng, SHORT, int(rng.integers(0, 3)))
        if words > 6 * n:
            begin = int(rng.integers(0, len(drawn) - n))
            drawn += drawn[begin : begin + n + int(rng.integers(0, 4))]
    return " ".join(drawn[:words]), n


@exercise(
    title="Phrases that were there before",
    task="The share of a text's characters inside n-grams of words that occurred before, by Gopher's skip rule.",
    difficulty=2,
    minutes=15,
    make=make_ngrams,
    shapes=(
        {"words": 5, "n": 5},
        {"words": 4, "n": 5},
        {"words": 14, "n": 5},
        {"words": 25, "n": 6},
        {"words": 40, "n": 5},
        {"words": 70, "n": 10},
        {"words": 90, "n": 7},
        {"words": 150, "n": 5},
    ),
    hints=(
        "Walk over the words with a cursor. A window that is new is remembered, and the cursor moves by one word.",
        "A window that was seen adds the characters of its words, without spaces, and the cursor jumps over all n of "
        "them: no character counts twice, and the windows in between are not remembered.",
        "while i + n <= len(words):\n"
        "    window = tuple(words[i:i + n])\n"
        "    if window in seen: characters += sum(map(len, window)); i += n\n"
        "    else: seen.add(window); i += 1\n"
        "return characters / len(text)",
    ),
    why=(
        "Jumping over a repeat counts its characters once; otherwise every window inside a copied passage would count "
        "them again, and the share could pass 1. Windows inside of a jump are not remembered, so that a phrase is "
        "compared only with text that was read as new. Tuples can stand in a set, where a lookup takes no longer in a "
        "long text."
    ),
)
def repeated_ngram_share(text, n):
    """The share of a text's characters inside n-grams of words that occurred before.

    A cursor walks over the words. When the n words at the cursor were remembered, their characters
    (without spaces) are added and the cursor jumps over all n. Otherwise the n words are remembered
    and the cursor moves by one word. The walk ends when fewer than n words are left.

    Parameters
    ----------
    text : str
        Words of letters with single spaces between them.
    n : int
        5 to 10.

    Returns
    -------
    float
        Added characters / len(text).
    """
    words, seen, characters, i = text.split(), set(), 0, 0
    while i + n <= len(words):
        window = tuple(words[i : i + n])
        if window in seen:
            characters += sum(map(len, window))
            i += n
        else:
            seen.add(window)
            i += 1
    return characters / len(text)


def ngrams(
    *, step: Callable[[int], int] = lambda n: n, from_first: bool = False, spaces: int = 0, learn_all: bool = False
) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def share(text: str, n: int) -> float:
        words = text.split()
        windows = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        seen = {w for w in windows if windows.count(w) > 1} if from_first else set()
        characters, i = 0, 0
        while i < len(windows):
            if windows[i] in seen:
                characters += sum(map(len, windows[i])) + spaces * (n - 1)
                if learn_all:
                    seen.update(windows[i : i + n])
                i += step(n)
            else:
                seen.update([] if from_first else [windows[i]])
                i += 1
        return characters / len(text)

    return share


repeated_ngram_share.mistake(
    "Your function moves on by one word after a repeat.",
    "The next window shares n - 1 words with this one, whose characters then count again and again. Jump "
    "over the n words.",
    ngrams(step=lambda n: 1),
)

repeated_ngram_share.mistake(
    "Your function jumps one word less than it should after a repeat.",
    "The n words i to i + n - 1 have been counted: the next window begins at i + n.",
    ngrams(step=lambda n: n - 1),
)

repeated_ngram_share.mistake(
    "Your function counts repeated n-grams from their first occurrence.",
    "The first occurrence is new when it comes; only what was seen before counts.",
    ngrams(from_first=True),
)

repeated_ngram_share.mistake(
    "Your function remembers the windows inside a jump, too.",
    "The cursor passes over the n words of a repeat: windows that begin among them are not looked at.",
    ngrams(learn_all=True),
)

repeated_ngram_share.mistake(
    "Your function counts the spaces inside the n-grams.",
    "Here only the characters of the words count. (The rule of the most frequent n-gram counts spaces.)",
    ngrams(spaces=1),
)


@repeated_ngram_share.mistake(
    "Your function counts n-grams instead of characters.",
    "A share of characters is asked for: the lengths of the words, over len(text).",
)
def ngram_count_share(text, n):
    words = text.split()
    windows = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return len(later(windows)) / len(windows) if windows else 0.0  # type: ignore[arg-type]


@repeated_ngram_share.mistake(
    "Your function marks every word inside a repeated n-gram, without the jump.",
    "That is a fair measure, but not the published one: after a repeat, the windows that begin inside it are "
    "not looked at.",
)
def characters_once(text, n):
    """Every word that is inside any repeated n-gram, found without skipping."""
    words = text.split()
    seen: set[tuple[str, ...]] = set()
    inside: set[int] = set()
    for i in range(len(words) - n + 1):
        window = tuple(words[i : i + n])
        inside |= set(range(i, i + n)) if window in seen else set()
        seen.add(window)
    return sum(len(words[i]) for i in inside) / len(text)
