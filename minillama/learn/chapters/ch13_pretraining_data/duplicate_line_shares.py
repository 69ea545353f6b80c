"""Lines that were there before."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ...exercises.exercise import Function, exercise
from .inputs import NOUNS, pick
from .variants import later


def make_lines(rng: np.random.Generator, lines: int, different: int) -> tuple[Any, ...]:
    """Lines of different lengths, drawn from a few; some followed by an empty line, some nearly the same.

    One of many has only spaces.
    """
    if different > lines:
        raise ValueError("more different lines than lines")
    stock = [" ".join(pick(rng, NOUNS, n + 1)) + f" {n}" for n in range(different)]
    for n in range(2, different, 3):  # lines that differ in capitals only, and in spaces at an end
        stock[n] = (stock[n - 1].title(), f"  {stock[n - 2]}", f"{stock[n - 2]} ")[n // 3 % 3]
    if different > 7:
        stock[7] = "   "
    drawn = [*stock, *pick(rng, stock, lines - different)]
    order = rng.permutation(lines).tolist()
    return (
        "".join(drawn[i] + ("\n", "\n\n", "\n", "\n", "\n\n\n", "\n")[n % 6] for n, i in enumerate(order)).strip("\n"),
    )


@exercise(
    title="Lines that were there before",
    difficulty=1,
    minutes=10,
    make=make_lines,
    outputs=("share of lines", "share of characters"),
    shapes=(
        {"lines": 1, "different": 1},
        {"lines": 3, "different": 2},
        {"lines": 6, "different": 3},
        {"lines": 9, "different": 9},
        {"lines": 20, "different": 6},
        {"lines": 30, "different": 10},
    ),
    hints=(
        "A line counts from its second occurrence: the first one is what is worth keeping.",
        "Empty lines part nothing: split at runs of line ends, re.split('\\n+', text). Keep a set of what was seen.",
        "for line in lines:\n"
        "    if line in seen: count += 1; characters += len(line)\n"
        "    seen.add(line)\n"
        "return count / len(lines), characters / len(text)",
    ),
    why=(
        "A set of what was seen makes it one pass, and the first of several equal lines is content, not repetition. "
        "Two shares are kept because they catch different pages: many short lines again and again, or a few long "
        "ones. Runs of line ends are one border, or else the empty line would be the most repeated of all."
    ),
)
def duplicate_line_shares(text):
    """The share of repeated lines, and the share of the text's characters that they have.

    Lines are parted by one or more line ends; one of spaces is a line, too. A line is repeated when an
    equal one came before it.

    Parameters
    ----------
    text : str
        Neither begins nor ends with a line end.

    Returns
    -------
    share_of_lines : float
        Repeated lines / all lines.
    share_of_characters : float
        Characters of repeated lines / len(text).
    """
    lines = re.split(r"\n+", text)
    seen, count, characters = set(), 0, 0
    for line in lines:
        if line in seen:
            count += 1
            characters += len(line)
        seen.add(line)
    return count / len(lines), characters / len(text)


def line_shares(
    repeated: Callable[[list[str]], list[str]],
    split: Callable[[str], list[str]] = lambda text: re.split(r"\n+", text),
    whole: Callable[[str], int] = len,
) -> Function:
    def shares(text: str) -> tuple[float, float]:
        lines = split(text)
        found = repeated(lines)
        return len(found) / len(lines), sum(map(len, found)) / whole(text)

    return shares


duplicate_line_shares.mistake(
    "Your function counts the first occurrence of a repeated line, too.",
    "Three equal lines are two repeats: the first one is new when it comes.",
    line_shares(lambda lines: [line for line in lines if lines.count(line) > 1]),
)

duplicate_line_shares.mistake(
    "Your function counts each repeated line once, however often it comes again.",
    "Every later occurrence counts: four equal lines are three repeats.",
    line_shares(lambda lines: [line for line in dict.fromkeys(lines) if lines.count(line) > 1]),
)

duplicate_line_shares.mistake(
    "Your function compares a line with the one before it only.",
    "Menus and footers come again after other lines: keep all that were seen, in a set.",
    line_shares(lambda lines: [b for a, b in pairwise(lines) if a == b]),
)

duplicate_line_shares.mistake(
    "Your function counts empty lines.",
    "An empty line is a way to part paragraphs, not a repeated text: split at runs of line ends.",
    line_shares(later, split=lambda text: text.split("\n")),
)

duplicate_line_shares.mistake(
    "Your function leaves the line ends out of the text's length.",
    "The denominator is the whole text, len(text), as in the published code.",
    line_shares(later, whole=lambda text: len(text.replace("\n", ""))),
)

duplicate_line_shares.mistake(
    "Your function returns the share of lines that are new.",
    "The rule asks for the opposite: the lines that occurred before.",
    line_shares(lambda lines: list(dict.fromkeys(lines))),
)
