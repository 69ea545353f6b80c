"""Top-p: the nucleus."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import keep_top_p, softmax
from ...exercises.exercise import exercise
from .inputs import observe_filter, only_where, through
from .temperature_probabilities import temperature_probabilities


def make_top_p(rng: np.random.Generator, V: int, kept: int) -> tuple[Any, ...]:
    """Logits of which top-p keeps `kept`; the last of them has equals, some kept and some dropped.

    p lies in the middle of the crossing token's probability, so that rounding decides nothing. Where all stay it is 1,
    and rounding would decide: eleven times 1/11 is more than 1 in float32 and in float64. Of eight tokens four
    have exactly a quarter each, and the mass before one of them is exactly p. Of many the logits are near 1000.
    """
    if not 0 < kept <= V:
        raise ValueError("a token has to be kept, and there are V of them")
    if kept == V:
        return rng.permutation(np.where(np.arange(V) < 11, 1, -60)).astype(np.float32), 1.0
    if V == 8 and kept < 4:
        return rng.permutation(np.where(np.arange(V) < 4, 0, -60)).astype(np.float32), (kept - 1) / 4
    falling = np.sort(1.5 * rng.normal(size=V))[::-1]
    falling[max(kept - 2, 0) : kept + 2] = falling[kept - 1]
    logits = rng.permutation(falling + (1000 if V > 30 else 0)).astype(np.float32)
    p = np.sort(softmax(logits))[::-1]
    return logits, float(p[: kept - 1].sum() + p[kept - 1] / 2)


def _top_p(logits, p):
    return keep_top_p(logits, p)


def torch_top_p(logits, p):
    """Hugging Face's processor sorts equals in no fixed order: the lower id is made larger by a hair.

    A mass of exactly p counts as more than p there: p is made larger by a hair, too.
    """
    from transformers.generation.logits_process import TopPLogitsWarper

    wide = logits.astype(np.float64) - 1e-9 * np.arange(len(logits))
    return only_where(np.isfinite(through(TopPLogitsWarper(min(1.0, p + 1e-7)), wide)), logits)


@exercise(
    title="Top-p: the nucleus",
    task="Keep the most probable tokens until their mass passes p, the one that crosses p included; -inf elsewhere.",
    difficulty=2,
    minutes=20,
    same_as=_top_p,
    make=make_top_p,
    observe=observe_filter,
    outputs=("ids kept", "logits"),
    oracle=torch_top_p,
    shapes=(
        {"V": 4, "kept": 2},
        {"V": 3, "kept": 1},
        {"V": 6, "kept": 3},
        {"V": 8, "kept": 3},
        {"V": 9, "kept": 6},
        {"V": 30, "kept": 11},
        {"V": 100, "kept": 40},
        {"V": 14, "kept": 14},
    ),
    axes=("token",),
    hints=(
        "Sort the probabilities in falling order and add them up. A token stays while the mass *before* it is at "
        "most p: so the first always stays, and so does the one that crosses p.",
        "np.argsort(-logits, kind='stable') puts the lower id first among equals. The mass before a token is the "
        "cumulative sum minus its own probability. The result has to be in the order of the ids again: write "
        "through the order, out[order[keep]] = logits[order[keep]].",
        "if p >= 1: return logits.copy()                             # the sum may round to more than 1\n"
        "order = np.argsort(-logits, kind='stable')\n"
        "probabilities = softmax(logits[order])\n"
        "keep = np.cumsum(probabilities) - probabilities <= p\n"
        "out = np.full_like(logits, -np.inf)\n"
        "out[order[keep]] = logits[order[keep]]",
    ),
    why=(
        "The mass before a token decides, not the mass with it; so the first is always kept, and so is the one that "
        "crosses the limit. A stable sort of negated logits puts the lower id first among equals. What was decided in "
        "sorted order is written back through `order`, because ids must stay where they are."
    ),
)
def top_p_filter(logits, p):
    """Keep the most probable tokens until their mass passes p; -inf for the others.

    With tokens in falling order of probability (the lower id first among equals), a token is
    kept while the mass of all before it is at most p. The token that crosses p is kept. p = 1
    keeps every token, although a sum of many rounded numbers may be a little more than 1.

    Parameters
    ----------
    logits : ndarray of shape (V,)
        Of up to 1000 in size, and more.
    p : float
        Between 0 and 1.

    Returns
    -------
    logits : ndarray of shape (V,)
        In the order of the ids, -inf where a token is dropped.
    """
    if p >= 1:
        return logits.copy()
    order = np.argsort(-logits, kind="stable")
    probabilities = temperature_probabilities(logits[order], 1.0)
    keep = np.cumsum(probabilities) - probabilities <= p  # the mass before each token
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def unguarded(logits, p):
    """The filter without its case of p = 1."""
    order, probabilities, mass = ranked(logits, p)
    return kept_ranks(logits, order, mass - probabilities <= p)


def ranked(logits, p):
    """Order (falling, equals by id), probabilities in it, and the mass up to and including each."""
    order = np.argsort(-logits, kind="stable")
    probabilities = softmax(logits[order])
    return order, probabilities, np.cumsum(probabilities)


def kept_ranks(logits, order, keep):
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


@top_p_filter.mistake(
    "Your function drops the token that crosses p, and keeps none when the first one does.",
    "A token stays when the mass before it is at most p, not the mass up to and including it.",
)
def top_p_without_crossing(logits, p):
    order, _, mass = ranked(logits, p)
    return kept_ranks(logits, order, mass <= p)


@top_p_filter.mistake(
    "Your function drops the token that crosses p, unless it is the first.",
    "A token stays when the mass before it is at most p, not the mass up to and including it.",
)
def top_p_without_crossing_but_one(logits, p):
    order, _, mass = ranked(logits, p)
    return kept_ranks(logits, order, (mass <= p) | (np.arange(len(mass)) == 0))


@top_p_filter.mistake(
    "Your function drops a token when the mass before it is exactly p.",
    "A token stays while the mass before it is at most p: <=, and not <.",
)
def top_p_less(logits, p):
    order, probabilities, mass = ranked(logits, p)
    return kept_ranks(logits, order, (mass - probabilities < p) | (np.arange(len(mass)) == 0))


@top_p_filter.mistake(
    "Your function drops tokens where p is 1.",
    "Rounded probabilities may add up to a little more than 1 before the last ones: return the logits as they are.",
)
def top_p_rounded(logits, p):
    return unguarded(logits, p)


@top_p_filter.mistake(
    "Your function keeps one token too many.",
    "The mass before token i is the sum of the i tokens before it; one shift by one place is enough.",
)
def top_p_one_more(logits, p):
    order, _, mass = ranked(logits, p)
    return kept_ranks(logits, order, np.concatenate(([0, 0], mass[:-2])) <= p)


@top_p_filter.mistake(
    "Your function keeps all tokens that equal the last one.",
    "Top-k has a threshold, top-p counts: among equals the lower ids stay, until p is passed.",
)
def top_p_all_equals(logits, p):
    return only_where(logits >= np.min(logits[np.isfinite(unguarded(logits, p))]), logits)


@top_p_filter.mistake(
    "Your function prefers the higher id among equal tokens.",
    "np.argsort(logits)[::-1] turns equals round: sort the negated logits, with kind='stable'.",
)
def top_p_higher_ids(logits, p):
    return unguarded(logits[::-1], p)[::-1]


@top_p_filter.mistake(
    "Your function adds up from the least probable token: it keeps the tail.",
    "np.argsort is in rising order: sort -logits.",
)
def top_p_from_below(logits, p):
    order = np.argsort(logits, kind="stable")
    mass = np.cumsum(softmax(logits[order]))
    return kept_ranks(logits, order, mass - softmax(logits[order]) <= p)


@top_p_filter.mistake(
    "Your function adds up in the order of the ids, without sorting.",
    "The nucleus is the smallest set that reaches p: begin with the most probable token.",
)
def top_p_unsorted(logits, p):
    probabilities = softmax(logits)
    return only_where(np.cumsum(probabilities) - probabilities <= p, logits)


@top_p_filter.mistake(
    "Your function decides in sorted order and applies it in the order of the ids.",
    "keep[i] speaks of the token order[i]: write out[order[keep]] = logits[order[keep]].",
)
def top_p_rank_as_id(logits, p):
    mass = ranked(logits, p)[2]
    return only_where(np.concatenate(([0], mass[:-1])) <= p, logits)


@top_p_filter.mistake(
    "Your function keeps tokens whose own probability is at least 1 - p.",
    "It is the sum of the more probable tokens that counts, not a token's own probability.",
)
def top_p_single(logits, p):
    return only_where(softmax(logits) >= 1 - p, logits)


def right_at_1(mistake):
    return lambda logits, p: logits.copy() if p >= 1 else mistake(logits, p)


# Right at p = 1 anyway, or nowhere else wrong.
ALONE = (top_p_rounded, top_p_from_below, top_p_unsorted, top_p_single)
for known in list(top_p_filter.mistakes):  # who has thought of p = 1 may be wrong elsewhere
    if known.function not in ALONE:
        top_p_filter.mistake(f"Where p is below 1, y{known.name[1:]}", known.advice, right_at_1(known.function))
