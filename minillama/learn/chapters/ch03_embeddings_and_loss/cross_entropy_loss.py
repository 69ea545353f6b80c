"""Cross-entropy."""

from __future__ import annotations

import math

import numpy as np

from ...exercises.exercise import exercise
from .inputs import make_loss
from .log_sum_exp import log_sum_exp


def target_logprobs(logits, targets, counted):
    """log p of each target; 0 where there is no target."""
    safe = np.where(counted, targets, 0)
    chosen = np.take_along_axis(logits, safe[..., None], axis=-1)[..., 0]
    top = logits.max(axis=-1)  # taken from both, so that nothing of the small difference is lost
    return np.where(counted, (chosen - top) - log_sum_exp(logits - top[..., None]), 0)


def plain_cross_entropy_loss(logits, targets, ignore_id):
    """The mean of -log p(target) over the targets that count."""
    counted = targets != ignore_id
    return -target_logprobs(logits, targets, counted).sum() / counted.sum()


def torch_loss(logits, targets, ignore_id):
    import torch

    flat = torch.tensor(logits, dtype=torch.float64).reshape(-1, logits.shape[-1])
    return torch.nn.functional.cross_entropy(flat, torch.tensor(targets).reshape(-1), ignore_index=ignore_id).numpy()


@exercise(
    title="Cross-entropy",
    task="Compute the mean of -log p(target), leaving out the targets that are ignore_id.",
    difficulty=2,
    minutes=15,
    reference=plain_cross_entropy_loss,
    make=make_loss,
    rtol=2e-4,
    shapes=(
        {"B": 1, "T": 2, "V": 2},
        {"B": 1, "T": 1, "V": 3},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 5, "V": 6},
        {"B": 2, "T": 5, "V": 7},
        {"B": 3, "T": 4, "V": 111},
        {"B": 2, "T": 9, "V": 200},
    ),
    oracle=torch_loss,
    hints=(
        "-log p(target) = log-sum-exp(logits) - logit of the target. No softmax is needed, and nothing overflows.",
        "ignore_id is not an index (-1 would silently take the last token): replace it by 0 before you look up, and "
        "leave these places out of the sum and out of the count.",
        "counted = targets != ignore_id\n"
        "chosen = np.take_along_axis(logits, np.where(counted, targets, 0)[..., None], -1)[..., 0]\n"
        "losses = log_sum_exp(logits) - chosen                  # (B, T)\n"
        "return losses[counted].mean()",
    ),
    why=(
        "As a difference of lse and one logit, the loss never forms a probability that could round to 0. An ignored "
        "target is no valid index, so 0 stands in for it during the lookup, and its term is dropped afterwards. The "
        "mean is over what counted; otherwise a batch with more padding would seem easier."
    ),
)
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
    counted = targets != ignore_id
    safe = np.where(counted, targets, 0)[..., None]
    chosen = np.take_along_axis(logits, safe, axis=-1)[..., 0]  # (B, T)
    return (log_sum_exp(logits) - chosen)[counted].mean()


@cross_entropy_loss.mistake(
    "Your function takes the exponentials of the logits as they are, so that they overflow or vanish.",
    "Work with log-sum-exp, which takes the largest logit of every row out first.",
)
def loss_naive(logits, targets, ignore_id):
    p = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    counted = targets != ignore_id
    chosen = np.take_along_axis(p, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
    return -np.log(chosen[counted]).mean()


@cross_entropy_loss.mistake(
    "Your function divides by the number of all positions, ignored ones included.",
    "A batch with much padding would seem easy: divide by the number of targets that count.",
)
def divides_by_number_of_all_positions(logits, targets, ignore_id):
    return plain_cross_entropy_loss(logits, targets, ignore_id) * (targets != ignore_id).sum() / targets.size


@cross_entropy_loss.mistake(
    "Your function counts ignored targets as a token of the vocabulary.",
    "NumPy reads the index -1 as the last token, in silence. Leave these places out.",
)
def loss_with_ignored(logits, targets, ignore_id):
    """ignore_id as an index: -1 is the last token for NumPy."""
    return plain_cross_entropy_loss(logits, targets % logits.shape[-1], -(10**6))


@cross_entropy_loss.mistake(
    "Your function adds the losses up and does not divide.",
    "The mean does not depend on how much text a batch holds.",
)
def adds_losses_up_and_does_not_divide(logits, targets, ignore_id):
    return plain_cross_entropy_loss(logits, targets, ignore_id) * (targets != ignore_id).sum()


@cross_entropy_loss.mistake(
    "Your function averages each sequence first and then the averages.",
    "Tokens of short sequences would weigh more. Every token that counts has the same weight.",
)
def loss_per_row(logits, targets, ignore_id):
    counted = targets != ignore_id
    sums = -target_logprobs(logits, targets, counted).sum(axis=1)
    rows = counted.any(axis=1)
    return (sums[rows] / counted.sum(axis=1)[rows]).mean()


@cross_entropy_loss.mistake(
    "Your function adds a small number before it takes the logarithm: -log(p + 1e-9).",
    "Very unlikely targets would all have a loss of 20.7, and a wrong gradient. log-sum-exp needs no such help.",
)
def loss_floored(logits, targets, ignore_id):
    counted = targets != ignore_id
    return -np.log(np.exp(target_logprobs(logits, targets, counted)[counted]) + 1e-9).mean()


@cross_entropy_loss.mistake(
    "Your function measures in bits: it takes the logarithm to base 2.",
    "The loss is in nats, natural logarithm; perplexity and bits per byte are computed from it.",
)
def measures_in_bits(logits, targets, ignore_id):
    return plain_cross_entropy_loss(logits, targets, ignore_id) / np.float32(math.log(2))


@cross_entropy_loss.mistake(
    "Your function returns the mean log-probability: the sign is turned.",
    "A loss falls as the model gets better, so it is minus the logarithm.",
)
def returns_mean_log_probability(logits, targets, ignore_id):
    return -plain_cross_entropy_loss(logits, targets, ignore_id)
