"""Replace a few, drop for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import SHORT, pick


def make_spans(rng: np.random.Generator, words: int, spans: int, most: int) -> tuple[Any, ...]:
    if spans > words:
        raise ValueError("a span is one word")
    chosen = sorted(rng.choice(words, spans, replace=False).tolist())
    drawn = pick(rng, SHORT[:4], words)
    starts = np.cumsum([0, *(len(word) + 1 for word in drawn)]).tolist()
    kinds = pick(rng, ("EMAIL_ADDRESS", "PHONE_NUMBER", "IP_ADDRESS"), spans)
    return " ".join(drawn), [(starts[i], starts[i] + len(drawn[i]), kind) for i, kind in zip(chosen, kinds)], most


@exercise(
    title="Replace a few, drop for many",
    task="Replace the found spans of a text, or drop the text when there are more than `most`.",
    difficulty=1,
    minutes=10,
    make=make_spans,
    shapes=(
        {"words": 1, "spans": 1, "most": 5},
        {"words": 4, "spans": 2, "most": 5},
        {"words": 7, "spans": 4, "most": 1},
        {"words": 6, "spans": 2, "most": 0},
        {"words": 5, "spans": 0, "most": 0},
        {"words": 9, "spans": 3, "most": 3},
        {"words": 12, "spans": 5, "most": 5},
        {"words": 12, "spans": 6, "most": 5},
        {"words": 30, "spans": 9, "most": 8},
    ),
    exact=True,
    hints=(
        "Positions are those of the original text. As soon as one span has been replaced, all after it have moved.",
        "Work from the last span to the first: what lies in front of a place does not move when the place changes.",
        "if len(spans) > most: return None\n"
        "for start, stop, kind in reversed(spans):\n"
        '    text = text[:start] + "|||" + kind + "|||" + text[stop:]',
    ),
    why=(
        "A replacement moves everything behind it; from the right, only what is done already moves. A few addresses "
        "are an accident that can be covered, many make the page a list of people, of which nothing is left to learn. "
        "None is not an empty text, so a caller can tell the two apart."
    ),
)
def redact_or_drop(text, spans, most):
    """Replace the found spans of a text, or drop the text when there are too many.

    Parameters
    ----------
    text : str
    spans : list of (int, int, str)
        Start, stop and kind: text[start:stop] is what was found. Sorted, without overlaps.
    most : int

    Returns
    -------
    str or None
        With "|||KIND|||" in place of each span; None for more than `most` spans.
    """
    if len(spans) > most:
        return None
    for start, stop, kind in reversed(spans):  # from the right, so that the other positions stay
        text = text[:start] + "|||" + kind + "|||" + text[stop:]
    return text


def redact(limit: Callable[[int, int], bool] = lambda n, most: n > most, dropped: Any = None, stop_more: int = 0):
    def function(text, spans, most):
        if limit(len(spans), most):
            return dropped
        return redact_or_drop(text, [(start, stop + stop_more, kind) for start, stop, kind in spans], len(spans))

    return function


@redact_or_drop.mistake(
    "Your function replaces from left to right with the positions of the original text.",
    "The first mark is longer than what it replaces, so the second span has moved: go from right to left.",
)
def redact_from_left(text, spans, most):
    if len(spans) > most:
        return None
    for start, stop, kind in spans:
        text = f"{text[:start]}|||{kind}|||{text[stop:]}"
    return text


redact_or_drop.mistake(
    "Your function drops the text at `most` spans already.",
    "Up to `most` spans are replaced; more of them drop the text: len(spans) > most.",
    redact(lambda n, most: n >= most),
)

redact_or_drop.mistake(
    "Your function never drops a text.",
    "More than `most` spans are a list of contacts, not a text with a contact in it: return None.",
    redact(lambda n, most: False),
)


@redact_or_drop.mistake(
    "Your function replaces the text of a span wherever it stands.",
    "The same characters may stand elsewhere and be harmless there: only text[start:stop] is replaced.",
)
def redact_by_text(text, spans, most):
    if len(spans) > most:
        return None
    found = text
    for start, stop, kind in spans:
        found = found.replace(text[start:stop], f"|||{kind}|||")
    return found


redact_or_drop.mistake(
    "Your function takes one character too many with each span.",
    "`stop` is the first character after the span: text[start:stop] is all of it.",
    redact(stop_more=1),
)

redact_or_drop.mistake(
    "Your function returns an empty text where the document is to be dropped.",
    "An empty document is still one, with BOS and nothing after it: return None.",
    redact(dropped=""),
)
