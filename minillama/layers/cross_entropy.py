"""Cross-entropy of the next token: the loss of pretraining (LLaMA 2 section 2).

    loss    = mean over counted rows of  logsumexp(logits) - logits[target]
    dlogits = (softmax(logits) - onehot(target)) / n          0 in rows that are not counted

A row whose target is IGNORED is not counted: padding here, prompts in fine-tuning. The loss is
in nats a token; divided by log(2) and by the bytes that the tokens stand for it is bits per
byte, which can be compared between tokenizers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..compute.array_types import Float, Ints
from ..compute.jit import helper, threaded
from ..compute.simd import (
    exp,
    load_floats,
    max_of,
    maximum,
    multiply,
    multiply_add,
    splat_float,
    store_floats,
    sum_of,
)

IGNORED = -100


class CrossEntropySaved(NamedTuple):
    """What the backward pass needs from the forward pass."""

    logits: Float  # (..., V)
    targets: Ints  # (...)
    logsumexp: Float  # (...)
    n_counted: int


def _check(logits: Float, targets: Ints, n_counted: int | None) -> int:
    if logits.shape[:-1] != targets.shape or targets.dtype.kind not in "iu":
        raise ValueError(
            f"targets must be integers of shape {logits.shape[:-1]}, one for each row of logits {logits.shape}; "
            f"got {targets.dtype} of shape {targets.shape}"
        )
    counted = targets != IGNORED
    wrong = counted & ((targets < 0) | (targets >= logits.shape[-1]))
    if wrong.any():
        raise ValueError(
            f"targets must be in [0, {logits.shape[-1]}), or {IGNORED} to be ignored; got {targets[wrong].flat[0]}"
        )
    return max(1, int(counted.sum())) if n_counted is None else n_counted


def cross_entropy_forward(
    logits: Float, targets: Ints, n_counted: int | None = None
) -> tuple[float, CrossEntropySaved]:
    """Mean of -log p(target) over the rows that count.

    Parameters
    ----------
    logits : ndarray of shape (..., V)
    targets : integer ndarray of shape (...)
        IGNORED (-100) leaves a row out.
    n_counted : int, optional
        What the sum is divided by, where these rows are a part of a larger batch; the counted
        rows by default. No counted row at all gives a loss of 0.

    Returns
    -------
    loss : float
        In nats.
    saved : CrossEntropySaved

    Raises
    ------
    ValueError
        When shapes do not fit or a target lies outside the vocabulary.
    """
    n = _check(logits, targets, n_counted)
    largest = logits.max(axis=-1, keepdims=True)
    logsumexp = (largest + np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True)))[..., 0]
    counted = targets != IGNORED
    chosen = np.take_along_axis(logits, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
    loss = np.where(counted, logsumexp - chosen, 0).sum(dtype=np.float64) / n
    return float(loss), CrossEntropySaved(logits, targets, logsumexp, n)


def cross_entropy_backward(dloss: float, saved: CrossEntropySaved) -> Float:
    """Gradient of the logits, shaped like them, from that of the loss (1 where the loss is what is minimised)."""
    logits, targets, logsumexp, n = saved
    counted = (targets != IGNORED)[..., None]
    dlogits = np.exp(logits - logsumexp[..., None])
    places = np.where(counted, targets[..., None], 0)
    np.put_along_axis(dlogits, places, np.take_along_axis(dlogits, places, axis=-1) - 1, axis=-1)
    return (np.where(counted, dlogits, 0) * (dloss / n)).astype(logits.dtype, copy=False)


# --- numba kernels: the same contract, a row at a time ----------------------------------


@helper
def _row_largest(row):
    whole = row.size // 16 * 16
    best = splat_float(np.float32(-np.inf))
    for j in range(0, whole, 16):
        best = maximum(load_floats(row, j), best)
    largest = max_of(best)
    for j in range(whole, row.size):
        largest = max(largest, row[j])
    return largest


@helper
def _row_logsumexp(row):
    whole, largest = row.size // 16 * 16, _row_largest(row)
    one, shift, sums = splat_float(np.float32(1)), splat_float(-largest), splat_float(np.float32(0))
    for j in range(0, whole, 16):
        sums = multiply_add(exp(multiply_add(load_floats(row, j), one, shift)), one, sums)
    total = sum_of(sums)
    for j in range(whole, row.size):
        total += np.exp(row[j] - largest)
    return largest + np.log(total)


@helper
def _row_in_place(row, target):
    """The loss of a row, which becomes its gradient; every exponential is taken once."""
    whole, largest = row.size // 16 * 16, _row_largest(row)
    chosen = row[target] - largest
    one, shift, sums = splat_float(np.float32(1)), splat_float(-largest), splat_float(np.float32(0))
    for j in range(0, whole, 16):
        power = exp(multiply_add(load_floats(row, j), one, shift))
        store_floats(row, j, power)
        sums = multiply_add(power, one, sums)
    total = sum_of(sums)
    for j in range(whole, row.size):
        row[j] = np.exp(row[j] - largest)
        total += row[j]
    factor = np.float32(1) / total
    scale = splat_float(factor)
    for j in range(0, whole, 16):
        store_floats(row, j, multiply(load_floats(row, j), scale))
    for j in range(whole, row.size):
        row[j] *= factor
    row[target] -= np.float32(1)
    return np.log(total) - chosen


@helper
def _row_gradient(row, logsumexp, target, factor, drow):
    whole = row.size // 16 * 16
    one, shift, scale = splat_float(np.float32(1)), splat_float(-logsumexp), splat_float(factor)
    for j in range(0, whole, 16):
        store_floats(drow, j, multiply(exp(multiply_add(load_floats(row, j), one, shift)), scale))
    for j in range(whole, row.size):
        drow[j] = np.exp(row[j] - logsumexp) * factor
    drow[target] -= factor


@threaded(from_size=16_384)
def _losses(first, last, logits, targets, logsumexp, losses):  # logits (N, V), the others (N,)
    for i in range(first, last):
        logsumexp[i] = _row_logsumexp(logits[i])
        losses[i] = np.float32(0) if targets[i] == IGNORED else logsumexp[i] - logits[i, targets[i]]


@threaded(from_size=16_384)
def _gradients(first, last, logits, targets, logsumexp, factor, dlogits):
    for i in range(first, last):
        if targets[i] == IGNORED:
            for j in range(logits.shape[1]):
                dlogits[i, j] = 0
        else:
            _row_gradient(logits[i], logsumexp[i], targets[i], factor, dlogits[i])


@threaded(from_size=16_384)
def _losses_in_place(first, last, logits, targets, losses):
    for i in range(first, last):
        if targets[i] == IGNORED:
            losses[i] = np.float32(0)
            for j in range(logits.shape[1]):
                logits[i, j] = 0
        else:
            losses[i] = _row_in_place(logits[i], targets[i])


def cross_entropy_forward_fast(
    logits: Float, targets: Ints, n_counted: int | None = None
) -> tuple[float, CrossEntropySaved]:
    """`cross_entropy_forward`, compiled; float32 (NumPy does the others)."""
    if logits.dtype != np.float32:
        return cross_entropy_forward(logits, targets, n_counted)
    n = _check(logits, targets, n_counted)
    logits = np.ascontiguousarray(logits)
    logsumexp, losses = np.empty(targets.shape, np.float32), np.empty(targets.size, np.float32)
    rows = logits.reshape(targets.size, -1)
    _losses(len(rows), rows, targets.reshape(-1), logsumexp.reshape(-1), losses, size=logits.size)
    return float(losses.sum(dtype=np.float64) / n), CrossEntropySaved(logits, targets, logsumexp, n)


def cross_entropy_backward_fast(dloss: float, saved: CrossEntropySaved) -> Float:
    """`cross_entropy_backward`, compiled; float32 (NumPy does the others)."""
    logits, targets, logsumexp, n = saved
    if logits.dtype != np.float32:
        return cross_entropy_backward(dloss, saved)
    dlogits = np.empty(logits.shape, np.float32)
    rows = (targets.size, logits.shape[-1])
    _gradients(
        targets.size, logits.reshape(rows), targets.reshape(-1), logsumexp.reshape(-1), np.float32(dloss / n),
        dlogits.reshape(rows), size=logits.size,
    )  # fmt: skip
    return dlogits


def cross_entropy_in_place(logits: Float, targets: Ints) -> float:
    """Both directions in one visit of every row: the summed loss, and `logits` become the gradient of it.

    What `cross_entropy_forward(logits, targets, 1)` and `cross_entropy_backward(1.0, saved)` give, without a second
    array of the size of the logits: with a vocabulary of 49,152 one of 256 rows has 50 MB.
    """
    return float(losses_in_place(logits, targets).sum(dtype=np.float64))


def losses_in_place(logits: Float, targets: Ints) -> Float:
    """The loss of every row, shaped like `targets`, and `logits` become the gradient of each.

    Minus a row's loss is the log-probability of its target. Whatever an objective makes of these log-probabilities,
    its gradient is this one with every row multiplied by a number: the weight of a token, or how much better than
    expected it was.
    """
    if logits.dtype != np.float32 or not logits.flags.c_contiguous:
        _, saved = cross_entropy_forward(logits, targets, 1)
        counted = targets != IGNORED
        chosen = np.take_along_axis(logits, np.where(counted, targets, 0)[..., None], axis=-1)[..., 0]
        losses = np.where(counted, saved.logsumexp - chosen, 0).astype(logits.dtype)
        logits[...] = cross_entropy_backward(1.0, saved)
        return losses
    _check(logits, targets, 1)
    losses, rows = np.empty(targets.size, np.float32), logits.reshape(targets.size, -1)
    _losses_in_place(len(rows), rows, targets.reshape(-1), losses, size=logits.size)
    return losses.reshape(targets.shape)
