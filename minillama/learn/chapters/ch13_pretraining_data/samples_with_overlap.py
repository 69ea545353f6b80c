"""Test questions in the training text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from ....data.rules.contamination import NgramOverlap
from ...exercises.exercise import Function, exercise
from .inputs import NOUNS, SHORT
from .variants import normal_words

ENDINGS = ("s", "ed", "ing", "er", "less", "ful", "ish", "y", "like", "let", "ly")


def plain_samples_with_overlap(document: str, samples: list[str], n: int) -> list[bool]:
    """Which samples share a run of n normalised words with the document."""
    return [NgramOverlap([sample], n=n, min_words=n)(document).text is None for sample in samples]


def make_overlap(rng: np.random.Generator, samples: int, n: int) -> tuple[Any, ...]:
    """Samples of which the document has a run of n words, nearly n, or the words in another order."""
    if n < 3:
        raise ValueError("two words are not a run")
    stems = rng.permutation(NOUNS + SHORT).tolist()
    endings = dict.fromkeys(["", *ENDINGS, *(a + b for a in ENDINGS for b in ENDINGS)])
    words = iter([stem + ending for ending in endings for stem in stems])
    document, found = [], []
    for i in range(samples):
        in_document, sample = overlap_kind(i % 18, n, lambda count: [next(words) for _ in range(count)])
        document += [*in_document, next(words)]
        found.append(" ".join(sample))
    if samples > 4:
        found[-1] = " ".join(document[1 - n :])  # shorter than n words: it has no run
    return " ".join(document) + ".", found, n


def overlap_kind(kind: int, n: int, new: Callable[[int], list[str]]) -> tuple[list[str], list[str]]:
    """What the document has, and the sample; `new` gives words that are nowhere else."""
    run, extra, half = new(n), new(2), n // 2
    signs = [f"{run[0].title()},", *run[1:-1], f"{run[-1].upper()}?"]
    kinds = (
        (run, run),  # the whole sample
        ([*run[:-1], *new(1)], [*extra, *run]),  # one word too few
        (run, [*extra, *run]),  # at the end of the sample
        (run[::-1], [*run, *extra]),  # in another order
        ([word.title() for word in run], [*extra, *run]),
        ([*run[:-2], run[-2] + ",", run[-1]], [*run, *extra]),
        (["17", *run[1:]], ["18", *run[1:], *extra]),  # other digits: they stay
        (run, [*extra, *signs]),
        ([f"{run[0]}-{run[1]}", *run[2:]], [*run, *extra]),
        (run, [f"{run[0]}_{run[1]}", *run[2:], *extra]),
        ([*run[:half], "17", *run[half:]], [*extra, *run[:half], "18", *run[half:]]),
        ([f"con{run[0]}", *run[1:]], [*extra, *run]),  # inside another word
        ([*run[:-1], f"{run[-1]}ness"], [*run, *extra]),
        ([word for pair in zip(run, new(n)) for word in pair], [*run, *extra]),  # all of them, but apart
        (run, [*new(n), *run]),
        ([*run, *extra, *(more := new(11))], [*new(1), *run, *extra, *more]),  # a longer run
        ([*run, extra[0]], [*run, extra[0]]),
        ([*run[:-1], run[0]], [*run[:-1], run[0], *extra]),  # a word twice
    )
    return kinds[kind]


@exercise(
    title="Test questions in the training text",
    difficulty=2,
    minutes=12,
    same_as=plain_samples_with_overlap,
    make=make_overlap,
    shapes=(
        {"samples": 1, "n": 3},
        {"samples": 2, "n": 4},
        {"samples": 5, "n": 3},
        {"samples": 7, "n": 5},
        {"samples": 18, "n": 4},
        {"samples": 36, "n": 8},
    ),
    exact=True,
    hints=(
        "Normalise both sides in the same way: lower case, signs as spaces. Digits stay: 17 + 25 is another question "
        "than 17 + 26.",
        "Put all windows of n words of the document in a set, once; then ask of every window of a sample whether it is "
        "in it.",
        'words = re.sub(r"[^\\w\\s]|_", " ", text.lower()).split()\n'
        "seen = {tuple(words[i:i + n]) for i in range(len(words) - n + 1)}, of the document\n"
        "[any(window in seen for window in windows of sample) for sample in samples]",
    ),
    why=(
        "Thirteen words in a row hardly agree by chance, so a common run is a sign that the question itself was in "
        "the text. The windows of the document are a set that is made once, and each sample only asks it. Digits "
        "stay, unlike in the search for duplicates, because other numbers make another question."
    ),
)
def samples_with_overlap(document, samples, n):
    """Say which evaluation samples share a run of n words with a document.

    Words come from the normalised text: lower case, every sign (- and _ too) as a space. Digits stay.

    Parameters
    ----------
    document : str
    samples : list of str
        One of fewer than n words shares no run.
    n : int
        13 in GPT-3's rule.

    Returns
    -------
    list of bool
        One for each sample.
    """

    def windows(text):
        words = re.sub(r"[^\w\s]|_", " ", text.lower()).split()
        return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}

    seen = windows(document)
    return [bool(windows(sample) & seen) for sample in samples]


def overlap(
    less: int = 0,
    more: int = 0,
    only_first: bool = False,
    stride: bool = False,
    window: Callable[[list[str]], tuple[str, ...]] = tuple,
    **normal: bool,
) -> Function:
    """The rule with its parts exchanged, for mistakes."""

    def found(document: str, samples: list[str], n: int) -> list[bool]:
        options = {"digits": False, **normal}

        def windows(text: str, only: bool = False, step: int = 1) -> set[tuple[str, ...]]:
            words, size = normal_words(text, **options), n - less + more
            return {window(words[i : i + size]) for i in range(0, 1 if only else len(words) - size + 1, step)}

        seen = windows(document)
        return [bool(windows(sample, only_first, n if stride else 1) & seen) for sample in samples]

    return found


@samples_with_overlap.mistake(
    "Your function counts common words in any order.",
    "n words that occur somewhere are not a copy: they must stand in a row.",
)
def overlap_any_order(document, samples, n):
    words = set(normal_words(document, digits=False))
    return [len(words & set(normal_words(sample, digits=False))) >= n for sample in samples]


@samples_with_overlap.mistake(
    "Your function asks for the whole sample.",
    "A run of n words is enough; the rest of the sample may be new.",
)
def overlap_whole(document, samples, n):
    text = " ".join(normal_words(document, digits=False))
    return [" ".join(normal_words(sample, digits=False)) in text for sample in samples]


samples_with_overlap.mistake(
    "Your function looks only at the beginning of each sample.",
    "The run may begin at any word: go through all windows of the sample.",
    overlap(only_first=True),
)

samples_with_overlap.mistake(
    "Your function takes n - 1 words in a row as enough.",
    "The window has n words: words[i : i + n].",
    overlap(less=1),
)

samples_with_overlap.mistake(
    "Your function asks for n + 1 words in a row.",
    "n words are enough: words[i : i + n] has n of them already.",
    overlap(more=1),
)

samples_with_overlap.mistake(
    "Your function compares capitals as they are.",
    "A question in a heading is the same question: lower case first.",
    overlap(lower=False),
)

samples_with_overlap.mistake(
    "Your function leaves commas and full stops at the words.",
    "Signs become spaces, so that a run is not cut by a comma.",
    overlap(signs=False),
)

samples_with_overlap.mistake(
    "Your function writes all numbers as 0.",
    "That is right for duplicates. In questions the numbers are what is asked: they stay.",
    overlap(digits=True),
)


@samples_with_overlap.mistake(
    "Your function takes runs of 13 words, whatever n is.",
    "13 is GPT-3's number. The window has n words: words[i : i + n].",
)
def takes_runs_of_13_words(document, samples, n):
    return overlap()(document, samples, 13)


samples_with_overlap.mistake(
    "Your function compares the words of a window without their order.",
    "'dog bites man' is not 'man bites dog': a window is a tuple as it stands, neither a set nor sorted.",
    overlap(window=lambda words: tuple(sorted(words))),
)

samples_with_overlap.mistake(
    "Your function cuts a sample in pieces of n words that do not overlap.",
    "A run may begin at any word: the windows begin at 0, 1, 2 and so on.",
    overlap(stride=True),
)
