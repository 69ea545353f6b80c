"""Chapter 10: the KV cache.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check chunk_mask`. `minillama learn lab 10`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def chunk_mask(positions, n_keys):
    """Which keys of the cache every query of a chunk may see.

    mask[b, t, s] = True where s <= positions[b, t]: a token sees itself and all before it.

    Parameters
    ----------
    positions : integer ndarray of shape (B, T)
        Where each query stands in its own sequence. A chunk need not start at 0, and may have gaps.
    n_keys : int
        Length S of the arrays of the cache; some of it may be unused.

    Returns
    -------
    mask : bool ndarray of shape (B, T, S)
    """
    raise NotImplementedError


def append_with_growth(buffer, length, new):
    """Store new positions after the `length` that are filled, in a larger array if they do not fit.

    While there is room, write into `buffer` itself. Otherwise move to an array of capacity
    max(length + t, 2 * capacity).

    Parameters
    ----------
    buffer : ndarray of shape (K, capacity, head_dim)
    length : int
        Positions 0 ... length - 1 are filled.
    new : ndarray of shape (K, t, head_dim)

    Returns
    -------
    buffer : ndarray of shape (K, capacity or more, head_dim)
        The same array while there was room.
    length : int
        How many positions are filled now.
    """
    raise NotImplementedError


def attention_decode_step(q, k_new, v_new, k_cache, v_cache, lengths):
    """Attention of one new token for each sequence of a batch, with a cache.

    Stores the new key and value of sequence b at position n = lengths[b], and returns

    y[b, j] = sum over s = 0 ... n of softmax_s(q[b, j] . k[b, g, s] / sqrt(head_dim)) v[b, g, s]

    with g = j // (H / K), the key head of query head j. Chapter 07 explains the groups. Scores may be as
    large as 2000 in size, where exp overflows.

    Parameters
    ----------
    q : ndarray of shape (B, H, head_dim)
        Rotated (chapter 05), as are all keys.
    k_new, v_new : ndarray of shape (B, K, head_dim)
    k_cache, v_cache : ndarray of shape (B, K, S, head_dim)
        Written to. What lies past `lengths` is stale and must not count.
    lengths : integer ndarray of shape (B,)
        Tokens that each sequence holds, 0 among them; always below S. The caller counts them up.

    Returns
    -------
    y : ndarray of shape (B, H, head_dim), same dtype as `q`
    """
    raise NotImplementedError


def plan_rewind(cached, wanted):
    """How many positions of the cache can stay, and which tokens must run, to get from one text to another.

    At least one token must run, the last of `wanted`, for its logits.

    Parameters
    ----------
    cached : list of int
        The tokens that the cache holds.
    wanted : list of int
        The tokens that it should hold; at least one.

    Returns
    -------
    keep : int
        Length of the common beginning, but less than len(wanted).
    feed : list of int
        What follows it in `wanted`.
    """
    raise NotImplementedError


def ring_slots(n_seen, window):
    """Which position every slot of a ring holds after `n_seen` tokens.

    Position p is written to slot p % window, over whatever was there.

    Parameters
    ----------
    n_seen : int
        Positions 0 ... n_seen - 1 have been written, in this order.
    window : int
        Number of slots.

    Returns
    -------
    slots : integer ndarray of shape (window,)
        -1 for a slot that nothing was written to.
    """
    raise NotImplementedError


def sliding_window_attention(q, k, v, positions, window):
    """Causal attention in which a query at position m sees only the keys m - window + 1 ... m.

    y[b, j, t] = sum over visible s of softmax_s(q[b, j, t] . k[b, g, s] / sqrt(head_dim)) v[b, g, s]

    with g = j // (H / K), the key head of query head j. Scores may be as large as 2000 in size, where exp
    overflows.

    Parameters
    ----------
    q : ndarray of shape (B, H, T, head_dim)
    k, v : ndarray of shape (B, K, S, head_dim)
    positions : integer ndarray of shape (B, T)
        Where each query stands in its own sequence: below S, rising, and there may be gaps.
    window : int
        1 or more; the query's own key counts.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim), same dtype as `q`
    """
    raise NotImplementedError
