"""Repetition penalty."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import penalize_repetition
from ...exercises.exercise import exercise
from .inputs import through


def make_repetition(rng: np.random.Generator, V: int, n_ids: int) -> tuple[Any, ...]:
    """Logits of both signs; ids with repeats, the largest and the smallest logit among them."""
    if V < 3:
        raise ValueError("there must be a token that does not occur")
    logits = (2 * rng.normal(size=V)).astype(np.float32)
    logits[0] = abs(logits[0])
    logits[-1] = -abs(logits[-1])
    ids = [V - 1, V - 1, 0, *rng.integers(0, V // 2, n_ids).tolist()][:n_ids]
    return logits, ids, 1.25 + 0.5 * rng.random()


def torch_repetition(logits, ids, penalty):
    from transformers.generation.logits_process import RepetitionPenaltyLogitsProcessor

    return through(RepetitionPenaltyLogitsProcessor(penalty), logits, ids)


@exercise(
    title="Repetition penalty",
    task="Make every token that has occurred less probable, once: a negative logit times r, another divided by r.",
    difficulty=1,
    minutes=10,
    same_as=lambda logits, ids, penalty: penalize_repetition(logits, ids, penalty),
    make=make_repetition,
    oracle=torch_repetition,
    shapes=(
        {"V": 3, "n_ids": 2},
        {"V": 4, "n_ids": 3},
        {"V": 5, "n_ids": 0},
        {"V": 12, "n_ids": 6},
        {"V": 40, "n_ids": 30},
    ),
    axes=("token",),
    hints=(
        "Less probable means a smaller logit. Dividing a negative number by r > 1 makes it larger.",
        "set(ids) has every id once, however often it occurred. It may be empty.",
        "out = logits.copy()\nfor i in set(ids):\n    out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty",
    ),
    why=(
        "Dividing a negative logit would raise it, so it is multiplied instead, and the token becomes less probable "
        "either way. A set gives each id its penalty once, however often it came. It is a rule of thumb: it treats 0 "
        "as special, while a softmax does not notice a constant added to all logits."
    ),
)
def penalize_repeated_tokens(logits, ids, penalty):
    """Make tokens that have occurred less probable.

    For every id in `ids`, once: s becomes s * penalty where s < 0, s / penalty elsewhere.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    ids : list of int
        The text so far; ids may repeat, and there may be none.
    penalty : float
        1 or more.

    Returns
    -------
    logits : ndarray of shape (V,)
    """
    out = logits.copy()
    for i in set(ids):
        out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty
    return out


def changed(logits, ids, change):
    out = logits.copy()
    for i in ids:
        out[i] = change(out[i])
    return out


@penalize_repeated_tokens.mistake(
    "Your function divides negative logits too: those tokens become more probable.",
    "-2 / 1.5 is larger than -2. Multiply a negative logit.",
)
def repetition_divides(logits, ids, r):
    return changed(logits, set(ids), lambda s: s / r)


@penalize_repeated_tokens.mistake(
    "Your function has it the wrong way round: it makes repeated tokens more probable.",
    "A logit of at least 0 is divided, a negative one multiplied.",
)
def repetition_turned(logits, ids, r):
    return changed(logits, set(ids), lambda s: s / r if s < 0 else s * r)


@penalize_repeated_tokens.mistake(
    "Your function applies the penalty once for every time that a token occurs.",
    "Once for each id, however often: loop over set(ids).",
)
def repetition_each_time(logits, ids, r):
    return changed(logits, ids, lambda s: s * r if s < 0 else s / r)


@penalize_repeated_tokens.mistake(
    "Your function subtracts the penalty.",
    "That is another penalty (OpenAI's presence penalty). This one multiplies or divides.",
)
def repetition_subtracts(logits, ids, r):
    return changed(logits, set(ids), lambda s: s - r)


@penalize_repeated_tokens.mistake(
    "Your function sees only the last token.",
    "Every token of the text so far counts, the prompt included.",
)
def repetition_last_only(logits, ids, r):
    return penalize_repetition(logits, ids[-1:], r)


@penalize_repeated_tokens.mistake(
    "Your function changes the tokens that did not occur.",
    "The ids are those to make less probable.",
)
def repetition_others(logits, ids, r):
    return penalize_repetition(logits, sorted(set(range(len(logits))) - set(ids)), r)


@penalize_repeated_tokens.mistake(
    "Your function spares tokens that have occurred only once.",
    "One occurrence is enough.",
)
def repetition_mostly_once(logits, ids, r):
    return penalize_repetition(logits, [i for i in ids if ids.count(i) > 1], r)
