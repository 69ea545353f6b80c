"""Which token is the target."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import ROW_AXES


def make_tokens(rng: np.random.Generator, B: int, T: int) -> tuple[Any, ...]:
    """Sequences of different lengths, filled up with padding on the right; and padding in front of one.

    Long ones are unsigned, as they are in files.
    """
    pad_id, ignore_id = int(rng.integers(0, 3)), -1 if T % 2 else -100
    tokens = rng.integers(3, 20, (B, T))
    for b in range(1, B):
        tokens[b, T - int(rng.integers(0, T)) :] = pad_id
    if B > 2 and T > 3:
        tokens[-1] = rng.integers(3, 20, T)
        tokens[-1, :2] = pad_id
    if T > 2:
        tokens[0, -1] = pad_id
    return tokens.astype(np.uint16 if T > 5 else np.int64), pad_id, ignore_id


@exercise(
    title="Which token is the target",
    task="Give every position the token after it as its target; the last one and padding have none.",
    difficulty=1,
    minutes=8,
    make=make_tokens,
    shapes=(
        {"B": 1, "T": 2},
        {"B": 1, "T": 1},
        {"B": 2, "T": 3},
        {"B": 3, "T": 5},
        {"B": 4, "T": 12},
    ),
    axes=ROW_AXES,
    exact=True,
    dtype_matters=True,
    hints=(
        "Row t of the logits predicts token t + 1. The last row has nothing to predict that is known.",
        "Begin with an array full of ignore_id and write into its first T - 1 columns. Padding is a matter of the "
        "target: compare the target with pad_id, not the input.",
        "targets = np.full(tokens.shape, ignore_id, np.int64)\n"
        "targets[:, :-1] = tokens[:, 1:]\n"
        "targets[targets == pad_id] = ignore_id",
    ),
    why=(
        "Every position is a question about what comes next, so a text of T tokens asks T - 1 questions in a single "
        "pass. The last one has no answer in its row, and padding is no answer worth learning: both are marked. What "
        "counts is the target, not the input, since padding in front of a text may well ask for its first token."
    ),
)
def shift_targets(tokens, pad_id, ignore_id):
    """What every position has to predict: the token after it.

    targets[b, t] = tokens[b, t + 1],   but ignore_id where that is pad_id, and at t = T - 1

    Parameters
    ----------
    tokens : integer ndarray of shape (B, T)
        Shorter sequences are filled up with `pad_id`, on either side. Files of tokens are unsigned
        (uint16), and -100 is not: the result needs a dtype of its own.
    pad_id : int
    ignore_id : int
        Marks a position that has no target.

    Returns
    -------
    targets : int64 ndarray of shape (B, T)
    """
    targets = np.full(tokens.shape, ignore_id, np.int64)
    targets[:, :-1] = tokens[:, 1:]
    targets[targets == pad_id] = ignore_id
    return targets


@shift_targets.mistake(
    "Your function gives every position its own token as the target.",
    "The model would learn to copy its input. Position t has to predict token t + 1.",
)
def gives_every_position_its_own_token(tokens, pad_id, ignore_id):
    return np.where(tokens == pad_id, ignore_id, tokens.astype(np.int64))


@shift_targets.mistake(
    "Your function shifts in the wrong direction: the target is the token before.",
    "The model has seen that one. targets[:, :-1] = tokens[:, 1:].",
)
def shift_back(tokens, pad_id, ignore_id):
    tokens = tokens.astype(np.int64)
    targets = np.full_like(tokens, ignore_id)
    targets[:, 1:] = np.where(tokens[:, :-1] == pad_id, ignore_id, tokens[:, :-1])
    return targets


@shift_targets.mistake(
    "Your function lets the last position predict the first token.",
    "np.roll moves in a circle. The last column has no target: ignore_id.",
)
def shift_rolled(tokens, pad_id, ignore_id):
    targets = np.roll(tokens.astype(np.int64), -1, axis=1)
    return np.where(targets == pad_id, ignore_id, targets)


@shift_targets.mistake(
    "Your function lets the last position predict the first token of the next sequence.",
    "The rows of a batch have nothing to do with one another: shift along axis 1, not in a flat array.",
)
def shift_flat(tokens, pad_id, ignore_id):
    flat = np.append(tokens.astype(np.int64).reshape(-1)[1:], ignore_id).reshape(tokens.shape)
    return np.where(flat == pad_id, ignore_id, flat)


@shift_targets.mistake(
    "Your function ignores the places where the input is padding, not those where the target is.",
    "The last real token of a sequence would have to predict padding, which should not be learned.",
)
def shift_mask_input(tokens, pad_id, ignore_id):
    tokens = tokens.astype(np.int64)
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = np.where(tokens[:, :-1] == pad_id, ignore_id, tokens[:, 1:])
    return targets


@shift_targets.mistake(
    "Your function keeps padding as a target.",
    "Targets that are pad_id become ignore_id: filling is not text.",
)
def shift_keeps_padding(tokens, pad_id, ignore_id):
    targets = np.full(tokens.shape, ignore_id, np.int64)
    targets[:, :-1] = tokens[:, 1:]
    return targets


@shift_targets.mistake(
    "Your function makes targets of the dtype of the tokens.",
    "Tokens from a file are unsigned, and a negative ignore_id does not fit: make an int64 array.",
)
def shift_in_place(tokens, pad_id, ignore_id):
    targets = np.full_like(tokens, ignore_id)
    targets[:, :-1] = tokens[:, 1:]
    targets[targets == pad_id] = ignore_id
    return targets
