"""A batch in parts."""

from __future__ import annotations

import numpy as np

from ...exercises.exercise import exercise
from .inputs import Arrays, normal_array


def make_parts(rng: np.random.Generator, M: int, rows: int, columns: int) -> Arrays:
    """Counts that differ; a part without any target, whose loss and gradient are 0."""
    counts = rng.integers(1, 40, M)
    losses, gradients = rng.uniform(1, 5, M).astype(np.float32), normal_array(rng, M, rows, columns)
    if M > 2:
        counts[1], losses[1], gradients[1] = 0, 0, 0
    return losses, gradients, counts


def accumulate(losses, gradients, counts):
    weights = (counts / counts.sum()).astype(losses.dtype)
    return losses @ weights, np.tensordot(weights, gradients, 1)


@exercise(
    title="A batch in parts",
    task="Loss and gradient of a whole batch from those of its parts, each a mean over the targets that count in it.",
    difficulty=2,
    minutes=15,
    reference=accumulate,
    make=make_parts,
    shapes=(
        {"M": 2, "rows": 1, "columns": 2},
        {"M": 1, "rows": 2, "columns": 1},
        {"M": 3, "rows": 2, "columns": 3},
        {"M": 5, "rows": 4, "columns": 3},
    ),
    axes=("row", "column"),
    outputs=("loss", "gradient"),
    hints=(
        "The loss of the batch is the mean over all of its targets. What has a part's mean to be multiplied with to "
        "become its sum?",
        "sum over parts of count * mean, divided by the sum of counts. The same for the gradient.",
        "weights = counts / counts.sum()\nloss = np.sum(weights * losses)      # and the gradients likewise",
    ),
    why=(
        "The mean over all targets is the sum of the parts' sums over the sum of their counts, so a part's mean is "
        "weighted by its count. In a mean of means a target of a short part would have more say than one of a long "
        "part. Gradients are linear in the loss and take the same weights."
    ),
)
def accumulate_micro_batches(losses, gradients, counts):
    """Loss and gradient of a whole batch from those of the parts that fit into memory.

    The loss of the batch is the mean over all targets that count; part m holds counts[m] of them.

    Parameters
    ----------
    losses : ndarray of shape (M,)
        The mean over the targets of each part.
    gradients : ndarray of shape (M, rows, columns)
        Of these means.
    counts : integer ndarray of shape (M,)
        They differ, because padding and prompts do not count; one may be 0, with loss and gradient 0.

    Returns
    -------
    loss : float
    gradient : ndarray of shape (rows, columns)
    """
    weights = counts / counts.sum()
    return np.sum(weights * losses), np.sum(weights[:, None, None] * gradients, axis=0)


@accumulate_micro_batches.mistake(
    "Your function takes the mean of the parts' means.",
    "A part with few targets then counts as much as one with many. Weigh each with its count.",
)
def takes_mean_of_parts_means(losses, gradients, counts):
    return (losses.mean(), gradients.mean(axis=0))


@accumulate_micro_batches.mistake(
    "Your function adds the parts' means.",
    "That is the gradient of a loss M times too large: the step no longer is that of the whole batch.",
)
def adds_parts_means(losses, gradients, counts):
    return (losses.sum(), gradients.sum(axis=0))


@accumulate_micro_batches.mistake(
    "Your function adds the parts weighted by their counts, and does not divide.",
    "Sums of losses have to be divided by all targets of the batch.",
)
def adds_parts_weighted_by_their_counts(losses, gradients, counts):
    return (losses @ counts.astype(losses.dtype), np.tensordot(counts.astype(losses.dtype), gradients, 1))


@accumulate_micro_batches.mistake(
    "Your loss is right, but your gradient is the mean of the parts' gradients.",
    "A gradient is linear in its loss: it needs the same weights.",
)
def gradient_is_the_mean(losses, gradients, counts):
    return (accumulate(losses, gradients, counts)[0], gradients.mean(axis=0))


@accumulate_micro_batches.mistake(
    "Your function takes the mean over those parts that have targets.",
    "A part without targets weighs nothing, true. The others still weigh as much as they have targets.",
)
def takes_the_mean_over_parts_with_targets(losses, gradients, counts):
    return (losses[counts > 0].mean(), gradients[counts > 0].mean(axis=0))


@accumulate_micro_batches.mistake(
    "Your function returns the last part's loss and gradient.",
    "Gradients of parts are added (+=); an assignment keeps the last.",
)
def returns_last_part_loss_and_gradient(losses, gradients, counts):
    return (losses[-1], gradients[-1])
