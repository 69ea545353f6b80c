"""What the best of N answers is worth, from K >= N that were sampled (LLaMA 2, figures 7 and 8).

With r_1 <= … <= r_K the rewards of K answers to a prompt, over all subsets of n of them,

    E max_n    = sum_i  r_i C(i-1, n-1) / C(K, n)                          r_i is the largest of its subset
    E median_n = sum_i  r_i C(i-1, m) C(K-i, m) / C(K, n)                  n = 2m + 1: m on either side
               = sum_i  r_i [C(i-1, m-1) C(K-i, m) + C(i-1, m) C(K-i, m-1)] / 2 C(K, n)        n = 2m

Each is unbiased for n fresh answers (a U-statistic), and uses all K at every n; the mean of the running maximum would
depend on the order of the answers. The truth of the chosen answer, a second number beside the reward, has the weights
of the maximum: what the reward gains and the truth does not is over-optimisation. Of equal rewards the answer that
was sampled first is chosen.

Intervals are bootstrapped over prompts: they say what other prompts would change.
"""

from __future__ import annotations

from math import comb
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ...evaluation.statistics.intervals import bootstrap

Array = npt.NDArray[np.float64]


class BestOfN(NamedTuple):
    """Means over prompts for n = 1 … K, (K,) each; intervals are (K, 2).

    Attributes
    ----------
    n : ndarray of int64
    maximum, median : ndarray
        Expected reward of the best of n answers, and of the one in the middle.
    maximum_interval, median_interval : ndarray
    truth : ndarray or None
        Expected truth of the answer with the highest reward.
    truth_interval : ndarray or None
    """

    n: npt.NDArray[np.int64]
    maximum: Array
    median: Array
    maximum_interval: Array
    median_interval: Array
    truth: Array | None = None
    truth_interval: Array | None = None


def maximum_weights(k: int) -> Array:
    """Row n - 1: the share of subsets of n in which the i-th smallest of k is the largest; (k, k)."""
    return np.array([[comb(i, n - 1) / comb(k, n) for i in range(k)] for n in range(1, k + 1)])


def median_weights(k: int) -> Array:
    """Row n - 1: the share of subsets of n of which the i-th smallest of k is the median, or half of it; (k, k)."""
    weights = np.empty((k, k))
    for n in range(1, k + 1):
        m, below, of = n // 2, (n - 1) // 2, comb(k, n)
        for i in range(k):
            ways = comb(i, below) * comb(k - 1 - i, m) + comb(i, m) * comb(k - 1 - i, below)
            weights[n - 1, i] = ways / (2 * of)
    return weights


def best_of_n(
    rewards: npt.ArrayLike,
    truth: npt.ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> BestOfN:
    """Expected maximum and median reward of n = 1 … K answers.

    Parameters
    ----------
    rewards : array_like of shape (P, K)
        Of K answers to each of P prompts, in the order in which they were sampled.
    truth : array_like of shape (P, K), optional
        What the answers are really worth, for instance to the story world's judge.
    level, resamples, seed
        Of the bootstrap; the same seed gives the same intervals.

    Returns
    -------
    BestOfN

    Raises
    ------
    ValueError
        When shapes do not fit, or a number is not finite.
    """
    scores = _matrix("rewards", rewards)
    k = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")[:, ::-1]  # ascending; of equals the first one last
    ascending = np.take_along_axis(scores, order, 1)
    largest, middle = ascending @ maximum_weights(k).T, ascending @ median_weights(k).T  # (P, K)

    def interval(values: Array) -> Array:
        return np.array([bootstrap(one, level=level, resamples=resamples, seed=seed) for one in values.T])

    found = BestOfN(np.arange(1, k + 1), largest.mean(0), middle.mean(0), interval(largest), interval(middle))
    if truth is None:
        return found
    worth = _matrix("truth", truth)
    if worth.shape != scores.shape:
        raise ValueError(f"every answer has a truth: rewards are {scores.shape}, truth is {worth.shape}")
    chosen = np.take_along_axis(worth, order, 1) @ maximum_weights(k).T
    return found._replace(truth=chosen.mean(0), truth_interval=interval(chosen))


def _matrix(name: str, values: npt.ArrayLike) -> Array:
    array = np.asarray(values, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name} must be (prompts, answers), the same number of answers to each; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite: {np.count_nonzero(~np.isfinite(array))} are not")
    return array
