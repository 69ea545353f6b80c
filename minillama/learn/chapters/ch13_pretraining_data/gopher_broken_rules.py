"""Which rules does this page break?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ....data.rules.gopher import GopherQuality
from ...exercises.exercise import Function, exercise
from .given import STOP_WORDS
from .inputs import LONG, NOUNS, SHORT, each, pick


def plain_gopher_broken_rules(text: str, min_words: int) -> list[str]:
    """The names of Gopher's rules that the text breaks."""
    return list(GopherQuality(min_words=min_words)(text).findings)


def gopher_document(rng: np.random.Generator, kind: int, n: int) -> str:
    """A text of n words and signs that is at the border of a rule, or just beyond it."""
    tenth, per_line = n // 10, 5
    words = pick(rng, NOUNS, n)
    words[1], words[3] = "the", "and"
    inner = [i for i in range(5, n) if i % 5 in (1, 2, 3)]  # no beginning and no end of a line
    places = rng.permutation(inner).tolist()

    def put(*signs: str) -> None:
        for sign in signs:
            words[places.pop()] = sign

    if kind == 0:
        put(*[","] * tenth)
    elif kind == 1:
        put(*[","] * (tenth + 1))
    elif kind == 2:
        put(*["#"] * tenth)
    elif kind == 3:
        put("##", *["#"] * (tenth - 1))
    elif kind == 4:
        put(*["..."] * tenth)
    elif kind == 5:
        put(*["..."] * tenth, "…")
    elif kind == 6:
        for line in range(math.floor(0.3 * n / 5) + 1):
            words[5 * line + 4] = "…" if line == 0 else "..."
    elif kind in (7, 8, 28):
        per_line = 5 if kind == 7 else 2
        for line in range(n // per_line - (kind != 7) * n // 20 + (kind == 28)):
            words[per_line * line] = "•" if line == 0 else "-"
        words[1], words[3] = "the", "and"
    elif kind == 9:
        words = [word if word in STOP_WORDS else pick(rng, LONG, 1)[0] for word in words]
    elif kind == 10:
        words = ["to", "of", *pick(rng, ("a", "i", "it", "my"), n - 2)]
    elif kind == 11:
        words = ["the", "and", *pick(rng, SHORT, n - 2)]
        put(*[","] * tenth)
    elif kind == 12:
        words[3] = "the"
    elif kind == 13:
        words[1], words[3] = "The", "And"
    elif kind == 14:
        put(*map(str, rng.integers(10, 99, n // 5 + 1)))
    elif kind == 26:
        put(*["NATO", "USA", "II"] * (n // 15 + 1))
    elif kind == 29:
        put(*["on-off"] * (tenth + 1))
    elif kind == 27:
        put(*[".."] * (tenth + 1))
    elif kind == 15:
        put(*["b2b", "mp3", "4x4"] * (n // 15 + 1))
    else:
        return gopher_page(rng, kind, words)
    return "\n".join(" ".join(words[i : i + per_line]) for i in range(0, n, per_line))


def gopher_page(rng: np.random.Generator, kind: int, words: list[str]) -> str:
    """More of them: other lines, other words."""
    n, end = len(words), "\n"
    if kind == 16:  # three lines of ten end in an ellipsis
        for line in range(3 * n // 20):
            words[2 * line + 1] = "…" if line == 0 else "..."
        words[-2:] = "the", "and"
    elif kind == 17:  # stop words inside other words only
        words = pick(rng, ("other", "hands", "tool", "haven", "within", "beyond", "offer", "thatch"), n)
    elif kind == 18:  # a mean length of exactly ten: 3 + 3 + 17 + 17
        words[:4] = "the", "misunderstandings", "misunderstandings", "and"
        words[4:] = pick(rng, ("basketball", "lighthouse", "strawberry", "toothbrush", "watermelon"), n - 4)
    elif kind == 19:
        words[7] = "counterrevolutionaries"
    elif kind == 20:
        words[7] = "h" * (8 * n) + "m"
    elif kind == 22:
        words[1] = "garden"  # one stop word, once
    elif kind == 23:  # a bullet in every line, but not in front
        words[1::2] = ["-", "•"] * (n // 4)
        words[:3:2] = "the", "and"
    elif kind == 24:  # a mean length just above ten
        words[:4] = "the", "misunderstandings", "misunderstandings", "and"
        words[4:] = ["basketball"] * (n - 6) + ["conversation"] * 2
    elif kind == 25:  # a mean length just below three
        words[:4] = "the", "and", "of", "to"
        words[4:] = pick(rng, SHORT, n - 4)
    elif kind == 21:  # with an empty line after each
        words[::2] = ["-"] * (n // 2)
        words[1], words[3], end = "the", "and", "\n\n"
    return end.join(" ".join(words[i : i + 2]) for i in range(0, n, 2))


def make_gopher(rng: np.random.Generator, documents: int, words: int) -> tuple[Any, ...]:
    if words % 20:
        raise ValueError("shares are exact for multiples of 20 words")
    return [gopher_document(rng, n % 30, words) for n in range(documents)], words - words // 10


def broken_sorted(function: Function, args: tuple[Any, ...]) -> Any:
    """Rules in the order of the alphabet, for every text."""
    found = each(function, args)
    return {text: sorted(r) if isinstance(r, list | tuple | set | dict) else r for text, r in found.items()}


@exercise(
    title="Which rules does this page break?",
    difficulty=3,
    minutes=30,
    same_as=plain_gopher_broken_rules,
    make=make_gopher,
    shapes=(
        {"documents": 1, "words": 20},
        {"documents": 4, "words": 20},
        {"documents": 9, "words": 20},
        {"documents": 16, "words": 20},
        {"documents": 30, "words": 20},
        {"documents": 30, "words": 60},
    ),
    exact=True,
    observe=broken_sorted,
    hints=(
        "Make a dict of figures first, one for each rule, and compare with the thresholds at the very end.",
        "text.split() gives the words, text.splitlines() the lines. Only min_words and the mean length leave signs "
        "out; a sign is a word without any letter or digit. Exactly at a threshold nothing is broken.",
        "real = [w for w in words if any(c.isalnum() for c in w)]; mean = sum(map(len, real)) / len(real)\n"
        'text.count("#") / len(words) > 0.1;  (text.count("...") + text.count("…")) / len(words) > 0.1\n'
        'sum(l.startswith(("•", "-")) for l in lines) / len(lines) > 0.9;  … endswith(("...", "…")) … > 0.3\n'
        "sum(any(c.isalpha() for c in w) for w in words) / len(words) < 0.8;  len(set(words) & set(STOP)) < 2",
    ),
    why=(
        "Each rule is a plain count that good prose hardly ever breaks, and together they find lists, menus and dumps "
        "of code without any model. A ratio is taken over what can have the trait: words for hashes, lines for "
        "bullets. All comparisons are strict, so a page exactly at a threshold stays."
    ),
)
def gopher_broken_rules(text, min_words):
    """Name the rules of Gopher's quality filter that a text breaks.

    Words are what stands between spaces and line ends (in the checks signs stand alone), lines are
    text.splitlines(). A sign is a word without any letter or digit. A rule is broken when

    min_words               words that are no signs                              < min_words
    min_mean_word_length    mean characters of words that are no signs           < 3
    max_mean_word_length    the same                                             > 10
    max_hashes_per_word     "#" characters / all words                           > 0.1
    max_ellipses_per_word   ("..." and "…" in the text) / all words              > 0.1
    max_bullet_lines        lines that begin with "•" or "-" / lines             > 0.9
    max_ellipsis_lines      lines that end with "..." or "…" / lines             > 0.3
    min_words_with_letter   words with at least one letter / all words           < 0.8
    min_stop_words          different STOP_WORDS among the words (as written)    < 2

    Parameters
    ----------
    text : str
        With at least one word that is not a sign.
    min_words : int
        50 in the published filter; less in the checks.

    Returns
    -------
    list of str
        The names of the broken rules, in any order.
    """
    words, lines = text.split(), text.splitlines()
    real = [word for word in words if any(c.isalnum() for c in word)]
    mean = sum(map(len, real)) / len(real)
    broken = {
        "min_words": len(real) < min_words,
        "min_mean_word_length": mean < 3,
        "max_mean_word_length": mean > 10,
        "max_hashes_per_word": text.count("#") / len(words) > 0.1,
        "max_ellipses_per_word": (text.count("...") + text.count("…")) / len(words) > 0.1,
        "max_bullet_lines": sum(line.startswith(("•", "-")) for line in lines) / len(lines) > 0.9,
        "max_ellipsis_lines": sum(line.endswith(("...", "…")) for line in lines) / len(lines) > 0.3,
        "min_words_with_letter": sum(any(c.isalpha() for c in word) for word in words) / len(words) < 0.8,
        "min_stop_words": len(set(words) & set(STOP_WORDS)) < 2,
    }
    return [rule for rule, is_broken in broken.items() if is_broken]


def is_symbol(word: str) -> bool:
    return not any(character.isalnum() for character in word)


def gopher(
    *,
    symbols_count: bool = False,
    symbols_are_many: bool = False,
    closed: bool = False,
    marks: Sequence[str] = ("...", "…"),
    hashes: Callable[[str], int] = lambda text: text.count("#"),
    stop_words: Callable[[list[str]], int] = lambda words: len(set(words) & set(STOP_WORDS)),
    letter: Callable[[str], bool] = lambda word: word.lower() != word.upper(),
) -> Function:
    """The rules with their parts exchanged, for mistakes."""

    def broken(text: str, min_words: int) -> list[str]:
        words, lines = text.split(), text.splitlines()
        real = [word for word in words if symbols_count or not is_symbol(word)]
        mean = sum(map(len, real)) / len(real)
        figures = {
            "min_words": (len(words) if symbols_are_many else len(real), min_words),
            "min_mean_word_length": (mean, 3),
            "max_mean_word_length": (mean, 10),
            "max_hashes_per_word": (hashes(text) / len(words), 0.1),
            "max_ellipses_per_word": (sum(map(text.count, marks)) / len(words), 0.1),
            "max_bullet_lines": (sum(line.startswith(("•", "-")) for line in lines) / len(lines), 0.9),
            "max_ellipsis_lines": (sum(line.endswith(tuple(marks)) for line in lines) / len(lines), 0.3),
            "min_words_with_letter": (sum(map(letter, words)) / len(words), 0.8),
            "min_stop_words": (stop_words(words), 2),
        }
        return [
            rule
            for rule, (figure, limit) in figures.items()
            if (figure == limit and closed) or (figure < limit if rule.startswith("min") else figure > limit)
        ]

    return broken


gopher_broken_rules.mistake(
    "Your function counts signs such as ',' as words in min_words and in the mean length.",
    "These two rules look at words that have a letter or a digit. In all shares the signs count.",
    gopher(symbols_count=True),
)

gopher_broken_rules.mistake(
    "Your function counts signs such as ',' as words in min_words.",
    "That rule looks at words that have a letter or a digit. In all shares the signs count.",
    gopher(symbols_are_many=True),
)

gopher_broken_rules.mistake(
    "Your function takes a figure that is exactly at its threshold as broken.",
    "A threshold is what is still kept: < for min_ and > for max_, without =.",
    gopher(closed=True),
)

gopher_broken_rules.mistake(
    "Your function counts the words that have a hash sign, not the hash signs.",
    "'##' is one word and two hash signs: text.count('#').",
    gopher(hashes=lambda text: sum("#" in word for word in text.split())),
)

gopher_broken_rules.mistake(
    "Your function knows only one form of the ellipsis, the three dots.",
    "There is a character for it as well, '…': count both, in the text and at the ends of lines.",
    gopher(marks=("...",)),
)

gopher_broken_rules.mistake(
    "Your function counts a stop word as often as it occurs.",
    "Two different ones are asked for: 'the the' is one. Use a set.",
    gopher(stop_words=lambda words: sum(word in STOP_WORDS for word in words)),
)

gopher_broken_rules.mistake(
    "Your function looks for stop words in lower-cased text.",
    "The published code compares the words as they are; prose has stop words in small letters anyway, a list "
    "of titles has not.",
    gopher(stop_words=lambda words: len({word.lower() for word in words} & set(STOP_WORDS))),
)

gopher_broken_rules.mistake(
    "Your function asks that a word has nothing but letters.",
    "One letter is enough: 'mp3' counts. any(c.isalpha() for c in word), not word.isalpha().",
    gopher(letter=str.isalpha),
)
