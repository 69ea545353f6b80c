"""One head."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....layers.attention import attention_forward
from ...exercises.exercise import exercise
from .causal_mask import causal_mask
from .inputs import torch_attention, with_gap
from .softmax_over_keys import softmax_over_keys
from .variants import attend, end_aligned, from_zero, mask_after, softmax, unshifted, visible_keys, without_gaps


def make_one_head(rng: np.random.Generator, T: int, past: int, head_dim: int) -> tuple[Any, ...]:
    """One head; with a past there is room after the last token, and the last query has scores near 760, where
    exp is too much for float64. Where the chunk is even the first one has scores far below -100.
    """
    n_keys = past + T + (2 if past else 0)
    q, k, v = (rng.normal(size=(n, head_dim)) for n in (T, n_keys, n_keys))
    if past:
        direction = q[-1] / np.linalg.norm(q[-1])
        k += (3 if T % 2 == 0 else 1) * direction  # what all keys have in common
        q[-1] = 760 * math.sqrt(head_dim) * direction / max(1.0, float(np.abs(k @ direction).max()))
    if past and T % 2 == 0:
        q[0] = -2 * q[-1]
    return *(a.astype(np.float32) for a in (q, k, v)), past + with_gap(T, past)


def one_head(q, k, v, positions):
    return attention_forward(q[None, None], k[None, None], v[None, None], positions[None])[0][0, 0]


def torch_one_head(q, k, v, positions):
    return torch_attention(q[None, None], k[None, None], v[None, None], positions[None])[0, 0]


@exercise(
    title="One head",
    task="Causal attention of one head: scores, mask, softmax, weighted mean of the values.",
    difficulty=2,
    minutes=15,
    same_as=one_head,
    make=make_one_head,
    shapes=(
        {"T": 2, "past": 0, "head_dim": 4},
        {"T": 1, "past": 0, "head_dim": 2},
        {"T": 3, "past": 0, "head_dim": 5},
        {"T": 1, "past": 6, "head_dim": 8},
        {"T": 5, "past": 3, "head_dim": 6},
        {"T": 4, "past": 5, "head_dim": 8},
        {"T": 33, "past": 0, "head_dim": 64},
    ),
    axes=("position", "dim"),
    oracle=torch_one_head,
    rtol=3e-4,
    atol=1e-4,
    hints=(
        "Four lines: all scores at once as a matrix (T, S), the mask, the softmax of each row, and a product with v. "
        "The two exercises before are two of the lines.",
        "scores = q @ k.T / sqrt(head_dim). Hidden keys get the score -inf *before* the softmax: np.where(visible, "
        "scores, -np.inf). Then the softmax over the last axis, then @ v.",
        "scores = q @ k.T / np.sqrt(q.shape[-1])\n"
        "visible = np.arange(len(k)) <= positions[:, None]\n"
        "weights = softmax_over_keys(np.where(visible, scores, -np.inf))\n"
        "return weights @ v",
    ),
    why=(
        "Dot products of random vectors spread like sqrt(head_dim); divided by it they have one size for heads of any "
        "width, and the softmax is neither all or nothing nor flat. The mask comes before the softmax, so that hidden "
        "keys are missing in the denominator too and the weights of the others sum to 1. The last product takes the "
        "weighted means of all queries at once."
    ),
)
def attend_one_head(q, k, v, positions):
    """Causal attention of one head.

    score[t, s] = q[t] . k[s] / sqrt(head_dim)     for s <= positions[t]
    y[t]        = sum over s <= positions[t] of softmax(score[t])[s] * v[s]

    Scores may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    q : float32 ndarray of shape (T, head_dim)
    k, v : float32 ndarray of shape (S, head_dim)
    positions : integer ndarray of shape (T,)
        All below S. They rise, and there may be gaps: the last rows of a chunk alone, for example.

    Returns
    -------
    y : ndarray of shape (T, head_dim)
    """
    scores = q @ k.T / np.float32(np.sqrt(q.shape[-1]))  # (T, S)
    scores = np.where(causal_mask(positions, len(k)), scores, np.float32(-np.inf))
    return softmax_over_keys(scores) @ v


def mask_by_zero(q, k, v, visible):
    """Hidden scores are 0, whose exponential is 1."""
    scores = q @ k.swapaxes(-1, -2) / q.dtype.type(math.sqrt(q.shape[-1]))
    return softmax(np.where(visible, scores, q.dtype.type(0))) @ v


@attend_one_head.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "The dot product of two random vectors grows like sqrt(head_dim): without the division the softmax is "
    "far too sharp.",
)
def scores_are_not_divided(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions, len(k)), scale=1)


@attend_one_head.mistake(
    "Your scores are divided by head_dim, not by its square root.",
    "head_dim is the variance of the dot product; its spread is the square root. Divided by head_dim, all "
    "weights are nearly equal.",
)
def scores_are_divided_by_head_dim(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions, len(k)), scale=q.shape[-1])


@attend_one_head.mistake(
    "Your scores are divided by the square root of the number of keys.",
    "The scale belongs to the width of the vectors, q.shape[-1], not to how many there are.",
)
def scores_are_divided_by_another_root(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions, len(k)), scale=math.sqrt(len(k)))


@attend_one_head.mistake(
    "Your function has no mask: every query sees all keys.",
    "Keys after positions[t] are the future, or places of the cache that hold nothing: set their scores to -inf.",
)
def has_no_mask(q, k, v, positions):
    return attend(q, k, v, True)


@attend_one_head.mistake(
    "Your queries do not see themselves.",
    "A query at position m sees keys 0 ... m, with m: <=, not <.",
)
def queries_do_not_see_themselves(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions - 1, len(k)))


@attend_one_head.mistake(
    "Your queries see one token of the future: the mask is off by one.",
    "A query at position m sees keys 0 ... m. In training key m + 1 would tell it the answer.",
)
def queries_see_one_token_of_future(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions + 1, len(k)))


@attend_one_head.mistake(
    "Your mask counts the queries from 0.",
    "The first query of a chunk need not be at position 0: compare the keys with `positions`.",
)
def mask_counts_queries_from_0(q, k, v, positions):
    return attend(q, k, v, visible_keys(from_zero(positions), len(k)))


@attend_one_head.mistake(
    "Your function masks after the softmax: the remaining weights do not sum to 1.",
    "The future has then already taken its share of the softmax. Set scores to -inf before it.",
)
def masks_after_softmax(q, k, v, positions):
    return mask_after(q, k, v, visible_keys(positions, len(k)))


@attend_one_head.mistake(
    "Your function sets hidden scores to 0.",
    "exp(0) is 1, so hidden keys still get weight. The score whose exponential is 0 is -inf.",
)
def sets_hidden_scores_to_0(q, k, v, positions):
    return mask_by_zero(q, k, v, visible_keys(positions, len(k)))


@attend_one_head.mistake(
    "Your softmax runs over the queries.",
    "Weights of one query must sum to 1: the softmax goes along the last axis of the scores (T, S), the keys.",
)
def softmax_runs_over_queries(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions, len(k)), axis=-2)


@attend_one_head.mistake(
    "Your function takes the exponential of scores as they are, and large ones overflow.",
    "float32 ends at exp(88). Subtract the row's largest score first: the result is the same.",
)
def one_head_overflowing(q, k, v, positions):
    return unshifted(q, k, v, visible_keys(positions, len(k)))


@attend_one_head.mistake(
    "Your mask takes the last query for the last key.",
    "That holds only while the cache is exactly full. There may be room after the last token, and gaps: compare the "
    "keys with `positions`.",
)
def mask_takes_last_query_for_last_key(q, k, v, positions):
    return attend(q, k, v, end_aligned(len(q), len(k)))


@attend_one_head.mistake(
    "Your mask lets the positions run on by one from the first.",
    "There may be gaps: compare the keys with every query's own position, not with positions[0] + t.",
)
def positions_run_on(q, k, v, positions):
    return attend(q, k, v, visible_keys(without_gaps(positions), len(k)))
