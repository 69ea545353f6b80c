"""Is the sampler right?"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def make_chi(rng: np.random.Generator, V: int, n: int, impossible: int) -> tuple[Any, ...]:
    """Counts of n draws from a neighbouring distribution; one token has probability 0, and was drawn or not.

    Of many tokens the first has probability 0, too, and was not drawn; of five none has. In both a token that
    might have been drawn was not.
    """
    if V < 3 or n < 4 or impossible >= n:
        raise ValueError("three tokens and four draws at least")
    p = 0.1 + rng.random(V)
    if V == 5 and impossible:
        raise ValueError("all of five tokens are possible")
    zeros = [] if V == 5 else [V // 2] if V < 12 else [V // 2, 0]
    p[zeros] = 0
    p /= p.sum()
    q = p * (0.7 + 0.6 * rng.random(V))
    counts = rng.multinomial(n - impossible, q / q.sum())
    counts[zeros[:1]] = impossible
    if V == 5 or V >= 40:
        counts[2] += counts[1]
        counts[1] = 0
    return counts, p


def chi(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return float(np.sum((counts[possible] - expected) ** 2 / expected))


def torch_chi(counts, probabilities):
    import torch

    observed, expected = torch.tensor(counts).double(), torch.tensor(counts.sum() * probabilities)
    terms = (observed - expected) ** 2 / expected
    return float(torch.where((observed == 0) & (expected == 0), 0.0, terms).sum())


@exercise(
    title="Is the sampler right?",
    task="How far counts of draws are from what a distribution promises: the sum of (O - E)**2 / E over its tokens.",
    difficulty=1,
    minutes=10,
    reference=chi,
    make=make_chi,
    oracle=torch_chi,
    shapes=(
        {"V": 3, "n": 10, "impossible": 0},
        {"V": 3, "n": 8, "impossible": 1},
        {"V": 5, "n": 40, "impossible": 0},
        {"V": 12, "n": 300, "impossible": 2},
        {"V": 40, "n": 1000, "impossible": 0},
    ),
    hints=(
        "O is what was counted. E is what the distribution promises for as many draws: n * p with n = counts.sum().",
        "A token with p = 0 has E = 0. Never drawn, it has nothing to say; drawn even once, the sampler is wrong "
        "beyond any doubt: the statistic is inf.",
        "possible = probabilities > 0\n"
        "if counts[~possible].any():\n"
        "    return np.inf\n"
        "expected = counts.sum() * probabilities[possible]\n"
        "return np.sum((counts[possible] - expected) ** 2 / expected)",
    ),
    why=(
        "A count scatters around what is expected by about the square root of that, so each quotient is about 1 for a "
        "right sampler, whether the token is common or rare. An impossible token has no scatter: never drawn it says "
        "nothing, drawn once it refutes the sampler. The sum can therefore be held against the number of possible "
        "tokens minus 1."
    ),
)
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
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return np.sum((counts[possible] - expected) ** 2 / expected)


def chi_with(counts, probabilities, term, combine=np.sum):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    observed, expected = counts[possible], counts.sum() * probabilities[possible]
    return float(combine(term(observed, expected)))


@chi_squared.mistake(
    "Your function leaves tokens of probability 0 out even when they were drawn.",
    "A draw of an impossible token is the clearest sign of a wrong sampler: return inf.",
)
def chi_possible_only(counts, probabilities):
    possible = probabilities > 0
    expected = counts.sum() * probabilities[possible]
    return float(np.sum((counts[possible] - expected) ** 2 / expected))


@chi_squared.mistake(
    "Your function divides 0 by 0 for a token that is impossible and was never drawn.",
    "Leave it out: it says nothing about the sampler.",
)
def chi_nan(counts, probabilities):
    expected = counts.sum() * probabilities
    return float(np.sum((counts - expected) ** 2 / expected))


@chi_squared.mistake(
    "Your function compares frequencies, and forgets how many draws there were.",
    "The same difference means more after more draws: use counts and n * p. Yours is n times too small.",
)
def chi_frequencies(counts, probabilities):
    return chi(counts, probabilities) / counts.sum()


@chi_squared.mistake(
    "Your function divides by what was counted, not by what was expected.",
    "The variance of a count is about its expectation E; O may be 0.",
)
def divides_by_what_was_counted(counts, probabilities):
    return chi_with(counts, probabilities, lambda o, e: (o - e) ** 2 / o)


@chi_squared.mistake(
    "Your function divides by what was counted, not by what was expected, and leaves out what was not drawn.",
    "The variance of a count is about its expectation E, which is not 0 for a token that might have been drawn.",
)
def divides_by_what_was_counted_if_any(counts, probabilities):
    return chi_with(counts, probabilities, lambda o, e: np.where(o > 0, (o - e) ** 2 / np.maximum(o, 1), 0))


@chi_squared.mistake(
    "Your function does not square the differences.",
    "Without the square those above and those below cancel out, or count too little.",
)
def does_not_square_differences(counts, probabilities):
    return chi_with(counts, probabilities, lambda o, e: np.abs(o - e) / e)


@chi_squared.mistake(
    "Your function takes the mean over the tokens.",
    "The statistic is a sum: its expectation is the number of possible tokens minus 1.",
)
def takes_mean_over_tokens(counts, probabilities):
    return chi_with(counts, probabilities, lambda o, e: (o - e) ** 2 / e, np.mean)


@chi_squared.mistake(
    "Your function returns the square root.",
    "Chi-squared is the sum itself.",
)
def returns_square_root(counts, probabilities):
    return chi_with(counts, probabilities, lambda o, e: (o - e) ** 2 / e, lambda terms: np.sqrt(terms.sum()))


@chi_squared.mistake(
    "Your function leaves out every token that was not drawn.",
    "One that should have been drawn and was not speaks against the sampler: only those of probability 0 go.",
)
def leaves_out_what_was_not_drawn(counts, probabilities):
    drawn = counts > 0
    if (probabilities[drawn] == 0).any():
        return np.inf
    expected = counts.sum() * probabilities[drawn]
    return float(np.sum((counts[drawn] - expected) ** 2 / expected))
