"""Chapter 03: embeddings, logits, cross-entropy, perplexity.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check cross_entropy_loss`. `minillama learn lab 03`
opens the chapter. Any helper functions of your own may stand beside these,
and the functions may call one another.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def gather_embeddings(tokens, weight):
    """Return the row of the embedding table for every token.

    x[b, t] = weight[tokens[b, t]]

    Parameters
    ----------
    tokens : integer ndarray of shape (B, T)
        Ids from 0 to V - 1.
    weight : ndarray of shape (V, D)

    Returns
    -------
    x : ndarray of shape (B, T, D), same dtype as `weight`
    """
    raise NotImplementedError


def log_sum_exp(logits):
    """Compute log(sum(exp(z))) over the last axis, without overflow or underflow.

    lse(z) = log sum_v exp(z_v)

    Parameters
    ----------
    logits : ndarray of shape (B, T, V)
        Finite numbers of up to 1e30 in size, such as 900 or -900; single ones may be -inf, never a
        whole row.

    Returns
    -------
    ndarray of shape (B, T), same dtype as `logits`
    """
    raise NotImplementedError


def shift_targets(tokens, pad_id, ignore_id):
    """What every position has to predict: the token after it.

    targets[b, t] = tokens[b, t + 1],   but ignore_id where that is pad_id, and at t = T - 1

    Parameters
    ----------
    tokens : integer ndarray of shape (B, T)
        Shorter sequences are filled up with `pad_id`, on either side. Files of tokens are unsigned
        (uint16), and -100 is not: the result needs a dtype of its own.
    pad_id : int
    ignore_id : int
        Marks a position that has no target.

    Returns
    -------
    targets : int64 ndarray of shape (B, T)
    """
    raise NotImplementedError


def cross_entropy_loss(logits, targets, ignore_id):
    """The mean of -log p(target) over all targets that count.

    loss = 1/n  sum over (b, t) with targets[b, t] != ignore_id of  lse(z[b, t]) - z[b, t, targets[b, t]]

    n is the number of terms of that sum, at least 1.

    Parameters
    ----------
    logits : ndarray z of shape (B, T, V)
        Finite numbers, as large as in `log_sum_exp`.
    targets : integer ndarray of shape (B, T)
        Ids from 0 to V - 1, or `ignore_id`.
    ignore_id : int
        Negative: -1 or -100, for example.

    Returns
    -------
    loss : float
    """
    raise NotImplementedError


def cross_entropy_backward(logits, targets, ignore_id):
    """The gradient of `cross_entropy_loss` with respect to the logits.

    dlogits[b, t, v] is how fast that loss, the mean over all targets that count, grows when
    logits[b, t, v] alone is moved.

    Parameters
    ----------
    logits, targets, ignore_id
        As in `cross_entropy_loss`.

    Returns
    -------
    dlogits : ndarray of shape (B, T, V), same dtype as `logits`
    """
    raise NotImplementedError


def perplexity(logprobs, counted):
    """The perplexity of several texts together.

    exp( -1/n  sum over the tokens that count of  log p )

    Parameters
    ----------
    logprobs : ndarray of shape (B, T)
        log p of every token, natural logarithm. Where `counted` is False the numbers mean nothing,
        and may be NaN.
    counted : bool ndarray of shape (B, T)
        True for n tokens, at least one in each row.

    Returns
    -------
    float
    """
    raise NotImplementedError


def bits_per_byte(logprobs, text):
    """The bits that a model needs for one byte of a text.

    sum(-log p) / log 2 / (number of bytes of the text in UTF-8)

    Parameters
    ----------
    logprobs : ndarray of shape (T,)
        log p of every token of the text, natural logarithm.
    text : str

    Returns
    -------
    float
    """
    raise NotImplementedError
