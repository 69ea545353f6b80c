"""A kernel for decoding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit, prange

from ....layers.attention import attention_forward, attention_forward_fast
from ...exercises.exercise import Speed, exercise
from .variants import attend, unshifted, visible_keys


def make_decode(rng: np.random.Generator, H: int, n_keys: int, spare: int, head_dim: int) -> tuple[Any, ...]:
    """One query for each head; past the n_keys keys lies what an earlier text left there.

    Of several heads the first has scores of 380 to 840, the last near -760: exp of them leaves float64.
    """
    q = rng.normal(size=(H, head_dim)).astype(np.float32)
    k, v = (rng.normal(size=(H, n_keys + spare, head_dim)).astype(np.float32) for _ in range(2))
    if H > 1:
        q[[0, -1]] = 0
        q[[0, -1], 0] = 760 * math.sqrt(head_dim) * np.array([1, -1])
        k[0, :, 0] = rng.uniform(0.5, 1.1, n_keys + spare)
        k[-1, :, 0] = rng.uniform(0.99, 1.01, n_keys + spare)
    return q, k, v, n_keys


def with_positions(attention):
    """A decode function from one for batches and positions."""

    def decode(q, k, v, n_keys):
        return attention(q[None, :, None], k[None], v[None], np.array([[n_keys - 1]]))[0][0, :, 0]

    return decode


def decode_naive(q, k, v, n_keys):
    scale = 1 / math.sqrt(q.shape[1])
    y = np.empty_like(q)
    for h in range(len(q)):
        query, keys, values = q[h].tolist(), k[h, :n_keys].tolist(), v[h, :n_keys].tolist()
        scores = [scale * sum(a * b for a, b in zip(query, key)) for key in keys]
        largest = max(scores)
        weights = [math.exp(score - largest) for score in scores]
        total, sums = sum(weights), [0.0] * len(query)
        for weight, value in zip(weights, values):
            for j in range(len(query)):
                sums[j] += weight * value[j]
        y[h] = [x / total for x in sums]
    return y


def decode_torch(q, k, v, n_keys):
    import torch

    return torch.nn.functional.scaled_dot_product_attention(q[:, None], k[:, :n_keys], v[:, :n_keys])[:, 0]


def torch_decode_oracle(q, k, v, n_keys):
    import torch

    q, k, v = (torch.tensor(a, dtype=torch.float64) for a in (q, k, v))
    return decode_torch(q, k, v, n_keys).numpy()


@exercise(
    title="A kernel for decoding",
    task="One new token: one query for each head against the first n_keys keys of the cache. Make it fast with Numba.",
    difficulty=3,
    minutes=30,
    reference=with_positions(attention_forward),
    make=make_decode,
    shapes=(
        {"H": 1, "n_keys": 3, "spare": 2, "head_dim": 4},
        {"H": 1, "n_keys": 1, "spare": 0, "head_dim": 2},
        {"H": 2, "n_keys": 5, "spare": 0, "head_dim": 3},
        {"H": 3, "n_keys": 7, "spare": 9, "head_dim": 8},
        {"H": 5, "n_keys": 70, "spare": 3, "head_dim": 64},
    ),
    axes=("head", "dim"),
    oracle=torch_decode_oracle,
    rtol=3e-4,
    atol=1e-4,
    speed=Speed(
        dims={"H": 16, "n_keys": 4096, "spare": 0, "head_dim": 64},
        flops=lambda H, n_keys, spare, head_dim: 4.0 * H * n_keys * head_dim,
        bytes=lambda H, n_keys, spare, head_dim: 8.0 * H * (n_keys + 1) * head_dim,
        fast=with_positions(attention_forward_fast),
        naive=decode_naive,
        torch=decode_torch,
    ),
    hints=(
        "Get it right in NumPy first: k[:, :n_keys] is all there is to the mask, for one query at the end sees every "
        "key that has been written.",
        "Keys and values are read once each, and that is what takes the time: for each head, go over the keys with the "
        "online softmax, and keep the query and the running sum of head_dim numbers close by. Heads are independent: "
        "prange.",
        "@njit(parallel=True, fastmath={'reassoc', 'contract'})\n"
        "def attend_decode(q, k, v, n_keys):\n"
        "    for h in prange(q.shape[0]):\n"
        "        scores = np.empty(n_keys, np.float32)\n"
        "        # loop 1: scores and their maximum; loop 2: exp and total;\n"
        "        # loop 3: for every key, y[h, j] += weight * v[h, s, j] for all j",
    ),
    why=(
        "With one new token nothing is used twice: each key and value is read once, and the time is that of the "
        "memory. Heads do not depend on one another, so threads share them out. The loops end at n_keys and look at "
        "nothing behind it, where the rest of an older text would count like any other key."
    ),
)
@njit(parallel=True, fastmath={"reassoc", "contract", "nsz", "arcp"})
def attend_decode(q, k, v, n_keys):
    """Attention of one new token: a query for each head, against what the cache holds.

    Scores may be as large as 2000 in size, where exp overflows. Decorate it with `numba.njit` once
    it is right: its time is that of reading keys and values once.

    Parameters
    ----------
    q : float32 ndarray of shape (H, head_dim)
    k, v : float32 ndarray of shape (H, S, head_dim)
        The cache; from n_keys on it holds what an earlier text has left.
    n_keys : int
        Keys that have been written, the new token's own included.

    Returns
    -------
    y : ndarray of shape (H, head_dim)
    """
    n_heads, head_dim = q.shape
    y = np.zeros((n_heads, head_dim), np.float32)
    scale = np.float32(1 / np.sqrt(head_dim))
    for h in prange(n_heads):
        scores = np.empty(n_keys, np.float32)
        largest = np.float32(-np.inf)
        for s in range(n_keys):
            score = np.float32(0)
            for j in range(head_dim):
                score += q[h, j] * k[h, s, j]
            scores[s] = score * scale
            largest = max(largest, scores[s])
        total = np.float32(0)
        for s in range(n_keys):
            weight = np.exp(scores[s] - largest)
            total += weight
            for j in range(head_dim):
                y[h, j] += weight * v[h, s, j]
        for j in range(head_dim):
            y[h, j] /= total
    return y


def _decode(q, k, v, visible=True, **how):
    return attend(q[:, None], k, v, visible, **how)[:, 0]


@attend_decode.mistake(
    "Your function reads the whole cache, also behind the keys that have been written.",
    "The arrays have room for later tokens, and what lies there is stale: stop at n_keys.",
)
def reads_whole_cache(q, k, v, n_keys):
    return _decode(q, k, v)


_ITSELF = "The new token's key and value are already in the cache, and it sees itself: keys 0 ... n_keys - 1."


@attend_decode.mistake("Your function hides the last key, the token's own.", _ITSELF)
def hides_last_key(q, k, v, n_keys):
    return _decode(q, k, v, visible_keys(np.array([n_keys - 2]), k.shape[1]))  # NaN where it is the only one


@attend_decode.mistake("Your function leaves out the last key, the token's own.", _ITSELF)
def leaves_out_last_key(q, k, v, n_keys):
    return _decode(q, k[:, : n_keys - 1], v[:, : n_keys - 1])  # raises there: no key has a largest score


@attend_decode.mistake("Your loops end before the last key, the token's own.", _ITSELF)
def loops_end_before_last_key(q, k, v, n_keys):
    return leaves_out_last_key(q, k, v, n_keys) if n_keys > 1 else np.zeros_like(q)


@attend_decode.mistake(
    "Your function reads one key too many.",
    "There are n_keys keys, numbers 0 ... n_keys - 1.",
)
def reads_one_key_too_many(q, k, v, n_keys):
    return _decode(q, k[:, : n_keys + 1], v[:, : n_keys + 1])


@attend_decode.mistake(
    "Your scores are not divided by sqrt(head_dim).",
    "Multiply each score by 1 / sqrt(head_dim), or the query once.",
)
def decode_unscaled(q, k, v, n_keys):
    return _decode(q, k[:, :n_keys], v[:, :n_keys], scale=1)


@attend_decode.mistake(
    "Your scores are divided by sqrt(dim), the width of all heads together.",
    "A dot product runs over one head: sqrt(q.shape[1]), not sqrt(q.size).",
)
def scores_are_divided_by_sqrt_of_the_width(q, k, v, n_keys):
    return _decode(q, k[:, :n_keys], v[:, :n_keys], scale=math.sqrt(q.size))


@attend_decode.mistake(
    "Your function does not divide by the sum of the weights.",
    "y holds the sum of weight times value: divide each head by its own total.",
)
def decode_unnormalised(q, k, v, n_keys):
    scores = np.einsum("hd,hsd->hs", q, k[:, :n_keys]) / np.float32(math.sqrt(q.shape[1]))
    return np.einsum("hs,hsd->hd", np.exp(scores - scores.max(axis=1, keepdims=True)), v[:, :n_keys])


@attend_decode.mistake(
    "All your heads read the keys of head 0.",
    "Head h has its own keys, k[h], as it has its own values.",
)
def all_heads_read_keys_of_head_0(q, k, v, n_keys):
    return _decode(q, k[:1, :n_keys], v[:, :n_keys])


@attend_decode.mistake(
    "All your heads read the values of head 0.",
    "Head h has its own values, v[h], as it has its own keys.",
)
def all_heads_read_values_of_head_0(q, k, v, n_keys):
    return _decode(q, k[:, :n_keys], v[:1, :n_keys])


@attend_decode.mistake(
    "Your scores are divided by the square root of the number of heads.",
    "len(q) is the number of heads here; a head is q.shape[1] wide.",
)
def scores_are_divided_by_the_root_of_heads(q, k, v, n_keys):
    return _decode(q, k[:, :n_keys], v[:, :n_keys], scale=math.sqrt(len(q)))


@attend_decode.mistake(
    "Your function takes the exponential of scores as they are: no maximum is subtracted.",
    "exp of a score above 88 is infinite in float32, and inf / inf is NaN; far below all are 0, and so is 0 / 0. "
    "Subtract the head's largest score first.",
)
def decode_overflowing(q, k, v, n_keys):
    return unshifted(q[:, None], k[:, :n_keys], v[:, :n_keys], True)[:, 0]


@attend_decode.mistake(
    "Your total goes on from head to head.",
    "Each head has a total of its own: set it to 0 where a head begins, together with its largest score.",
)
def total_goes_on(q, k, v, n_keys):
    scores = np.einsum("hd,hsd->hs", q, k[:, :n_keys]) / np.float32(math.sqrt(q.shape[1]))
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.einsum("hs,hsd->hd", weights, v[:, :n_keys]) / np.cumsum(weights.sum(axis=1))[:, None]
