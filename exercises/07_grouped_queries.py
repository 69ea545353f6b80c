"""Chapter 07: MHA, MQA and GQA.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check grouped_attention`. `minillama learn lab 07`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


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
    raise NotImplementedError


def repeat_kv_heads(k, group):
    """Copy every head `group` times, copies side by side: heads a, b become a, a, b, b for a group of 2.

    Parameters
    ----------
    k : ndarray of shape (B, K, S, head_dim)
    group : int

    Returns
    -------
    ndarray of shape (B, K * group, S, head_dim)
    """
    raise NotImplementedError


def grouped_attention(q, k, v, positions):
    """Causal attention where K key and value heads serve H query heads.

    Each query head does what `attend_one_head` does (06), with the keys and values of the head that
    `key_head_of_query_heads` names: of 6 query heads and 2 key heads, 0, 1 and 2 read key head 0.

    A model can run on this function. For speed: loop over the key heads, and let the whole group
    use a key while it is at hand.

    Parameters
    ----------
    q : float32 ndarray of shape (B, H, T, head_dim)
    k, v : float32 ndarray of shape (B, K, S, head_dim)
        The cache may be longer than what has been written to it.
    positions : integer ndarray of shape (B, T)
        All below S; each sequence has its own. They rise, and there may be gaps.

    Returns
    -------
    y : ndarray of shape (B, H, T, head_dim)
    """
    raise NotImplementedError


def pool_heads_into_groups(w, n_heads, n_kv_heads):
    """Key (or value) weights for n_kv_heads heads: the mean of the heads of each group.

    Parameters
    ----------
    w : ndarray of shape (n_heads * head_dim, D)
        Of an MHA model; rows j * head_dim ... (j + 1) * head_dim - 1 are head j.
    n_heads, n_kv_heads : int
        A group is n_heads / n_kv_heads neighbouring heads.

    Returns
    -------
    ndarray of shape (n_kv_heads * head_dim, D)
    """
    raise NotImplementedError


def expand_groups_to_heads(w, n_heads, n_kv_heads):
    """Key (or value) weights for n_heads heads with which MHA computes what GQA computed.

    Parameters
    ----------
    w : ndarray of shape (n_kv_heads * head_dim, D)
        Of a GQA model.
    n_heads, n_kv_heads : int

    Returns
    -------
    ndarray of shape (n_heads * head_dim, D)
    """
    raise NotImplementedError


def kv_cache_bytes_grouped(n_layers, dim, n_heads, n_kv_heads, n_tokens, bytes_per_number):
    """Bytes of the keys and values of one sequence, in all layers.

    Parameters
    ----------
    n_layers, dim, n_heads, n_kv_heads : int
        The shape of the model; a head is dim / n_heads wide.
    n_tokens : int
        Positions that are kept.
    bytes_per_number : int
        2 for float16, 4 for float32.

    Returns
    -------
    int
    """
    raise NotImplementedError
