"""One pass: the online softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .variants import softmax


def make_online(rng: np.random.Generator, S: int, block: int, head_dim: int) -> tuple[Any, ...]:
    """One query; scores that rise from block to block, fall by 800, or all lie at 760 or at -760."""
    q = rng.normal(size=head_dim)
    k, v = rng.normal(size=(S, head_dim)) * 1.5, rng.normal(size=(S, head_dim))
    direction = q / (q @ q)
    k -= np.outer(k @ q, direction)  # now every score is exactly what is added here
    scores = 2 * rng.normal(size=S) + (0.0, 760.0, -760.0)[S % 3]
    scores = np.sort(scores) if S % 2 == 0 else scores
    scores[S // 2 :] -= 800 * (S % 4 == 1)  # exp(800) is too much even for float64
    k += np.outer(scores * math.sqrt(head_dim), direction)
    return *(a.astype(np.float32) for a in (q, k, v)), block


def two_passes(q, k, v, block):
    return softmax(k @ q / q.dtype.type(math.sqrt(len(q)))) @ v


def torch_online(q, k, v, block):
    import torch

    q64, k64, v64 = (torch.tensor(a, dtype=torch.float64)[None, None] for a in (q[None], k, v))
    return torch.nn.functional.scaled_dot_product_attention(q64, k64, v64)[0, 0, 0].numpy()


@exercise(
    title="One pass: the online softmax",
    task="Attention of one query, in one pass over blocks of keys: rescale the sums when the maximum rises.",
    difficulty=3,
    minutes=25,
    reference=two_passes,
    make=make_online,
    shapes=(
        {"S": 3, "block": 2, "head_dim": 2},
        {"S": 1, "block": 1, "head_dim": 1},
        {"S": 6, "block": 3, "head_dim": 4},
        {"S": 7, "block": 1, "head_dim": 3},
        {"S": 10, "block": 4, "head_dim": 8},
        {"S": 8, "block": 3, "head_dim": 5},
        {"S": 5, "block": 4, "head_dim": 6},
        {"S": 33, "block": 8, "head_dim": 64},
    ),
    axes=("dim",),
    oracle=torch_online,
    rtol=3e-4,
    atol=1e-4,
    hints=(
        "Carry three things along: the largest score so far, the sum of exp(score - largest), and the same sum with "
        "the values. When a block brings a larger score, both sums were made with the old one: by what factor are "
        "they too large?",
        "exp(score - new) = exp(score - old) * exp(old - new). So multiply both sums by exp(old - new), then add the "
        "block's. Start with largest = -inf, whose factor is exp(-inf) = 0. Divide once, at the end.",
        "for first in range(0, len(k), block):\n"
        "    scores = k[first : first + block] @ q / np.sqrt(len(q))\n"
        "    new = max(largest, scores.max())\n"
        "    correction, weights = np.exp(largest - new), np.exp(scores - new)\n"
        "    total = total * correction + weights.sum()\n"
        "    y, largest = y * correction + weights @ v[first : first + block], new",
    ),
    why=(
        "All terms are measured against the largest score so far; when a larger one turns up, a single factor brings "
        "what was summed to the new measure. Both sums are rescaled alike, so their quotient is what one softmax over "
        "all keys gives. Only one block of scores is ever in memory, which is the idea of FlashAttention."
    ),
)
def attend_online(q, k, v, block):
    """Attention of one query that sees all keys, in one pass over blocks of keys.

    No array of all scores: carry the largest score so far c, the total u, and the sum of the values
    a, and for every block

    c' = max(c, largest score of the block)
    u' = u * exp(c - c') + sum of exp(score - c')
    a' = a * exp(c - c') + sum of exp(score - c') * value

    Scores may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    q : float32 ndarray of shape (head_dim,)
    k, v : float32 ndarray of shape (S, head_dim)
        S need not be a multiple of `block`.
    block : int
        Keys of a block.

    Returns
    -------
    y : ndarray of shape (head_dim,)
        a / u.
    """
    largest, total, y = -np.inf, 0.0, np.zeros(len(q))
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.sqrt(len(q))
        new = max(largest, scores.max())
        correction, weights = np.exp(largest - new), np.exp(scores - new)  # the first correction is exp(-inf) = 0
        total = total * correction + weights.sum()
        y = y * correction + weights @ v[first : first + block]
        largest = new
    return (y / total).astype(np.float32)


def online(
    q,
    k,
    v,
    block,
    *,
    y_follows=True,
    total_follows=True,
    inverted=False,
    falls=False,
    start=-np.inf,
    divide=True,
    scale=True,
):
    """The right loop, with parts of it left out."""
    largest, total, y = np.float32(start), np.float32(0), np.zeros(len(q), np.float32)
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.float32(math.sqrt(len(q)) if scale else 1)
        new = scores.max() if falls else max(largest, scores.max())
        correction = np.exp(new - largest) if inverted and np.isfinite(largest) else np.exp(largest - new)
        weights = np.exp(scores - new)
        total = total * (correction if total_follows else 1) + weights.sum()
        y = y * (correction if y_follows else 1) + weights @ v[first : first + block]
        largest = new
    return y / total if divide else y


@attend_online.mistake(
    "Your function never rescales what it has summed.",
    "The sums of earlier blocks were made with a smaller maximum: multiply both by exp(old - new).",
)
def never_rescales_what_it_has_summed(q, k, v, block):
    return online(q, k, v, block, y_follows=False, total_follows=False)


@attend_online.mistake(
    "Your function does not rescale the sum of the values.",
    "Both were made with the old maximum, so both need the factor exp(old - new).",
)
def rescales_sum_of_weights(q, k, v, block):
    return online(q, k, v, block, y_follows=False)


@attend_online.mistake(
    "Your function does not rescale the sum of the weights.",
    "Both were made with the old maximum, so both need the factor exp(old - new).",
)
def rescales_sum_of_values(q, k, v, block):
    return online(q, k, v, block, total_follows=False)


@attend_online.mistake(
    "Your correction is turned round: exp(new - old) instead of exp(old - new).",
    "The new maximum is larger, so the old sums must shrink: the factor is at most 1.",
)
def correction_is_turned_round(q, k, v, block):
    return online(q, k, v, block, inverted=True)


@attend_online.mistake(
    "Your maximum is that of the block alone, not the largest so far.",
    "exp(old - new) is then larger than 1, and overflows where scores fall far. Take max(old, the block's largest).",
)
def maximum_falls(q, k, v, block):
    return online(q, k, v, block, falls=True)


@attend_online.mistake(
    "Your running maximum starts at 0.",
    "When all scores are far below 0, every exponential is 0 and the end is 0 / 0. Start at -inf.",
)
def running_maximum_starts_at_0(q, k, v, block):
    return online(q, k, v, block, start=0.0)


@attend_online.mistake(
    "Your function leaves out the last, incomplete block.",
    "The number of keys is rarely a multiple of the block: range(0, len(k), block), and slices end by themselves.",
)
def whole_blocks_only(q, k, v, block):
    n = len(k) // block * block
    return online(q, k[:n], v[:n], block)


@attend_online.mistake(
    "Your function takes the softmax of each block by itself and averages the results.",
    "A block with larger scores has to count for more: add up sums, and divide once at the end.",
)
def mean_of_blocks(q, k, v, block):
    return np.mean([two_passes(q, k[i : i + block], v[i : i + block], block) for i in range(0, len(k), block)], axis=0)


@attend_online.mistake(
    "Your function keeps only the last block.",
    "The sums carry over from block to block: add to what is there instead of replacing it.",
)
def last_block(q, k, v, block):
    first = (len(k) - 1) // block * block
    return two_passes(q, k[first:], v[first:], block)


@attend_online.mistake(
    "Your function does not divide by the sum of the weights.",
    "At the end y holds the sum of weight times value: a mean needs the division by the total.",
)
def does_not_divide_by_sum_of_weights(q, k, v, block):
    return online(q, k, v, block, divide=False)


@attend_online.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "The scale is the same as in two passes: q . k / sqrt(head_dim).",
)
def scores_are_not_divided(q, k, v, block):
    return online(q, k, v, block, scale=False)


@attend_online.mistake(
    "Your function takes the exponential of scores as they are: no maximum is subtracted.",
    "Scores near 100 overflow float32. Subtract the largest score so far.",
)
def no_shift(q, k, v, block):
    weights = np.exp(k @ q / np.float32(math.sqrt(len(q))))
    return weights @ v / weights.sum()


@attend_online.mistake(
    "Your function divides by the total after every block.",
    "The sum of the values is then no longer one, and the next block is added to a mean. Divide once, at the end.",
)
def divides_after_every_block(q, k, v, block):
    largest, total, y = np.float32(-np.inf), np.float32(0), np.zeros(len(q), np.float32)
    for first in range(0, len(k), block):
        scores = k[first : first + block] @ q / np.float32(math.sqrt(len(q)))
        new = max(largest, scores.max())
        correction, weights = np.exp(largest - new), np.exp(scores - new)
        total = total * correction + weights.sum()
        y = (y * correction + weights @ v[first : first + block]) / total
        largest = new
    return y
