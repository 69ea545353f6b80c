"""Min-p."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import keep_min_p, softmax
from ...exercises.exercise import exercise
from .inputs import observe_filter, only_where, through


def make_min_p(rng: np.random.Generator, V: int, kept: int) -> tuple[Any, ...]:
    """Logits of which min-p keeps `kept`; min_p lies between two tokens' ratios; 0 keeps all, 1 the first.

    Of more than four two are the first then: they are exactly as probable as the most probable one. Of many the logits
    are near 1000.
    """
    if not 0 < kept <= V or V < 2:
        raise ValueError("kept must be in 1 ... V")
    falling = np.sort(rng.normal(size=V))[::-1] + 0.1 * np.arange(V)[::-1]
    logits = rng.permutation(falling + (1000 if V > 25 else 0)).astype(np.float32)
    logits -= np.float32(3 if V % 2 else 0)
    if kept == 1 and V > 4:
        logits[np.argmin(logits)] = logits.max()
    if kept in (1, V):
        return logits, float(kept == 1)  # 1 keeps the most probable token alone
    ratio = np.sort(np.exp(logits.astype(np.float64) - logits.max()))[::-1]
    return logits, float(np.sqrt(ratio[kept - 1] * ratio[kept]))


def torch_min_p(logits, min_p):
    from transformers.generation.logits_process import MinPLogitsWarper

    return through(MinPLogitsWarper(min_p), logits)


@exercise(
    title="Min-p",
    task="Keep tokens that are at least min_p times as probable as the most probable one; -inf elsewhere.",
    difficulty=1,
    minutes=10,
    same_as=lambda logits, min_p: keep_min_p(logits, min_p),
    make=make_min_p,
    observe=observe_filter,
    outputs=("ids kept", "logits"),
    oracle=torch_min_p,
    shapes=(
        {"V": 3, "kept": 2},
        {"V": 2, "kept": 1},
        {"V": 4, "kept": 4},
        {"V": 8, "kept": 3},
        {"V": 25, "kept": 10},
        {"V": 60, "kept": 33},
        {"V": 7, "kept": 1},
    ),
    axes=("token",),
    hints=(
        "The threshold is relative: min_p times the largest probability. Where the model is sure, few tokens reach "
        "it; where it is not, many do.",
        "The ratio of two probabilities needs no softmax: p_i / p_max = exp(logit_i - logit_max).",
        "return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)",
    ),
    why=(
        "In the quotient of two probabilities the sum of the softmax cancels, and exp(z - z_max) is left. The limit "
        "follows the model: where it is sure few tokens remain, where it is not many. The best token has quotient 1, "
        "so something is always kept."
    ),
)
def min_p_filter(logits, min_p):
    """Keep tokens with p[i] >= min_p * max(p); -inf for the others.

    Parameters
    ----------
    logits : ndarray of shape (V,)
        Of up to 1000 in size, and more.
    min_p : float
        Between 0 (keeps everything) and 1.

    Returns
    -------
    logits : ndarray of shape (V,)
    """
    return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)


@min_p_filter.mistake(
    "Your function compares the probabilities with min_p itself.",
    "The threshold is min_p * max(p): without the maximum, a flat distribution would lose every token.",
)
def min_p_absolute(logits, min_p):
    return only_where(softmax(logits) >= min_p, logits)


@min_p_filter.mistake(
    "Your function compares logits with min_p times the largest logit.",
    "Logits have no zero point: only probabilities can be compared by a factor.",
)
def min_p_of_logits(logits, min_p):
    return only_where(logits >= min_p * logits.max(), logits)


@min_p_filter.mistake(
    "Your function compares logits with the largest logit minus min_p.",
    "A factor of probabilities is a difference of logits, but of log(min_p): logit >= max + log(min_p).",
)
def min_p_no_log(logits, min_p):
    return only_where(logits >= logits.max() - min_p, logits)


@min_p_filter.mistake(
    "Your function drops what it should keep.",
    "Tokens above the threshold stay: -inf where the ratio is below min_p.",
)
def min_p_turned(logits, min_p):
    return only_where(np.exp(logits - logits.max()) <= min_p, logits)


@min_p_filter.mistake(
    "Your function compares with the mean probability.",
    "The measure is the most probable token: min_p * max(p).",
)
def min_p_of_mean(logits, min_p):
    p = softmax(logits)
    return only_where(p >= min_p * p.mean(), logits)
