"""The tokens that every filter keeps, found in a row of logits without sorting it; compiled.

Tokens that a filter can keep are gathered as *candidates*: those of at least a logit that is known to be low enough.
Where a filter's border lies among them is found like the median in quickselect: they are divided at one of their
values, and only the side with the border in it is divided again. The filters are those of sampling.py, which has
the reference.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.jit import helper
from ..compute.simd_doubles import (
    N_DOUBLES,
    bits_of_large,
    exp_below,
    largest_of_doubles,
    load_doubles,
    store_doubles,
)
from .logprobs import BLOCK

# So few candidates are sorted; more are divided first.
_FEW = 64
# A bound that decides what is looked at, not what is kept, leaves this room for rounding.
_ROOM = 1e-9
# A nucleus is looked for first among tokens of this share of what it leaves out.
_FIRST_SHARE = 1 / 64


class Filters(NamedTuple):
    """What of `Sampling` the kernels need, in the form they need; `factor` is 1 / temperature, 0 for greedy."""

    factor: float
    top_k: int
    top_p: float
    min_p: float
    strict: bool


@helper(exact=True)
def are_off(filters):
    """Whether every token is kept."""
    return filters.top_k == 0 and filters.top_p == 1 and filters.min_p == 0


class Candidates(NamedTuple):
    """Tokens in the order of their ids, with their logits and exp((logit - largest) / τ); and room to divide them."""

    ids: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    shares: np.ndarray


@helper(exact=True)
def _bits_at(row, n, at, least):
    """Which of the next eight logits are at least `least`: bit i for row[at + i]."""
    if at + N_DOUBLES <= n:
        return bits_of_large(load_doubles(row, at), least)
    bits = 0
    for i in range(at, n):
        if row[i] >= least:
            bits |= 1 << (i - at)
    return bits


@helper(exact=True)
def _gather(row, n, tops, least, found):
    """The tokens of row[:n] whose logit is at least `least`; their number. Each block's largest is in `tops`."""
    count = 0
    for block in range(tops.size):
        if tops[block] >= least:
            for at in range(block * BLOCK, min((block + 1) * BLOCK, n), N_DOUBLES):
                i, bits = at, _bits_at(row, n, at, least)
                while bits:
                    if bits & 1:
                        found.ids[count], found.logits[count] = i, row[i]
                        count += 1
                    i, bits = i + 1, bits >> 1
    return count


@helper(exact=True)
def weigh(found, count, largest, factor):
    """The weights of the candidates."""
    for i in range(count, -(-count // N_DOUBLES) * N_DOUBLES):
        found.logits[i] = -np.inf
    for i in range(0, count, N_DOUBLES):
        store_doubles(found.weights, i, exp_below(load_doubles(found.logits, i), largest, factor))


@helper(exact=True)
def _swap(numbers, i, j):
    numbers[i], numbers[j] = numbers[j], numbers[i]


@helper(exact=True)
def _divide(values, shares, first, last, pivot):
    """Put what is above `pivot` first, then what equals it, then what is below; where the second and third begin."""
    i, above, below = first, first, last
    while i < below:
        if values[i] > pivot:
            _swap(values, i, above)
            _swap(shares, i, above)
            i, above = i + 1, above + 1
        elif values[i] < pivot:
            below -= 1
            _swap(values, i, below)
            _swap(shares, i, below)
        else:
            i += 1
    return above, below


@helper(exact=True)
def _sort(values, shares, first, last):
    """Falling values, by insertion."""
    for i in range(first + 1, last):
        j = i
        while j > first and values[j - 1] < values[j]:
            _swap(values, j - 1, j)
            _swap(shares, j - 1, j)
            j -= 1


@helper(exact=True)
def add_up(shares, first, last, mass):
    for i in range(first, last):
        mass += shares[i]
    return mass


@helper(exact=True)
def _is_inside(mass_before, limit, strict):
    return mass_before < limit if strict else mass_before <= limit


@helper(exact=True)
def _border(values, shares, n, limit, strict):
    """Where the shares of the largest values add up to `limit`: the last value inside, and how often it is.

    A value is inside while the shares before it are less than the limit (or equal to it, if not `strict`), and the
    first always is. Changes the order of both arrays. Among few values the shares are added in falling order of
    the values, as the reference does; beyond that, in another order first, which can differ in the last bit.
    """
    first, last, mass, is_sorted = 0, n, 0.0, False
    while last - first > _FEW and not is_sorted:
        middle = (first + last) // 2
        a, b, c = values[first], values[middle], values[last - 1]
        above, below = _divide(values, shares, first, last, max(min(a, b), min(max(a, b), c)))
        mass_above = add_up(shares, first, above, mass)
        mass_equal = add_up(shares, above, below, mass_above)
        if above > 0 and not _is_inside(mass_above, limit, strict):
            last = above
        elif below < last and _is_inside(mass_equal, limit, strict):
            first, mass = below, mass_equal
        else:
            first, last, mass, is_sorted = above, below, mass_above, True
    if not is_sorted:
        _sort(values, shares, first, last)
    end = first
    while end < last and (end == 0 or _is_inside(mass, limit, strict)):
        mass += shares[end]
        end += 1
    least, equal = values[end - 1], 0
    for i in range(first, end):
        equal += values[i] == least
    return least, equal


@helper(exact=True)
def _keep(found, count, least, equal):
    """Drop the candidates below `least`, and those equal to it but for the first `equal`; how many are left."""
    kept = 0
    for i in range(count):
        logit = found.logits[i]
        if logit > least or (logit == least and equal > 0):
            equal -= logit == least
            found.ids[kept], found.logits[kept], found.weights[kept] = found.ids[i], logit, found.weights[i]
            kept += 1
    return kept


@helper(exact=True)
def _kth_largest(numbers, n, k, found):
    for i in range(n):
        found.values[i], found.shares[i] = numbers[i], 1.0
    return _border(found.values, found.shares, n, np.float64(k), True)[0]


@helper(exact=True)
def _keep_top_k(row, n, tops, k, found):
    """The candidates that are the k largest, and those equal to the last of them; their number.

    k parts of the row have a largest one that is not below the k-th of these: less is not needed. The parts are the
    blocks, or the vectors where the blocks are too few.
    """
    n_vectors = n // N_DOUBLES
    if k <= tops.size:
        least = _kth_largest(tops, tops.size, k, found)
    elif k <= n_vectors:
        for i in range(n_vectors):
            found.logits[i] = largest_of_doubles(load_doubles(row, i * N_DOUBLES))
        least = _kth_largest(found.logits, n_vectors, k, found)
    else:
        least = -np.inf
    count = _gather(row, n, tops, least, found)
    return _keep(found, count, _kth_largest(found.logits, count, k, found), count)


@helper(exact=True)
def _gather_top_p(row, n, largest, total, tops, filters, found):
    """The candidates for the nucleus, which all have weights; their number.

    If tokens of at least a certain weight make up more than p, the nucleus is among them: large weights are tried
    first. After the first, only tokens of at least (1 - p) / (n - 1) can be in it: fewer than n tokens, all smaller,
    would not make up the tail.
    """
    tail, share = (1 - filters.top_p) * total, 8 * _FIRST_SHARE
    while True:
        share = max(share / 8, 1 / max(n - 1, 1))
        least = min(tail * share, 1.0)
        count = _gather(row, n, tops, _logit_of(least, largest, filters.factor), found)
        weigh(found, count, largest, filters.factor)
        if share * (n - 1) <= 1 or add_up(found.weights, 0, count, 0.0) > filters.top_p * total * (1 + _ROOM):
            return count


@helper(exact=True)
def _keep_top_p(found, count, total, top_p, strict):
    """The candidates in the nucleus; their number. `total` is the weight of all that p is a share of."""
    for i in range(count):
        found.values[i], found.shares[i] = found.logits[i], found.weights[i] / total
    least, equal = _border(found.values, found.shares, count, top_p, strict)
    return _keep(found, count, least, equal)


@helper(exact=True)
def _keep_min_p(found, count, min_p):
    """The candidates of at least `min_p` times the largest weight, which is 1; their number."""
    kept = 0
    for i in range(count):
        if found.weights[i] >= min_p:
            found.ids[kept], found.logits[kept], found.weights[kept] = found.ids[i], found.logits[i], found.weights[i]
            kept += 1
    return kept


@helper(exact=True)
def _logit_of(weight, largest, factor):
    """A logit that no token of at least this weight is below, however the weight was rounded."""
    distance = (np.log(weight) - _ROOM) / factor if weight > 0 else -np.inf
    return largest + distance - _ROOM * (abs(largest) - distance)


@helper(exact=True)
def apply_filters(row, n, largest, total, tops, filters, found):
    """The candidates that every filter keeps, with their weights; their number.

    `total` is the weight of the whole row, which top-p alone needs.
    """
    factor, top_k, top_p, min_p, strict = filters
    if top_k > 0:
        count = _keep_top_k(row, n, tops, top_k, found)
        weigh(found, count, largest, factor)
    elif top_p < 1:
        count = _gather_top_p(row, n, largest, total, tops, filters, found)
    else:
        count = _gather(row, n, tops, _logit_of(min_p, largest, factor), found)
        weigh(found, count, largest, factor)
    if top_p < 1:
        count = _keep_top_p(found, count, add_up(found.weights, 0, count, 0.0) if top_k > 0 else total, top_p, strict)
    return _keep_min_p(found, count, min_p) if min_p > 0 else count
