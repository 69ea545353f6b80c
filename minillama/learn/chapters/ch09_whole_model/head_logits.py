"""From the stream to logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ....inference.sampling import log_softmax
from ...exercises.exercise import exercise
from .inputs import EPS
from .shared import rmsnorm
from .variants import normalised


def make_head(rng: np.random.Generator, B: int, T: int, D: int, V: int, tied: int) -> tuple[Any, ...]:
    x = (0.01 * rng.normal(size=(B, T, D))).astype(np.float32)  # small: eps matters
    norm = rng.uniform(0.5, 2, D).astype(np.float32)
    table, output = rng.normal(size=(2, V, D)).astype(np.float32)
    return x, norm, table, None if tied else output, EPS


def torch_head(x, final_norm, token_embedding, output, eps):
    import torch

    x, final_norm, head = (
        torch.tensor(a, dtype=torch.float64) for a in (x, final_norm, token_embedding if output is None else output)
    )
    return torch.nn.functional.linear(torch.nn.functional.rms_norm(x, final_norm.shape, final_norm, eps), head).numpy()


@exercise(
    title="From the stream to logits",
    task="The final norm, then the output head: a matrix of its own, or the token embedding where the model is tied.",
    difficulty=1,
    minutes=5,
    make=make_head,
    shapes=(
        {"B": 1, "T": 1, "D": 3, "V": 4, "tied": 1},
        {"B": 1, "T": 2, "D": 2, "V": 3, "tied": 0},
        {"B": 2, "T": 3, "D": 8, "V": 5, "tied": 1},
        {"B": 3, "T": 1, "D": 5, "V": 17, "tied": 0},
        {"B": 2, "T": 5, "D": 16, "V": 64, "tied": 1},
    ),
    axes=("batch", "position", "token"),
    oracle=torch_head,
    atol=1e-5,
    hints=(
        "A logit is the dot product of a normalised hidden state with a token's row. Which rows, when output is None?",
        "Norm first: rmsnorm(x, final_norm, eps). The head is (V, D), like every weight (out_features, in_features).",
        "head = token_embedding if output is None else output\nreturn rmsnorm(x, final_norm, eps) @ head.T",
    ),
    why=(
        "After many blocks the stream has any size; the norm leaves its direction, and the head compares that with "
        "one vector for each token. A tied model has only one such table, for reading in and for reading out. Nothing "
        "is turned into probabilities yet, because loss and sampler both begin with logits."
    ),
)
def head_logits(x, final_norm, token_embedding, output, eps):
    """The end of the model: from the residual stream to logits.

    logits = head rmsnorm(x, final_norm)

    Parameters
    ----------
    x : float32 ndarray of shape (B, T, D)
        The stream after the last block.
    final_norm : float32 ndarray of shape (D,)
    token_embedding : float32 ndarray of shape (V, D)
    output : float32 ndarray of shape (V, D), or None
        The head; None in a tied model, whose head is the token embedding.
    eps : float

    Returns
    -------
    logits : ndarray of shape (B, T, V)
    """
    head = token_embedding if output is None else output
    return rmsnorm(x, final_norm, eps) @ head.T


def layer_norm(x, weight, eps):
    return normalised(x - x.mean(axis=-1, keepdims=True), weight, eps)


@head_logits.mistake(
    "Your function leaves out the final norm.",
    "The stream has grown over all layers; final_norm brings it to the size that the head was trained for.",
)
def leaves_out_final_norm(x, final_norm, token_embedding, output, eps):
    return x @ (token_embedding if output is None else output).T


@head_logits.mistake(
    "Your final norm does not multiply by its weight.",
    "rmsnorm(x, final_norm, eps) divides by the root mean square and multiplies by final_norm.",
)
def norm_does_not_multiply_by_its_weight(x, final_norm, token_embedding, output, eps):
    return head_logits(x, np.ones_like(final_norm), token_embedding, output, eps)


@head_logits.mistake(
    "Your function always uses the token embedding.",
    "Only where output is None. No LLaMA 2 is tied; SmolLM2 and the TinyStories models are.",
)
def always_uses_token_embedding(x, final_norm, token_embedding, output, eps):
    return head_logits(x, final_norm, token_embedding, None, eps)


@head_logits.mistake(
    "Your function returns probabilities.",
    "Logits are the numbers before softmax.",
)
def returns_probabilities(x, final_norm, token_embedding, output, eps):
    return np.exp(log_softmax(head_logits(x, final_norm, token_embedding, output, eps)))


@head_logits.mistake(
    "Your function subtracts the mean: that is LayerNorm.",
    "RMSNorm divides by the root mean square and subtracts nothing.",
)
def is_layer_norm(x, final_norm, token_embedding, output, eps):
    return layer_norm(x, final_norm, eps) @ (token_embedding if output is None else output).T


@head_logits.mistake(
    "Your logits are divided by sqrt(D).",
    "That scale belongs to attention scores. The head is a plain product.",
)
def logits_are_divided_by_sqrt_of_the_width(x, final_norm, token_embedding, output, eps):
    return head_logits(x, final_norm, token_embedding, output, eps) / np.float32(math.sqrt(x.shape[-1]))
