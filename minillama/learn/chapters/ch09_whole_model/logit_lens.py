"""The logit lens."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import log_softmax
from ...exercises.exercise import exercise
from .inputs import EPS
from .shared import rmsnorm
from .variants import normalised


def make_lens(rng: np.random.Generator, n: int, T: int, D: int, V: int) -> tuple[Any, ...]:
    """States that grow with depth; of many tokens the logits are so large that exp overflows."""
    states = (rng.normal(size=(n, T, D)) * 4.0 ** np.arange(n)[:, None, None]).astype(np.float32)
    norm = rng.uniform(0.3, 3, D).astype(np.float32)
    output = ((100 if V > 40 else 1) * rng.normal(size=(V, D))).astype(np.float32)
    return states, norm, output, rng.integers(0, V, T), EPS


def lens_logits(states, norm, output, eps):
    return normalised(states, norm, eps) @ output.T


def _pick(scores, targets):
    return scores[:, np.arange(len(targets)), targets]


def lens(states, final_norm, output, targets, eps):
    return _pick(log_softmax(lens_logits(states, final_norm, output, eps)), targets)


def torch_lens(states, final_norm, output, targets, eps):
    import torch
    import torch.nn.functional as F

    states, g, output = (torch.tensor(a, dtype=torch.float64) for a in (states, final_norm, output))
    logits = F.linear(F.rms_norm(states, g.shape, g, eps), output)
    index = torch.tensor(targets).expand(len(states), -1)[..., None]
    return logits.log_softmax(-1).gather(-1, index)[..., 0].numpy()


@exercise(
    title="The logit lens",
    task="For every depth and position, the log-probability of the next token if the model ended there.",
    difficulty=2,
    minutes=15,
    reference=lens,
    make=make_lens,
    shapes=(
        {"n": 2, "T": 2, "D": 3, "V": 4},
        {"n": 1, "T": 1, "D": 2, "V": 3},
        {"n": 3, "T": 4, "D": 6, "V": 7},
        {"n": 5, "T": 3, "D": 8, "V": 33},
        {"n": 4, "T": 6, "D": 16, "V": 50},
    ),
    axes=("state", "position"),
    oracle=torch_lens,
    rtol=2e-4,
    hints=(
        "The head expects a normalised stream, and it does not mind from which depth it comes: norm and head for all "
        "states at once.",
        "Log-softmax over the vocabulary, then one number for each position: the one of targets[t].",
        "logits = rmsnorm(states, final_norm, eps) @ output.T          # (n, T, V)\n"
        "logprobs = logits - logsumexp(logits, axis=-1, keepdims=True)\n"
        "return logprobs[:, np.arange(T), targets]",
    ),
    why=(
        "All blocks write into one stream, so norm and head can be put behind any of them, as if the model ended "
        "there. The norm is needed at every depth, since the stream grows on its way. Logarithms are taken by "
        "subtracting and never of a probability, so one too small for float32 is still finite."
    ),
)
def logit_lens(states, final_norm, output, targets, eps):
    """What the model would say if it ended at each depth.

    result[i, t] = log softmax(output rmsnorm(states[i, t], final_norm))[targets[t]]

    Logits may be as large as 2000 in size, where exp overflows.

    Parameters
    ----------
    states : float32 ndarray of shape (n, T, D)
        The residual stream at n depths.
    final_norm : float32 ndarray of shape (D,)
    output : float32 ndarray of shape (V, D)
    targets : integer ndarray of shape (T,)
        The token that follows position t.
    eps : float

    Returns
    -------
    logprobs : ndarray of shape (n, T)
    """
    logits = rmsnorm(states, final_norm, eps) @ output.T  # (n, T, V)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    logprobs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return logprobs[:, np.arange(len(targets)), targets]


@logit_lens.mistake(
    "Your function leaves out the final norm.",
    "States of different depths have very different sizes; without the norm the last ones seem to be certain "
    "of everything.",
)
def leaves_out_final_norm(states, final_norm, output, targets, eps):
    return _pick(log_softmax(states @ output.T), targets)


@logit_lens.mistake(
    "Your function normalises the last state only.",
    "The lens asks what the head would say at every depth, and the head expects the norm at every depth.",
)
def lens_last_only(states, final_norm, output, targets, eps):
    normed = states.copy()
    normed[-1] = normalised(states[-1], final_norm, eps)
    return _pick(log_softmax(normed @ output.T), targets)


@logit_lens.mistake(
    "Your final norm does not multiply by its weight.",
    "final_norm stretches the dims very differently: the head was trained with it.",
)
def norm_does_not_multiply_by_its_weight(states, final_norm, output, targets, eps):
    return lens(states, np.ones_like(final_norm), output, targets, eps)


@logit_lens.mistake(
    "Your function returns logits.",
    "A logit alone says nothing: subtract the log of the sum of exponentials over the vocabulary.",
)
def returns_logits(states, final_norm, output, targets, eps):
    return _pick(lens_logits(states, final_norm, output, eps), targets)


@logit_lens.mistake(
    "Your function returns probabilities.",
    "Log-probabilities are wanted.",
)
def returns_probabilities(states, final_norm, output, targets, eps):
    return np.exp(lens(states, final_norm, output, targets, eps))


@logit_lens.mistake(
    "Your softmax runs over the positions.",
    "It belongs to the last axis, the vocabulary.",
)
def softmax_runs_over_positions(states, final_norm, output, targets, eps):
    return _pick(log_softmax(lens_logits(states, final_norm, output, eps).swapaxes(1, 2)).swapaxes(1, 2), targets)


@logit_lens.mistake(
    "Your function shifts the targets by one position.",
    "targets[t] is already the token that follows position t.",
)
def shifts_targets_by_one_position(states, final_norm, output, targets, eps):
    return lens(states, final_norm, output, np.roll(targets, -1), eps)


@logit_lens.mistake(
    "Your function returns the probability of the most probable token, not that of the target.",
    "Pick targets[t] at position t.",
)
def returns_probability_of_most_probable_token(states, final_norm, output, targets, eps):
    return log_softmax(lens_logits(states, final_norm, output, eps)).max(axis=-1)
