"""Who may look at whom."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import with_gap
from .variants import end_aligned, visible_keys, without_gaps


def make_positions(rng: np.random.Generator, T: int, past: int, spare: int) -> tuple[Any, ...]:
    """T positions after `past` cached ones, with a gap if the cache has room for `spare` more."""
    return past + with_gap(T, past * spare), past + T + spare


@exercise(
    title="Who may look at whom",
    task="True where the query at positions[t] may look at key s: at itself and at everything before.",
    difficulty=1,
    minutes=5,
    same_as=visible_keys,
    make=make_positions,
    shapes=(
        {"T": 2, "past": 0, "spare": 0},
        {"T": 1, "past": 0, "spare": 0},
        {"T": 1, "past": 3, "spare": 2},
        {"T": 3, "past": 2, "spare": 0},
        {"T": 4, "past": 3, "spare": 5},
        {"T": 7, "past": 0, "spare": 1},
    ),
    axes=("query", "key"),
    exact=True,
    hints=(
        "A key's position is its index s, for it lies in the cache at its position. A query's position is "
        "positions[t], which need not be t. Which comparison of the two says that the key is not later?",
        "np.arange(n_keys) has an entry for every key. Give `positions` an axis for the keys, and compare: the result "
        "has shape (T, n_keys).",
        "return np.arange(n_keys)[None, :] <= positions[:, None]",
    ),
    why=(
        "A row of key numbers compared with a column of positions is the whole table. Because the positions are those "
        "that are given, the same line is right for a prompt, for a chunk behind a cache and for a single new token. "
        "It hides unused room of the cache as well, which lies behind every query."
    ),
)
def causal_mask(positions, n_keys):
    """Who may look at whom: a query at position m sees keys 0 ... m.

    Parameters
    ----------
    positions : integer ndarray of shape (T,)
        The position of every query; a chunk after cached tokens does not begin at 0. They rise, and
        there may be gaps.
    n_keys : int
        Keys in the cache, S. The last ones may lie after every query.

    Returns
    -------
    visible : bool ndarray of shape (T, S)
        True where query t may look at key s.
    """
    return np.arange(n_keys)[None, :] <= positions[:, None]


@causal_mask.mistake(
    "Your mask hides a token from itself.",
    "A query at position m sees keys 0 ... m, its own included: <=, not <. Otherwise position 0 sees nothing.",
)
def mask_hides_token_from_itself(positions, n_keys):
    return np.arange(n_keys) < positions[:, None]


@causal_mask.mistake(
    "Your mask lets every query see the next token: it is off by one.",
    "During training the next token is the answer. A query at position m sees keys 0 ... m.",
)
def mask_lets_every_query_see_next_token(positions, n_keys):
    return np.arange(n_keys) <= positions[:, None] + 1


@causal_mask.mistake(
    "Your mask counts the queries from 0 in every call.",
    "With a cache the first query of a chunk is not at position 0: use positions[t], not t.",
)
def counts_queries_from_0(positions, n_keys):
    return np.tri(len(positions), n_keys, dtype=bool)


@causal_mask.mistake(
    "Your mask takes the last query for the last key.",
    "That holds only while the cache is exactly full. There may be room after the last token: compare with "
    "`positions`.",
)
def mask_takes_last_query_for_last_key(positions, n_keys):
    return end_aligned(len(positions), n_keys)


@causal_mask.mistake(
    "Your mask is the wrong way round: True where a key is hidden.",
    "Here True means that the query may look, as in PyTorch's scaled_dot_product_attention. Its masked_fill and its "
    "nn.MultiheadAttention want True for the hidden keys.",
)
def mask_is_wrong_way_round(positions, n_keys):
    return np.arange(n_keys) > positions[:, None]


@causal_mask.mistake(
    "Your mask shows the future and hides the past.",
    "The comparison is turned: a key is visible when its position is less than or equal to the query's.",
)
def mask_shows_future_and_hides_past(positions, n_keys):
    return np.arange(n_keys) >= positions[:, None]


@causal_mask.mistake(
    "Your mask holds numbers to be added, 0 and -inf, instead of True and False.",
    "That form is used too, but here a bool is asked for: True where the query may look.",
)
def mask_holds_numbers_to_be_added(positions, n_keys):
    return np.where(visible_keys(positions, n_keys), 0, -np.inf)


@causal_mask.mistake(
    "All your queries see what the last one sees.",
    "Each query has a limit of its own, positions[t], not the largest of all.",
)
def all_queries_see_what_last_one_sees(positions, n_keys):
    return visible_keys(np.full_like(positions, positions.max()), n_keys)


@causal_mask.mistake(
    "Your mask hides nothing.",
    "Even a single query needs it when the cache is longer than what has been written to it.",
)
def mask_hides_nothing(positions, n_keys):
    return np.ones((len(positions), n_keys), bool)


@causal_mask.mistake(
    "Your mask lets the positions run on by one from the first.",
    "There may be gaps: compare the keys with every query's own position, not with positions[0] + t.",
)
def positions_run_on(positions, n_keys):
    return visible_keys(without_gaps(positions), n_keys)
