"""The draw of a token from each row of logits, compiled; sampling.py says what is computed, and has the reference.

Sums and decisions are float64 in an order that depends on nothing but the row, so that a row gives the same token
and log-probabilities alone, in any batch and on any number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.jit import helper, threaded
from .candidates import Candidates, add_up, apply_filters, are_off, weigh
from .logprobs import BLOCK, FROM_SIZE, largest_in_blocks, mass_in_blocks


class Drawn(NamedTuple):
    """A token for each row, (B,) each.

    Attributes
    ----------
    ids : ndarray of int64
    logprobs : ndarray of float64
        log p under the model itself: over all logits, without temperature, penalty and filters.
    sampled_logprobs : ndarray of float64
        log p under the distribution that the token was drawn from: at the temperature, with the repetition penalty,
        over the tokens that the filters kept, which add up to 1; 0 when greedy, where nothing is drawn.
    """

    ids: np.ndarray[tuple[int], np.dtype[np.int64]]
    logprobs: np.ndarray[tuple[int], np.dtype[np.float64]]
    sampled_logprobs: np.ndarray[tuple[int], np.dtype[np.float64]]


@helper(exact=True)
def _block_at(masses, mass):
    """The block in which the weights add up to more than `mass`, and the weight before it."""
    block, before, total = 0, 0.0, 0.0
    for i in range(masses.size):
        if masses[i] > 0:  # rounding: `mass` may be all there is, and then it is the last that weighs anything
            block, before = i, total
            total += masses[i]
            if total > mass:
                break
    return block, before


@helper(exact=True)
def _place_at(weights, count, before, mass):
    """The place at which the weights, after `before`, add up to more than `mass`."""
    place = 0
    for i in range(count):
        if weights[i] > 0:
            place = i
            before += weights[i]
            if before > mass:
                break
    return place


@helper(exact=True)
def _draw(row, n, largest, total, tops, masses, filters, u, found):
    """The token of row[:n] at which the weights add up to the share `u` of their sum; and its log-probability."""
    before = 0.0
    if are_off(filters):
        block, before = _block_at(masses, u * total)
        count = min(BLOCK, n - block * BLOCK)
        for i in range(count):
            found.ids[i], found.logits[i] = block * BLOCK + i, row[block * BLOCK + i]
        weigh(found, count, largest, filters.factor)
    else:
        count = apply_filters(row, n, largest, total, tops, filters, found)
        total = add_up(found.weights, 0, count, 0.0)
    place = _place_at(found.weights, count, before, u * total)
    return found.ids[place], (found.logits[place] - largest) * filters.factor - np.log(total)


@helper(exact=True)
def _first_equal(row, n, tops, largest):
    """The first place of the largest."""
    for block in range(tops.size):
        if tops[block] == largest:
            for i in range(block * BLOCK, min((block + 1) * BLOCK, n)):
                if row[i] == largest:
                    return i
    return 0


@threaded(from_size=FROM_SIZE, borrows=False, exact=True)
def sample_each(first, last, logits, choices, n, is_same, filters, draws, drawn):
    """Draw a token for rows first ... last - 1 of `choices[:, :n]`; id -1 where logits are not finite.

    Parameters
    ----------
    logits : ndarray of shape (B, V), float32 or float64
        For the log-probabilities of the model itself.
    choices : ndarray of shape (B, at least n), float32 or float64
        What the token is drawn from.
    is_same : bool
        `choices` is `logits`, and n is V.
    filters : Filters
        With top_k below n.
    draws : ndarray of float64 of shape (B,)
        Random numbers in [0, 1).
    drawn : Drawn
        The result.
    """
    n_vocab = logits.shape[1]
    tops, masses = np.empty((n_vocab + BLOCK - 1) // BLOCK), np.empty((n_vocab + BLOCK - 1) // BLOCK)
    of_choices = (n + BLOCK - 1) // BLOCK
    end, end_of_choices = np.empty(BLOCK, logits.dtype), np.empty(BLOCK, choices.dtype)
    room = n + BLOCK
    found = Candidates(np.empty(room, np.int64), np.empty(room), np.empty(room), np.empty(room), np.empty(room))
    needs_total = are_off(filters) or (filters.top_k == 0 and filters.top_p < 1)
    for b in range(first, last):
        largest = largest_in_blocks(logits[b], n_vocab, tops)
        total = mass_in_blocks(logits[b], n_vocab, largest, 1.0, masses, end)
        log_total = np.log(total)
        best = largest
        if not is_same:
            best = largest_in_blocks(choices[b], n, tops[:of_choices])
        if not (np.isfinite(total) and np.isfinite(best)):
            drawn.ids[b] = -1
            continue
        if filters.factor == 0:
            drawn.ids[b] = _first_equal(choices[b], n, tops[:of_choices], best)
            drawn.sampled_logprobs[b] = 0.0
        else:
            if needs_total and not (is_same and filters.factor == 1):
                total = mass_in_blocks(choices[b], n, best, filters.factor, masses[:of_choices], end_of_choices)
            drawn.ids[b], drawn.sampled_logprobs[b] = _draw(
                choices[b], n, best, total, tops[:of_choices], masses[:of_choices], filters, draws[b], found
            )
        drawn.logprobs[b] = np.float64(logits[b, drawn.ids[b]]) - largest - log_total
