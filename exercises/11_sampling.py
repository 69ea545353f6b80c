"""Chapter 11: sampling.

Write the functions below in any order. Save, and look at the terminal where

    minillama learn watch

runs; or check one by hand with `minillama learn check top_p_filter`. `minillama learn lab 11`
opens the chapter. Any helper functions of your own may stand beside these.

What a function is given stays as it is, unless its text says that it is written to.
"""

import numpy as np


def temperature_probabilities(logits, temperature):
    """Probabilities at a temperature.

    p[i] = exp(logits[i] / temperature) / sum over j of exp(logits[j] / temperature)

    Temperature 0 is the limit: 1 for the largest logit (the lowest id among equals), 0 for all others.

    Parameters
    ----------
    logits : float32 ndarray of shape (V,)
        Of up to 1000 in size, and more: exp(100) does not fit into a float32.
    temperature : float
        0 or more.

    Returns
    -------
    probabilities : ndarray of shape (V,)
    """
    raise NotImplementedError


def top_k_filter(logits, k):
    """Keep the k largest logits, and those equal to the k-th largest; -inf for the others.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    k : int
        0 keeps everything; so does any k of at least V.

    Returns
    -------
    logits : ndarray of shape (V,)
        In the order of the ids, -inf where a token is dropped.
    """
    raise NotImplementedError


def top_p_filter(logits, p):
    """Keep the most probable tokens until their mass passes p; -inf for the others.

    With tokens in falling order of probability (the lower id first among equals), a token is
    kept while the mass of all before it is at most p. The token that crosses p is kept. p = 1
    keeps every token, although a sum of many rounded numbers may be a little more than 1.

    Parameters
    ----------
    logits : ndarray of shape (V,)
        Of up to 1000 in size, and more.
    p : float
        Between 0 and 1.

    Returns
    -------
    logits : ndarray of shape (V,)
        In the order of the ids, -inf where a token is dropped.
    """
    raise NotImplementedError


def min_p_filter(logits, min_p):
    """Keep tokens with p[i] >= min_p * max(p); -inf for the others.

    Parameters
    ----------
    logits : ndarray of shape (V,)
        Of up to 1000 in size, and more.
    min_p : float
        Between 0 (keeps everything) and 1.

    Returns
    -------
    logits : ndarray of shape (V,)
    """
    raise NotImplementedError


def penalize_repeated_tokens(logits, ids, penalty):
    """Make tokens that have occurred less probable.

    For every id in `ids`, once: s becomes s * penalty where s < 0, s / penalty elsewhere.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    ids : list of int
        The text so far; ids may repeat, and there may be none.
    penalty : float
        1 or more.

    Returns
    -------
    logits : ndarray of shape (V,)
    """
    raise NotImplementedError


def filtered_probabilities(logits, temperature, top_k, top_p):
    """The distribution that a token is drawn from.

    In this order: divide by the temperature, top-k, top-p (of what top-k has left), softmax.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    temperature : float
        Above 0.
    top_k : int
    top_p : float

    Returns
    -------
    probabilities : ndarray of shape (V,)
        They sum to 1; 0 for dropped tokens.
    """
    raise NotImplementedError


def draw_token(probabilities, rng):
    """Draw a token: i with probability probabilities[i].

    Parameters
    ----------
    probabilities : float64 ndarray of shape (V,)
        They sum to 1, but for rounding: ten times 0.1 is less. Some are 0.
    rng : numpy.random.Generator
        The only source of random numbers: the same seed gives the same tokens.

    Returns
    -------
    token : int
        Below V, and of a probability above 0.
    """
    raise NotImplementedError


def chi_squared(counts, probabilities):
    """How far counts of draws are from a distribution.

    sum over i of (counts[i] - E[i]) ** 2 / E[i],     E[i] = n * probabilities[i],  n = sum of counts

    A token of probability 0 that was never drawn is left out; if one was drawn, the result is inf.

    Parameters
    ----------
    counts : integer ndarray of shape (V,)
    probabilities : float64 ndarray of shape (V,)

    Returns
    -------
    float
    """
    raise NotImplementedError
