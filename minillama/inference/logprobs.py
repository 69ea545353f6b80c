"""Log-probabilities of given tokens, from rows of logits.

    log p(id) = (x[id] - m) / τ - log(sum over j of exp((x[j] - m) / τ)),    m = max over j of x[j]

A row is read twice, for m and for the sum, in float64 from the numbers as they are stored: no copy of the
logits is made. What sampling.py draws from has the same maxima and sums, so that a token's log-probability
when it was drawn and when it is given have the same bits. `log_softmax`
there is the reference.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..compute.forking import one_at_a_time
from ..compute.jit import helper, threaded
from ..compute.simd_doubles import (
    N_DOUBLES,
    add_doubles,
    exp_below,
    larger_doubles,
    largest_of_doubles,
    load_doubles,
    sum_of_doubles,
)
from .arguments import number

Logits = NDArray[Any]  # of floats

# Elements whose maximum and mass are known separately: where a token is looked for in a block at a time.
BLOCK = 64
# From this many logits on, rows are shared among threads.
FROM_SIZE = 1 << 16
# A temperature below this gives what this one gives: 0 to the most probable, -inf to every other.
_SMALLEST_TEMPERATURE = 1e-300


def inverse_of(temperature: float) -> float:
    """What differences of logits are multiplied by; finite for every temperature above 0."""
    return 1 / max(temperature, _SMALLEST_TEMPERATURE)


def blocks_of(n: int) -> int:
    """Blocks that n elements take, the last of which may be shorter."""
    return -(-n // BLOCK)


def as_rows(logits: Logits) -> Logits:
    """Logits in a form that the kernels read: contiguous, float32 or float64."""
    kind = np.float32 if logits.dtype in (np.float16, np.float32) else np.float64
    return np.ascontiguousarray(logits, kind)


@helper(exact=True)
def largest_in_blocks(row, n, tops):
    """The largest of row[:n], and that of each block in `tops`; where there is NaN, any number."""
    largest = -np.inf
    for block in range(tops.size):
        at, top = block * BLOCK, -np.inf
        if at + BLOCK <= n:
            best = load_doubles(row, at)
            for i in range(at + N_DOUBLES, at + BLOCK, N_DOUBLES):
                best = larger_doubles(best, load_doubles(row, i))
            top = largest_of_doubles(best)
        else:
            for i in range(at, n):
                top = max(top, np.float64(row[i]))
        tops[block] = top
        largest = max(largest, top)
    return largest


@helper(exact=True)
def _mass_of_block(row, at, largest, factor):
    mass = exp_below(load_doubles(row, at), largest, factor)
    for i in range(at + N_DOUBLES, at + BLOCK, N_DOUBLES):
        mass = add_doubles(mass, exp_below(load_doubles(row, i), largest, factor))
    return sum_of_doubles(mass)


@helper(exact=True)
def mass_in_blocks(row, n, largest, factor, masses, end):
    """The sum of exp((row[:n] - largest) * factor), and that of each block in `masses`.

    `end` (BLOCK,) of the row's type is for the last block, when that is shorter. NaN if one is NaN, or if
    `largest` is not finite.
    """
    total = 0.0
    for block in range(masses.size):
        at = block * BLOCK
        if at + BLOCK <= n:
            masses[block] = _mass_of_block(row, at, largest, factor)
        else:
            for i in range(BLOCK):
                end[i] = row[at + i] if at + i < n else -np.inf
            masses[block] = _mass_of_block(end, 0, largest, factor)
        total += masses[block]
    return total


@threaded(from_size=FROM_SIZE, borrows=False, exact=True)
def _look_up(first, last, logits, ids, factor, logprobs):
    n = logits.shape[1]
    scratch, end = np.empty((n + BLOCK - 1) // BLOCK), np.empty(BLOCK, logits.dtype)
    for t in range(first, last):
        row = logits[t]
        largest = largest_in_blocks(row, n, scratch)
        total = mass_in_blocks(row, n, largest, factor, scratch, end)
        logprobs[t] = (np.float64(row[ids[t]]) - largest) * factor - np.log(total)


def logprobs_of(logits: Logits, ids: ArrayLike, temperature: float = 1.0) -> NDArray[np.float64]:
    """log p of one token in each row of logits, compiled and without a copy of them.

    Parameters
    ----------
    logits : ndarray of shape (..., vocab_size)
    ids : array of int of shape (...)
    temperature : float
        Above 0: the logits are divided by it. With 1 it is the model's own log-probability.

    Returns
    -------
    ndarray of float64 of shape (...)

    Raises
    ------
    ValueError
        When the shapes differ, an id is outside the vocabulary or the temperature is not above 0.
    """
    temperature = checked_temperature(temperature)
    chosen, vocab_size = np.asarray(ids, np.int64), logits.shape[-1]
    if chosen.shape != logits.shape[:-1]:
        raise ValueError(f"one id for each row: logits {logits.shape} need ids {logits.shape[:-1]}, got {chosen.shape}")
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < vocab_size:
        raise ValueError(f"ids must be in [0, {vocab_size}), got {chosen.min()} to {chosen.max()}")
    logprobs = np.empty(chosen.shape, np.float64)
    rows = as_rows(logits).reshape(-1, vocab_size)
    with one_at_a_time():
        _look_up(len(rows), rows, chosen.reshape(-1), inverse_of(temperature), logprobs.reshape(-1), size=rows.size)
    return logprobs


def checked_temperature(temperature: float) -> float:
    """A temperature that log-probabilities can be had at: above 0, where the distribution is not a single token."""
    return number("temperature", temperature, "above 0 (1 is the model itself)", lambda t: 0 < t < np.inf)
