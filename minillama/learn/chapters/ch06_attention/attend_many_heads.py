"""Many heads and a batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....layers.attention import attention_forward
from ...exercises.exercise import exercise
from .inputs import AXES, make_heads, torch_attention
from .softmax_over_keys import softmax_over_keys
from .variants import attend, end_aligned, from_zero, mask_after, seen_by_heads, unshifted, visible_keys, without_gaps


def make_many(rng: np.random.Generator, B: int, T: int, past: int, H: int, head_dim: int) -> tuple[Any, ...]:
    return make_heads(rng, B, T, past, H, 1, head_dim)


def reference_attention(q, k, v, positions):
    return attention_forward(q, k, v, positions)[0]


def with_repeated_heads(function):
    """The function gets as many key heads as query heads."""

    def forward(q, k, v, positions):
        group = q.shape[1] // k.shape[1]
        return function(q, np.repeat(k, group, axis=1), np.repeat(v, group, axis=1), positions)

    return forward


@exercise(
    title="Many heads and a batch",
    task="Causal attention of all heads of a batch, each sequence with its own positions.",
    difficulty=2,
    minutes=15,
    same_as=reference_attention,
    replaces="attention",
    as_layer=with_repeated_heads,
    make=make_many,
    shapes=(
        {"B": 1, "T": 2, "past": 0, "H": 2, "head_dim": 4},
        {"B": 1, "T": 1, "past": 0, "H": 1, "head_dim": 2},
        {"B": 2, "T": 3, "past": 0, "H": 3, "head_dim": 6},
        {"B": 3, "T": 1, "past": 7, "H": 2, "head_dim": 8},
        {"B": 3, "T": 5, "past": 4, "H": 4, "head_dim": 6},
        {"B": 1, "T": 33, "past": 0, "H": 3, "head_dim": 16},
    ),
    axes=AXES,
    oracle=torch_attention,
    rtol=3e-4,
    atol=1e-4,
    hints=(
        "Nothing changes but the number of leading axes: matrix products and the softmax work on the last two, for "
        "all batches and heads at once.",
        "k.T would turn all axes round: k.swapaxes(-1, -2) exchanges the last two. The mask is (B, T, S) and needs an "
        "axis for the heads: visible[:, None].",
        "scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])              # (B, H, T, S)\n"
        "visible = np.arange(k.shape[2]) <= positions[:, None, :, None]       # (B, 1, T, S)\n"
        "return softmax_over_keys(np.where(visible, scores, -np.inf)) @ v",
    ),
    why=(
        "A matrix product works on the last two axes and repeats for all before them, so the lines of one head serve "
        "every head of every sequence. The mask has an axis of 1 for the heads, which share positions, and a full one "
        "for the batch, whose sequences do not. The scale remains that of one head, since its dot product runs over "
        "head_dim numbers however many heads there are."
    ),
)
def attend_many_heads(q, k, v, positions):
    """Causal attention of every head of every sequence; each head as in `attend_one_head`.

    A model can run on this function (`minillama learn` shows how): it then gets each key and value
    head as often as there are query heads for it.

    Parameters
    ----------
    q : float32 ndarray of shape (B, H, T, head_dim)
    k, v : float32 ndarray of shape (B, H, S, head_dim)
    positions : integer ndarray of shape (B, T)
        All below S; each sequence has its own. They rise, and there may be gaps.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim)
    """
    scores = q @ k.swapaxes(-1, -2) / np.float32(np.sqrt(q.shape[-1]))  # (B, H, T, S)
    visible = np.arange(k.shape[2]) <= positions[:, None, :, None]  # (B, 1, T, S)
    return softmax_over_keys(np.where(visible, scores, np.float32(-np.inf))) @ v


@attend_many_heads.mistake(
    "Your scores are divided by sqrt(dim), the width of all heads together.",
    "A dot product runs over one head: the scale is sqrt(head_dim), q.shape[-1].",
)
def scores_are_divided_by_sqrt_of_the_width(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions, k.shape[2]), scale=math.sqrt(q.shape[1] * q.shape[3]))


@attend_many_heads.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "Without the scale the softmax is far too sharp: most heads would look at a single token.",
)
def scores_are_not_divided(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions, k.shape[2]), scale=1)


@attend_many_heads.mistake(
    "Your function uses the first sequence's positions for the whole batch.",
    "Every sequence of a batch has its own positions: the mask is (B, 1, T, S), not (T, S).",
)
def uses_the_first_positions_for_all(q, k, v, positions):
    return attend(q, k, v, visible_keys(positions[0], k.shape[2]))


@attend_many_heads.mistake(
    "Your mask counts the queries from 0.",
    "With a cache the queries continue a sequence: compare the keys with `positions`.",
)
def mask_counts_queries_from_0(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(from_zero(positions), k.shape[2]))


@attend_many_heads.mistake(
    "Your queries see one token of the future: the mask is off by one.",
    "A query at position m sees keys 0 ... m: <= m, not <= m + 1.",
)
def queries_see_one_token_of_future(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions + 1, k.shape[2]))


@attend_many_heads.mistake(
    "Your queries do not see themselves.",
    "A query at position m sees keys 0 ... m, with m: <=, not <.",
)
def queries_do_not_see_themselves(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions - 1, k.shape[2]))


@attend_many_heads.mistake(
    "Your function has no mask: every query sees all keys.",
    "Scores of keys after positions[b, t] must be -inf before the softmax.",
)
def has_no_mask(q, k, v, positions):
    return attend(q, k, v, True)


@attend_many_heads.mistake(
    "Your function masks after the softmax: the remaining weights do not sum to 1.",
    "Hidden keys have already taken their share. Set scores to -inf before the softmax.",
)
def masks_after_softmax(q, k, v, positions):
    return mask_after(q, k, v, seen_by_heads(positions, k.shape[2]))


@attend_many_heads.mistake(
    "Your softmax runs over the heads.",
    "Axis 1 is the head. Every head has its own softmax, over its keys: axis -1.",
)
def softmax_runs_over_heads(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions, k.shape[2]), axis=1)


@attend_many_heads.mistake(
    "Your softmax runs over the queries.",
    "The scores are (B, H, T, S): the weights of one query sum to 1 along the last axis, not the one before.",
)
def softmax_runs_over_queries(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(positions, k.shape[2]), axis=-2)


@attend_many_heads.mistake(
    "All your queries see what the last one sees.",
    "Each query has a limit of its own, positions[b, t], not the largest of all.",
)
def all_queries_see_what_last_one_sees(q, k, v, positions):
    return attend(
        q, k, v, seen_by_heads(np.broadcast_to(positions.max(axis=1, keepdims=True), positions.shape), k.shape[2])
    )


@attend_many_heads.mistake(
    "Your weights multiply the keys, not the values.",
    "Keys decide where a query looks; what it takes from there are the values.",
)
def weights_multiply_keys(q, k, v, positions):
    return attend(q, k, k, seen_by_heads(positions, k.shape[2]))


@attend_many_heads.mistake(
    "All your heads look at the keys of head 0.",
    "In this chapter every query head has a key head of its own: k[:, h], not k[:, 0].",
)
def all_heads_look_at_the_keys_of_head_0(q, k, v, positions):
    return attend(q, k[:, :1], v, seen_by_heads(positions, k.shape[2]))


@attend_many_heads.mistake(
    "Your mask takes the last query for the last key.",
    "That holds only while the cache is exactly full. There may be room after the last token, and gaps: compare the "
    "keys with `positions`.",
)
def mask_takes_last_query_for_last_key(q, k, v, positions):
    return attend(q, k, v, end_aligned(q.shape[2], k.shape[2]))


@attend_many_heads.mistake(
    "Your mask lets the positions run on by one from the first of each sequence.",
    "There may be gaps: compare the keys with every query's own position, positions[b, t].",
)
def positions_run_on(q, k, v, positions):
    return attend(q, k, v, seen_by_heads(without_gaps(positions), k.shape[2]))


@attend_many_heads.mistake(
    "Your function takes the exponential of scores as they are, and large ones overflow.",
    "float32 ends at exp(88), and far below every exponential is 0: 0 / 0. Subtract the row's largest score first.",
)
def many_heads_overflowing(q, k, v, positions):
    return unshifted(q, k, v, seen_by_heads(positions, k.shape[2]))
