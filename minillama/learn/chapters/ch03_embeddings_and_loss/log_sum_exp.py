"""log-sum-exp that does not overflow."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...exercises.exercise import exercise
from .inputs import ROW_AXES


def make_logits(rng: np.random.Generator, B: int, T: int, V: int) -> tuple[Any, ...]:
    """Rows far above and far below 0, each with a forbidden token (-inf).

    Of two positions the numbers are as large as 1e30, of four they are near 0, where an error of a thousandth shows.
    """
    logits = 3 * rng.normal(size=(B, T, V))
    logits += np.where(np.arange(B * T).reshape(B, T, 1) % 3 == 0, 900.0, rng.choice([-900.0, 0.0], (B, T, 1)))
    if T == 4:
        logits -= logits.max(axis=-1, keepdims=True)
    if T == 2:
        logits *= 1e27
    if V > 2:
        np.put_along_axis(logits, rng.integers(0, V, (B, T, 1)), -np.inf, axis=-1)
    return (logits.astype(np.float32),)


def torch_log_sum_exp(logits):
    import torch

    return torch.logsumexp(torch.tensor(logits, dtype=torch.float64), dim=-1).numpy()


@exercise(
    title="log-sum-exp that does not overflow",
    task="Compute log(sum(exp(z))) over the last axis, however large the logits are.",
    difficulty=2,
    minutes=10,
    make=make_logits,
    shapes=(
        {"B": 1, "T": 1, "V": 2},
        {"B": 1, "T": 2, "V": 1},
        {"B": 1, "T": 3, "V": 4},
        {"B": 2, "T": 3, "V": 5},
        {"B": 3, "T": 2, "V": 6},
        {"B": 3, "T": 4, "V": 17},
        {"B": 2, "T": 5, "V": 300},
    ),
    axes=ROW_AXES,
    oracle=torch_log_sum_exp,
    rtol=1e-5,
    hints=(
        "exp(900) is infinite and exp(-900) is 0, in float32 and in float64. Which number can be taken out of the sum?",
        "exp(z) = exp(m) exp(z - m), so log-sum-exp(z) = m + log(sum(exp(z - m))). With m = the largest logit of the "
        "row no exponent is above 0, and one of them is 0.",
        "m = logits.max(axis=-1, keepdims=True)\nreturn m[..., 0] + np.log(np.exp(logits - m).sum(axis=-1))",
    ),
    why=(
        "Taking any m from all logits and adding it to the logarithm changes nothing, and the largest logit is the m "
        "that is always safe: every exponent is at most 0 and one of them is exactly 0. The sum then lies between 1 "
        "and V, where a logarithm has no trouble. Each row has a maximum of its own, because one far below the others "
        "would be left with a sum of 0."
    ),
)
def log_sum_exp(logits):
    """Compute log(sum(exp(z))) over the last axis, without overflow or underflow.

    lse(z) = log sum_v exp(z_v)

    Parameters
    ----------
    logits : ndarray of shape (B, T, V)
        Finite numbers of up to 1e30 in size, such as 900 or -900; single ones may be -inf, never a
        whole row.

    Returns
    -------
    ndarray of shape (B, T), same dtype as `logits`
    """
    top = logits.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))


@log_sum_exp.mistake(
    "Your function takes the exponentials as they are, so that they overflow or vanish.",
    "Subtract the largest logit of each row first and add it again after the logarithm.",
)
def takes_exponentials(logits):
    return np.log(np.exp(logits).sum(axis=-1))


@log_sum_exp.mistake(
    "Your function subtracts the largest logit, but does not add it again.",
    "Softmax does not need it back, log-sum-exp does: m + log(sum(exp(z - m))).",
)
def lse_without_putting_back(logits):
    return log_sum_exp(logits) - logits.max(axis=-1)


@log_sum_exp.mistake(
    "Your function subtracts one maximum for all rows.",
    "Rows that lie far below it vanish: log(0). Each row needs its own maximum (axis=-1, keepdims=True).",
)
def lse_global(logits):
    top = logits.max()
    return top + np.log(np.exp(logits - top).sum(axis=-1))


@log_sum_exp.mistake(
    "Your function averages instead of summing.",
    "The mean is smaller by log V.",
)
def averages_instead_of_summing(logits):
    return log_sum_exp(logits) - np.log(logits.shape[-1]).astype(logits.dtype)


@log_sum_exp.mistake(
    "Your function returns the largest logit.",
    "It is a good estimate, never more than log V too small; what is missing is the log of the sum.",
)
def returns_largest_logit(logits):
    return logits.max(axis=-1)


@log_sum_exp.mistake(
    "Your function takes the logarithm to base 2.",
    "The exponential has base e: np.log belongs to np.exp.",
)
def takes_logarithm_to_base_2(logits):
    return logits.max(axis=-1) + (log_sum_exp(logits) - logits.max(axis=-1)) / np.float32(math.log(2))
