"""How much better than expected each token was: generalised advantage estimation (Schulman et al., arXiv:1506.02438).

    delta_t = r_t + gamma V_{t+1} - V_t              V after the last token is 0
    A_t     = delta_t + gamma lambda A_{t+1}         from the last token backwards
    G_t     = A_t + V_t                              what the value model learns

V_t is the value of the text before token t. With gamma = lambda = 1 G_t is the sum of the rewards from t on, whatever V
says; with a smaller lambda V takes the place of what is far away.

KL between the policy and its reference is estimated from the sampled tokens, with d = log pi_0 - log pi of a token:

    k1 = -d                   unbiased, of either sign
    k3 = e^d - 1 - d          unbiased too, never negative, its gradient by log pi is 1 - e^d

Gamma, lambda and estimator are not in LLaMA 2's paper (unconfirmed): 1, 0.95 and k1 are TRL's defaults.
Rows are answers (B, A), padded after their ends; `mask` says which tokens are there.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ...compute.array_types import Float

Mask = NDArray[np.bool_]


def k1(logprobs: Float, reference: Float) -> Float:
    """log pi - log pi_0 of every token."""
    return logprobs - reference


def k3(logprobs: Float, reference: Float) -> Float:
    """e^d - 1 - d of every token, d = log pi_0 - log pi."""
    d = reference - logprobs
    return np.expm1(d) - d


def k3_slope(logprobs: Float, reference: Float) -> Float:
    """The derivative of k3 by log pi."""
    return -np.expm1(reference - logprobs)


def gae(rewards: Float, values: Float, gamma: float = 1.0, lam: float = 0.95) -> tuple[Float, Float]:
    """Advantages and returns.

    Parameters
    ----------
    rewards, values : ndarray of shape (B, A)
        0 after the end of an answer.

    Returns
    -------
    advantages, returns : ndarray of shape (B, A)
        Both 0 after the end.
    """
    advantages = np.zeros_like(rewards)
    ahead = next_value = np.zeros(len(rewards), rewards.dtype)
    for t in reversed(range(rewards.shape[1])):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        advantages[:, t] = ahead = delta + gamma * lam * ahead
        next_value = values[:, t]
    return advantages, advantages + values


def whitened(values: Float, mask: Mask, *, shift_mean: bool = True) -> Float:
    """Variance 1 over what is there, and mean 0 or, with `shift_mean=False`, the mean that was.

    As TRL does it: the variance is unbiased, and 1e-8 is added to it; so equal numbers become 0. What is not there
    becomes 0. A single number has no variance and is 0 as well, or itself where the mean stays.
    """
    there = values[mask]
    mean = there.mean()
    variance = there.var(ddof=1) if len(there) > 1 else there.dtype.type(0)
    found = (values - mean) / np.sqrt(variance + 1e-8)
    return np.where(mask, found if shift_mean else found + mean, 0).astype(values.dtype)


def explained_variance(values: Float, returns: Float, mask: Mask) -> float:
    """The share of the variance of the returns that the values know: 1 all, 0 no more than their mean does."""
    there = np.asarray(returns[mask], np.float64)
    variance = there.var()
    left = (there - values[mask]).var()
    return float(1 - left / variance) if variance > 0 else 0.0
