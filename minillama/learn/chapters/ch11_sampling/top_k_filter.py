"""Top-k."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import keep_top_k
from ...exercises.exercise import exercise
from .inputs import observe_filter, only_where, through


def make_top_k(rng: np.random.Generator, V: int, k: int) -> tuple[Any, ...]:
    """Logits with few different values, so that the k-th largest has equals; some of them negative.

    Of a larger k the two largest are equal as well. Of many tokens the next one is less by the least that float32
    has.
    """
    if V < 4:
        raise ValueError("there must be room for equal logits")
    logits = rng.normal(size=V).astype(np.float32)
    order = np.argsort(-logits)
    if 1 < k < V:
        logits[order[k - 1 : k + 1]] = logits[order[k - 1]]
        if k > 3:
            logits[order[1]] = logits[order[0]]
        if V > 8:
            logits[order[k + 1]] = np.nextafter(logits[order[k]], np.float32(-np.inf))
    return logits, k


def torch_top_k(logits, k):
    from transformers.generation.logits_process import TopKLogitsWarper

    return through(TopKLogitsWarper(k), logits) if k else logits


@exercise(
    title="Top-k",
    task="Keep the k largest logits and all that equal the k-th; put -inf where a token is dropped.",
    difficulty=1,
    minutes=10,
    same_as=keep_top_k,
    make=make_top_k,
    observe=observe_filter,
    outputs=("ids kept", "logits"),
    oracle=torch_top_k,
    shapes=(
        {"V": 5, "k": 2},
        {"V": 4, "k": 1},
        {"V": 6, "k": 0},
        {"V": 8, "k": 5},
        {"V": 7, "k": 9},
        {"V": 50, "k": 20},
    ),
    axes=("token",),
    hints=(
        "Find the k-th largest logit; then compare every logit with it. Compared with >=, equal ones all stay.",
        "np.sort(logits)[-k] is the k-th largest (np.partition finds it without sorting everything). k = 0 means "
        "off, and k may be larger than the vocabulary: both keep everything.",
        "if k == 0 or k >= len(logits):\n"
        "    return logits\n"
        "return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)",
    ),
    why=(
        "In rising order the k-th largest stands at place -k, and a comparison with it keeps all of its equals, so no "
        "token is dropped for its id alone. A softmax turns -inf into exactly 0, and every other token keeps its "
        "place. Probabilities are not needed here, because they have the order of the logits."
    ),
)
def top_k_filter(logits, k):
    """Keep the k largest logits, and those equal to the k-th largest; -inf for the others.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    k : int
        0 keeps everything; so does any k of at least V.

    Returns
    -------
    logits : ndarray of shape (V,)
        In the order of the ids, -inf where a token is dropped.
    """
    if k == 0 or k >= len(logits):
        return logits
    return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


LIKE_MINUS_INFINITY = -1e9


@top_k_filter.mistake(
    "Your function keeps exactly k tokens and drops some that equal the k-th.",
    "A threshold treats equals alike: keep every logit >= the k-th largest, as Hugging Face does.",
)
def top_k_exactly(logits, k):
    if k == 0:
        return logits
    out = np.full_like(logits, -np.inf)
    order = np.argsort(-logits, kind="stable")[:k]
    out[order] = logits[order]
    return out


@top_k_filter.mistake(
    "Your function drops the k-th largest itself.",
    "Compare with >=, not with >.",
)
def top_k_strict(logits, k):
    return logits if not 0 < k < len(logits) else only_where(logits > np.sort(logits)[-k], logits)


@top_k_filter.mistake(
    "Your function keeps one token too many.",
    "The k-th largest of a sorted array is at index -k: the last one, -1, is the largest.",
)
def top_k_one_more(logits, k):
    return keep_top_k(logits, k + 1) if k else logits


@top_k_filter.mistake(
    "Your function keeps the k smallest.",
    "np.sort is in rising order: the largest are at its end.",
)
def top_k_smallest(logits, k):
    return logits if not 0 < k < len(logits) else only_where(logits <= np.sort(logits)[k - 1], logits)


@top_k_filter.mistake(
    "Your function puts 0 where a token is dropped.",
    "A logit of 0 is a probability like any other, and may be the largest. exp(-inf) is 0: put -inf.",
)
def puts_0_where_token_is_dropped(logits, k):
    return np.where(np.isfinite(keep_top_k(logits, k)), logits, np.float32(0))


@top_k_filter.mistake(
    "Your function puts a large negative number where a token is dropped.",
    "Whether it is small enough depends on the logits and on the temperature; -inf always is.",
)
def puts_a_large_negative_number(logits, k):
    return np.where(np.isfinite(keep_top_k(logits, k)), logits, np.float32(LIKE_MINUS_INFINITY))


@top_k_filter.mistake(
    "Your function returns the logits in sorted order.",
    "The place of a logit is the id of its token: find the threshold by sorting, but keep the order.",
)
def top_k_sorted(logits, k):
    return -np.sort(-keep_top_k(logits, k))


@top_k_filter.mistake(
    "Your function drops everything when k is 0.",
    "k = 0 switches the filter off.",
)
def top_k_no_off(logits, k):
    return np.full_like(logits, -np.inf) if k == 0 else keep_top_k(logits, k)


@top_k_filter.mistake(
    "Your function counts equal logits once: it keeps the k largest different values.",
    "k is a number of tokens: the k-th largest of all logits is the threshold, those that are equal counted each.",
)
def top_k_values(logits, k):
    values = np.unique(logits)
    return logits if not 0 < k < len(values) else only_where(logits >= values[-k], logits)
