"""What can stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.session import common_prefix
from ...exercises.exercise import exercise


def make_plan(rng: np.random.Generator, shared: int, old: int, new: int) -> tuple[Any, ...]:
    """Two texts with a common beginning. After it they differ first, and then agree here and there."""
    if shared + new == 0:
        raise ValueError("there must be a token to run")
    beginning = rng.integers(0, 500, shared)
    cached, wanted = rng.integers(1000, 1500, old).tolist(), rng.integers(2000, 2500, new).tolist()
    for i in range(1, min(old, new)):
        if i % 3:
            wanted[i] = cached[i]
    return beginning.tolist() + cached, beginning.tolist() + wanted  # equal ids that are other objects


@exercise(
    title="What can stay",
    task="The cache holds one text, another is wanted: how many positions can stay, and which tokens must run?",
    difficulty=1,
    minutes=10,
    make=make_plan,
    exact=True,
    outputs=("keep", "feed"),
    shapes=(
        {"shared": 1, "old": 1, "new": 1},
        {"shared": 2, "old": 0, "new": 0},
        {"shared": 0, "old": 3, "new": 2},
        {"shared": 3, "old": 0, "new": 2},
        {"shared": 4, "old": 3, "new": 0},
        {"shared": 5, "old": 6, "new": 7},
        {"shared": 600, "old": 3, "new": 4},
    ),
    hints=(
        "A key at position m depends on all tokens 0 ... m. At the first token that differs everything after it is "
        "worthless, even where single tokens agree again.",
        "Count from the start while both agree. One special case: when the cache already holds all of the wanted "
        "text, its last token has to run again, for the logits.",
        "keep = 0\n"
        "while keep < min(len(cached), len(wanted) - 1) and cached[keep] == wanted[keep]:\n"
        "    keep += 1\n"
        "return keep, wanted[keep:]",
    ),
    why=(
        "What is cached for a token depends on all tokens before it, so behind the first difference nothing can be "
        "kept, even where the texts agree again. One token is always left to run, since the cache holds keys and "
        "values and no logits. A chat that goes on keeps its whole beginning this way, and only the new turn is "
        "computed."
    ),
)
def plan_rewind(cached, wanted):
    """How many positions of the cache can stay, and which tokens must run, to get from one text to another.

    At least one token must run, the last of `wanted`, for its logits.

    Parameters
    ----------
    cached : list of int
        The tokens that the cache holds.
    wanted : list of int
        The tokens that it should hold; at least one.

    Returns
    -------
    keep : int
        Length of the common beginning, but less than len(wanted).
    feed : list of int
        What follows it in `wanted`.
    """
    keep = 0
    while keep < min(len(cached), len(wanted) - 1) and cached[keep] == wanted[keep]:
        keep += 1
    return keep, wanted[keep:]


@plan_rewind.mistake(
    "Your function runs no token when the cache already holds the whole text.",
    "Logits are not in the cache: at least the last token has to run. Keep at most len(wanted) - 1.",
)
def plan_feeds_nothing(cached, wanted):
    keep = common_prefix(cached, wanted)
    return keep, wanted[keep:]


@plan_rewind.mistake(
    "Your function keeps all or nothing.",
    "When texts part ways in the middle, what came before is still right: keep the common beginning.",
)
def plan_all_or_nothing(cached, wanted):
    keep = len(cached) if wanted[: len(cached)] == cached else 0
    keep = min(keep, len(wanted) - 1)
    return keep, wanted[keep:]


@plan_rewind.mistake(
    "Your function counts all tokens that agree, also behind the first difference.",
    "After a different token every key differs, for it was computed from what came before: stop counting.",
)
def plan_counts_matches(cached, wanted):
    keep = min(sum(a == b for a, b in zip(cached, wanted)), len(wanted) - 1)
    return keep, wanted[keep:]


@plan_rewind.mistake(
    "Your function looks at the lengths and not at the tokens.",
    "Tokens that differ have other keys: compare them one by one.",
)
def plan_compares_lengths(cached, wanted):
    keep = min(len(cached), len(wanted) - 1)
    return keep, wanted[keep:]


@plan_rewind.mistake(
    "Your function always runs the last common token again.",
    "That is needed only when nothing else runs: otherwise the first new token can follow it from the cache.",
)
def plan_one_too_few(cached, wanted):
    keep = max(min(common_prefix(cached, wanted), len(wanted)) - 1, 0)
    return keep, wanted[keep:]
