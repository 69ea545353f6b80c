"""Perplexity of a corpus."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def plain_perplexity(logprobs, counted):
    """exp of the mean of -log p over all tokens that count."""
    return np.exp(mean_loss(logprobs, counted))


def mean_loss(logprobs, counted, axis=None):
    return -np.where(counted, logprobs, 0).sum(axis=axis) / counted.sum(axis=axis)


def make_logprobs(rng: np.random.Generator, B: int, T: int) -> tuple[Any, ...]:
    """log p of the tokens of several texts of different lengths; places without token hold numbers, or NaN."""
    logprobs = -rng.exponential(1.5 + 2 * rng.random((B, 1)), (B, T))
    lengths = rng.integers(1, T + 1, B)
    lengths[0] = T
    counted = np.arange(T) < lengths[:, None]
    if T > 2:
        counted[0, 0] = False
    if T > 8:
        logprobs[~counted & (rng.random((B, T)) < 0.5)] = np.nan
    return logprobs.astype(np.float32), counted


@exercise(
    title="Perplexity of a corpus",
    task="Compute the perplexity of several texts together from the log-probabilities of their tokens.",
    difficulty=1,
    minutes=8,
    reference=plain_perplexity,
    make=make_logprobs,
    shapes=(
        {"B": 1, "T": 2},
        {"B": 1, "T": 1},
        {"B": 2, "T": 3},
        {"B": 3, "T": 8},
        {"B": 5, "T": 40},
    ),
    hints=(
        "Perplexity is exp of the mean loss. The mean goes over all tokens of all texts.",
        "An index of truth values keeps what counts. A product with it would not do: 0 * NaN is NaN.",
        "return np.exp(-logprobs[counted].mean())",
    ),
    why=(
        "Mean first and exponential last makes it the geometric mean of 1/p, in which every token weighs the same. In "
        "the other order one token of tiny probability would outweigh all others. There is one mean over all texts, "
        "because a mean of their means would favour the tokens of short ones."
    ),
)
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
    return np.exp(-logprobs[counted].mean())


@perplexity.mistake(
    "Your function returns the mean loss.",
    "Perplexity is its exponential: among how many equally likely tokens the model might be choosing.",
)
def returns_mean_loss(logprobs, counted):
    return mean_loss(logprobs, counted)


@perplexity.mistake(
    "Your function takes 2 to the power of a loss in nats.",
    "The base belongs to the logarithm: log-probabilities are natural, so use exp.",
)
def takes_2_to_power_of_loss(logprobs, counted):
    return 2 ** mean_loss(logprobs, counted)


@perplexity.mistake(
    "Your function averages the probabilities and turns the average over.",
    "Perplexity is the geometric mean of 1/p: average the logarithms, then take exp.",
)
def averages_probabilities_and_turns_average(logprobs, counted):
    return 1 / np.exp(logprobs[counted]).mean()


@perplexity.mistake(
    "Your function averages the perplexities of the tokens, 1/p.",
    "One unlikely token would decide everything. The mean of the logarithms comes first, exp last.",
)
def averages_perplexities_of_tokens(logprobs, counted):
    return np.exp(-logprobs[counted]).mean()


@perplexity.mistake(
    "Your function averages the perplexities of the texts.",
    "Perplexities do not average: add up the losses of all tokens, divide once, take exp once.",
)
def averages_perplexities_of_texts(logprobs, counted):
    return np.exp(mean_loss(logprobs, counted, axis=1)).mean()


@perplexity.mistake(
    "Your function averages each text first, so that tokens of short texts weigh more.",
    "Divide the sum over all texts by the number of all tokens.",
)
def averages_each_text_first(logprobs, counted):
    return np.exp(mean_loss(logprobs, counted, axis=1).mean())


@perplexity.mistake(
    "Your function counts the places that are no tokens as well.",
    "Where counted is False the number in logprobs means nothing: leave it out of sum and count.",
)
def counts_places_without_a_target(logprobs, counted):
    return np.exp(-logprobs.mean())


@perplexity.mistake(
    "Your function divides by the number of all places, not by that of the tokens.",
    "Padding would make the text look easier: divide by counted.sum().",
)
def divides_by_number_of_all_places(logprobs, counted):
    return np.exp(mean_loss(logprobs, counted) * counted.mean())


@perplexity.mistake(
    "Your function multiplies by `counted` to leave numbers out.",
    "Where there is no token may stand NaN, and 0 * NaN is NaN: choose the numbers that count, logprobs[counted].",
)
def multiplies_by_counted(logprobs, counted):
    return np.exp(-(logprobs * counted).sum() / counted.sum())
