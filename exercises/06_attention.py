"""Chapter 06: causal attention.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check attend_one_head`. `minillama learn lab 06`
opens the chapter. Functions may call one another, and any helper of your own may
stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def softmax_over_keys(scores):
    """The weights of every query: softmax over the last axis.

    weights[j, t, s] = exp(scores[j, t, s]) / sum over r of exp(scores[j, t, r])

    Finite scores may have any size up to 1e30, where exp overflows; hidden keys have -inf (weight 0).

    Parameters
    ----------
    scores : float32 ndarray of shape (H, T, S)
        At least one score of every row is finite.

    Returns
    -------
    weights : ndarray of shape (H, T, S)
        Every row sums to 1.
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


def split_into_heads(x, n_heads):
    """Cut the vector of every token into heads: head j is numbers j * head_dim ... (j + 1) * head_dim - 1.

    Parameters
    ----------
    x : ndarray of shape (B, T, H * head_dim)
    n_heads : int
        H.

    Returns
    -------
    ndarray of shape (B, H, T, head_dim)
    """
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError


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
    raise NotImplementedError
