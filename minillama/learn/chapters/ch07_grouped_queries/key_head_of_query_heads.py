"""Which key head?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_counts(rng: np.random.Generator, K: int, group: int) -> tuple[Any, ...]:
    return K * group, K


@exercise(
    title="Which key head?",
    task="For every query head the number of the key head that it reads: neighbours share one.",
    difficulty=1,
    minutes=5,
    reference=lambda n_heads, n_kv_heads: [j // (n_heads // n_kv_heads) for j in range(n_heads)],
    make=make_counts,
    shapes=(
        {"K": 2, "group": 2},
        {"K": 1, "group": 1},
        {"K": 1, "group": 3},
        {"K": 3, "group": 1},
        {"K": 2, "group": 3},
        {"K": 3, "group": 2},
        {"K": 8, "group": 8},
    ),
    exact=True,
    hints=(
        "With 6 query heads and 2 key heads, heads 0, 1 and 2 read key head 0, heads 3, 4 and 5 read key head 1. How "
        "many query heads belong to one key head?",
        "The group has n_heads / n_kv_heads query heads. The key head of query head j is j divided by the size of the "
        "group, rounded down.",
        "return np.arange(n_heads) // (n_heads // n_kv_heads)",
    ),
    why=(
        "Dividing by the size of a group, without remainder, gives the same number to that many in a row. Neighbours "
        "share because the weights were trained so and are stored so; dealing the heads out in turn gives no error, "
        "only answers to other questions."
    ),
)
def key_head_of_query_heads(n_heads, n_kv_heads):
    """The key head that every query head reads: neighbouring query heads share one.

    Parameters
    ----------
    n_heads : int
        Query heads, a multiple of `n_kv_heads`.
    n_kv_heads : int
        Key and value heads.

    Returns
    -------
    list or integer array of n_heads numbers in 0 ... n_kv_heads - 1
    """
    return np.arange(n_heads) // (n_heads // n_kv_heads)


@key_head_of_query_heads.mistake(
    "Your function deals the key heads out in turn: j % n_kv_heads (tile, not repeat).",
    "Neighbouring query heads share a key head: 0 0 1 1, not 0 1 0 1. The weights were trained that way round.",
)
def deals_key_heads_out_in_turn(n_heads, n_kv_heads):
    return [j % n_kv_heads for j in range(n_heads)]


@key_head_of_query_heads.mistake(
    "Your function divides by the number of key heads instead of by the size of a group.",
    "A group has n_heads // n_kv_heads query heads: that is what to divide by.",
)
def divides_by_the_number_of_key_heads(n_heads, n_kv_heads):
    return [j // n_kv_heads for j in range(n_heads)]


@key_head_of_query_heads.mistake(
    "Your function gives every query head a key head of its own.",
    "That is multi-head attention. There are only n_kv_heads key heads.",
)
def gives_every_query_head_its_own_number(n_heads, n_kv_heads):
    return list(range(n_heads))


@key_head_of_query_heads.mistake(
    "Your function gives all query heads key head 0.",
    "That is multi-query attention, the limit n_kv_heads = 1.",
)
def gives_all_query_heads_key_head_0(n_heads, n_kv_heads):
    return [0] * n_heads


@key_head_of_query_heads.mistake(
    "Your function takes the place within the group for the number of the group.",
    "j % group counts 0 ... group - 1 within each group; j // group numbers the groups.",
)
def takes_place_within_group_for_number(n_heads, n_kv_heads):
    return [j % (n_heads // n_kv_heads) for j in range(n_heads)]


@key_head_of_query_heads.mistake(
    "Your function numbers the key heads from the last to the first.",
    "Query head 0 reads key head 0.",
)
def numbers_key_heads_from_last_to_first(n_heads, n_kv_heads):
    return [n_kv_heads - 1 - j // (n_heads // n_kv_heads) for j in range(n_heads)]
