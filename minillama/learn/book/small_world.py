"""A world of reinforcement learning that can be written down whole: one request, eight answers, two rewards.

Chapters 16 to 18 share it. A policy is eight probabilities, so what a language model can only sample is a sum
here: the expected reward, the distance from the policy at the start, what the best of N answers is, and the policy that
is best for a given price of leaving the start. `TRUE` is what people think of an answer. `LEARNED` is a reward model's
opinion, right about six answers; it has seen hardly any comparison with the other two (`MISJUDGED`) and rates them too
high, as reward models do with what is long or repeats the words of the request.
"""

from __future__ import annotations

import numpy as np

from ...compute.array_types import Float

REQUEST = "Tell me a story with Tom and a red ball."
ANSWERS = (
    "Tom had a red ball. He threw it to Ann.",
    "Tom had a ball.",
    "Ann had a dog.",
    "I do not know.",
    "Tom likes red.",
    "Tom lost his red ball. He looked under the bed, and there it was.",
    "Tom was very, very, very, very, very happy with his red ball.",
    "Red ball, red ball, red ball, red ball.",
)
START: Float = np.array([0.22, 0.24, 0.20, 0.14, 0.10, 0.06, 0.03, 0.01])  # the policy before any reward
TRUE: Float = np.array([2.0, 0.5, -1.5, -1.0, 0.0, 3.0, 0.5, -3.0])
LEARNED: Float = np.array([2.0, 0.5, -1.5, -1.0, 0.0, 3.0, 3.5, 4.5])
MISJUDGED = (6, 7)
for _numbers in (START, TRUE, LEARNED):
    _numbers.flags.writeable = False  # every chapter begins with the same numbers


def expected(policy: Float, reward: Float) -> float:
    """The mean reward of the answers that a policy gives, both of shape (A,)."""
    return float(policy @ reward)


def kl_divergence(policy: Float, reference: Float) -> float:
    """KL(policy || reference) in nats: how far the policy is from the reference, both of shape (A,).

    Answers that the policy never gives add nothing.
    """
    given = policy > 0
    return float(policy[given] @ np.log(policy[given] / reference[given]))


def best_of_n(policy: Float, reward: Float, n: int) -> Float:
    """The distribution of the answer with the highest reward among n drawn from a policy.

    The best is at most r with probability P(reward <= r)^n, so it is r with the difference to the value below. Answers
    of equal reward share it in proportion to the policy.

    Parameters
    ----------
    policy, reward : ndarray of shape (A,)
    n : int
        At least 1.

    Returns
    -------
    best : ndarray of shape (A,)
    """
    if n < 1:
        raise ValueError(f"the best of {n} answers: there must be at least one")
    best = np.zeros(len(policy))
    below = 0.0
    for value in np.unique(reward):
        tied = reward == value
        share = policy[tied].sum()
        if share > 0:
            best[tied] = ((below + share) ** n - below**n) * policy[tied] / share
        below += share
    return best


def optimum(reference: Float, reward: Float, beta: float) -> Float:
    """The policy that maximises expected reward - beta KL(policy || reference), in closed form.

    It is reference * exp(reward / beta), divided by its sum.

    Parameters
    ----------
    reference, reward : ndarray of shape (A,)
    beta : float
        The price of a nat of divergence, more than 0.

    Returns
    -------
    policy : ndarray of shape (A,)
    """
    if beta <= 0:
        raise ValueError(f"beta is {beta}: without a price there is no optimum but the best answer alone")
    with np.errstate(divide="ignore"):
        scores = np.log(reference) + reward / beta
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def policy_gradient(logits: Float, reward: Float, reference: Float, beta: float) -> Float:
    """Gradient of expected reward - beta KL(softmax(logits) || reference) with respect to the logits.

    It is p (a - p·a) with a = reward - beta log(p / reference): an answer's logit rises where its reward, less the
    price of giving it more often than the reference, is above the average.

    Parameters
    ----------
    logits, reward, reference : ndarray of shape (A,)
    beta : float

    Returns
    -------
    gradient : ndarray of shape (A,)
    """
    policy = softmax(logits)
    gain = reward - beta * np.log(policy / reference)
    return policy * (gain - policy @ gain)


def softmax(logits: Float) -> Float:
    """The policy that logits stand for, both of shape (A,)."""
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
