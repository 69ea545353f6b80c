"""A loss that does not depend on the tokenizer."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...exercises.exercise import exercise


def plain_bits_per_byte_of_targets(losses: Any, targets: Any, n_bytes: int) -> float:
    """Sum of the losses (nats) of the targets that count, in bits, for each byte of text."""
    kept = np.asarray(losses, np.float64)[np.asarray(targets) != -100]
    return float(kept.sum() / math.log(2) / n_bytes)


def make_losses(rng: np.random.Generator, rows: int, T: int) -> tuple[Any, ...]:
    """Losses of rows of different lengths; padding has losses, too, which mean nothing."""
    losses = rng.uniform(0.2, 6.0, (rows, T)).astype(np.float32)
    targets = rng.integers(0, 500, (rows, T))
    for row, length in enumerate(rng.integers(1, T + 1, rows)):
        targets[row, max(1, int(length) - (row == 0)) :] = -100
    return losses, targets, int(rng.integers(3, 5) * (targets != -100).sum() + 1)


@exercise(
    title="A loss that does not depend on the tokenizer",
    task="Turn the losses of tokens, in nats, into bits for each byte of text.",
    difficulty=1,
    minutes=8,
    reference=plain_bits_per_byte_of_targets,
    make=make_losses,
    shapes=({"rows": 1, "T": 2}, {"rows": 2, "T": 5}, {"rows": 3, "T": 4}, {"rows": 5, "T": 9}, {"rows": 8, "T": 33}),
    hints=(
        "The cost of a text is the sum of the losses of its tokens, however it was cut in tokens.",
        "One nat is 1 / ln 2 = 1.4427 bits. Targets of -100 are padding and do not count.",
        "return losses[targets != -100].sum() / np.log(2) / n_bytes",
    ),
    why=(
        "A padded place has a number among the losses but stands for no text, so it is left out before anything is "
        "added. The sum does not depend on how the text was cut into tokens, as a mean would. In float64 even "
        "millions of losses add up without losing digits."
    ),
)
def bits_per_byte_of_targets(losses, targets, n_bytes):
    """Turn the losses of tokens into bits for each byte of text.

    Parameters
    ----------
    losses : float32 array (rows, T)
        Cross-entropy of each target, in nats.
    targets : int array (rows, T)
        -100 where there is no target.
    n_bytes : int
        Bytes of the text that all targets together stand for.

    Returns
    -------
    float
    """
    return losses[targets != -100].sum(dtype=np.float64) / np.log(2) / n_bytes


@bits_per_byte_of_targets.mistake(
    "Your function counts the losses of padding.",
    "Places with the target -100 stand for no text: leave them out.",
)
def counts_losses_of_padding(losses, targets, n_bytes):
    return float(losses.sum(dtype=np.float64)) / math.log(2) / n_bytes


@bits_per_byte_of_targets.mistake(
    "Your function leaves the losses in nats.",
    "Divide by ln 2: a bit is the smaller unit, so there are more of them.",
)
def leaves_losses_in_nats(losses, targets, n_bytes):
    return plain_bits_per_byte_of_targets(losses, targets, n_bytes) * math.log(2)


@bits_per_byte_of_targets.mistake(
    "Your function multiplies by ln 2.",
    "nats = bits · ln 2, so bits = nats / ln 2.",
)
def multiplies_by_ln_2(losses, targets, n_bytes):
    return plain_bits_per_byte_of_targets(losses, targets, n_bytes) * math.log(2) ** 2


@bits_per_byte_of_targets.mistake(
    "Your function takes the mean over the tokens and divides it by the bytes.",
    "The whole text has n_bytes bytes and costs the sum of its losses, not their mean.",
)
def takes_mean_over_tokens_and_divides(losses, targets, n_bytes):
    return plain_bits_per_byte_of_targets(losses, targets, n_bytes) / int((targets != -100).sum())


@bits_per_byte_of_targets.mistake(
    "Your function gives bits per token.",
    "Divide by the bytes of the text: tokens are longer or shorter from one tokenizer to the next.",
)
def gives_bits_per_token(losses, targets, n_bytes):
    return plain_bits_per_byte_of_targets(losses, targets, n_bytes) * n_bytes / int((targets != -100).sum())
