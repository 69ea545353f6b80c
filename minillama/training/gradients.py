"""Sums over one batch and their gradients, on one thread.

The output head and the loss go together in chunks of rows: the logits of a batch (2048 tokens
times a vocabulary of 32000 are 260 MB) never exist as a whole.

    h             = backbone_forward(params, tokens)                     model.py
    per chunk:      logits = head h,   dlogits = of_rows(logits),   dh, dhead = backward of the head
    gradients     = backbone_backward(dh)                                model.py

An objective that needs the hidden states themselves (a reward at the last token, a value beside
each logit) calls the same three and adds to `dh` before the last one. What is computed here are
sums over the batch, and the gradient of the summed loss: they add up over the parts of a batch,
over threads (workers.py) and machines, and are divided once, by the sum called "count".
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..compute.array_types import Float, Ints
from ..config import ModelConfig
from ..layers.cross_entropy import IGNORED
from ..layers.embedding import as_tokens
from ..model import backbone_backward, backbone_forward, output_head, with_head_gradient
from ..ops import FAST, Ops
from ..params import Params
from ..trees import Tree, map_tree

Sums = dict[str, float]
"""Figures of a batch, each a sum: "loss" (what is minimised), "count" (what it is divided by), and any others."""

OfRows = Callable[[Float, slice], tuple[Sums, Float]]
"""(logits (N, V), which rows of the flattened batch they are) -> (sums, gradient of the summed loss by the logits)."""

# Logits that exist at a time: some megabytes, which the caches of a CPU hold.
_CHUNK_SIZE = 1 << 21


def add_sums(total: Sums, more: Sums) -> Sums:
    """`total` += `more`, in place; what `total` does not have yet begins at 0."""
    for name, value in more.items():
        total[name] = total[name] + value if name in total else value
    return total


def means(sums: Sums) -> Sums:
    """Every sum but the count itself, divided by the count."""
    n = max(1.0, sums["count"])
    return {name: value / n for name, value in sums.items() if name != "count"}


# --- any objective over the logits -------------------------------------------------------


def _chunks(n_rows: int, vocab_size: int) -> list[slice]:
    size = max(1, _CHUNK_SIZE // vocab_size)
    return [slice(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]


def head_gradients(h: Float, head: Float, of_rows: OfRows, ops: Ops = FAST) -> tuple[Sums, Float, Float]:
    """Sums over the logits that a head (V, D) makes of hidden states `h` (..., D), a chunk of rows at a time.

    Returns
    -------
    sums : dict
        Added up over the chunks.
    dh : ndarray shaped like h
    dhead : ndarray of shape (V, D)
    """
    rows_of_h, total = h.reshape(-1, h.shape[-1]), Sums()
    dh, dhead = np.empty(rows_of_h.shape, h.dtype), np.zeros(head.shape, head.dtype)
    for rows in _chunks(len(rows_of_h), len(head)):
        logits, saved = ops.linear_forward(rows_of_h[rows], head)
        sums, dlogits = of_rows(logits, rows)
        dh[rows], more = ops.linear_backward(dlogits, saved)
        dhead += more
        add_sums(total, sums)
    return total, dh.reshape(h.shape), dhead


def sums_and_gradients(
    params: Params, config: ModelConfig, tokens: Ints, of_rows: OfRows, *, ops: Ops = FAST, recompute: bool = False
) -> tuple[Sums, Params]:
    """Sums over the logits of `tokens`, and the gradient of the summed loss by every parameter."""
    h, saved = backbone_forward(params, config, tokens, ops, recompute=recompute)
    sums, dh, dhead = head_gradients(h, output_head(params), of_rows, ops)
    return sums, with_head_gradient(backbone_backward(dh, saved, ops), dhead, params.output is None)


def gradients_of(
    params: Params,
    config: ModelConfig,
    tokens: Ints,
    of_logits: Callable[[Float, slice], tuple[float, Float]],
    *,
    ops: Ops = FAST,
    recompute: bool = False,
) -> tuple[float, Params]:
    """Loss and gradients of any (logits, rows) -> (loss, dlogits), without holding all logits.

    Equal to `forward`, `of_logits` and `backward` where the loss is a sum over rows.
    """

    def of_rows(logits: Float, rows: slice) -> tuple[Sums, Float]:
        loss, dlogits = of_logits(logits, rows)
        return {"loss": loss}, dlogits

    sums, gradients = sums_and_gradients(params, config, tokens, of_rows, ops=ops, recompute=recompute)
    return sums["loss"], gradients


# --- the next token ----------------------------------------------------------------------


def next_token_rows(targets: Ints, ops: Ops = FAST) -> OfRows:
    """Cross-entropy of `targets` (B, T), summed; IGNORED where nothing is to be learned: padding, prompts."""
    flat = np.ascontiguousarray(targets).reshape(-1)

    def of_rows(logits: Float, rows: slice) -> tuple[Sums, Float]:
        loss, saved = ops.cross_entropy_forward(logits, flat[rows], 1)
        return {"loss": loss, "count": _counted(flat[rows])}, ops.cross_entropy_backward(1.0, saved)

    return of_rows


def _counted(targets: Ints) -> float:
    return float(np.count_nonzero(targets != IGNORED))


def loss_and_gradients(
    params: Params,
    config: ModelConfig,
    tokens: Ints,
    targets: Ints,
    *,
    ops: Ops = FAST,
    recompute: bool = False,
) -> tuple[float, Params]:
    """Mean cross-entropy of the next token, and its gradient by every parameter.

    Parameters
    ----------
    params : Params
        Plain float arrays; float64 gives float64 gradients.
    config : ModelConfig
    tokens, targets : integer ndarray of shape (B, T)
        `targets[b, t]` is what follows `tokens[b, t]`, or IGNORED.
    recompute : bool
        See `model.backbone_forward`.

    Returns
    -------
    loss : float
        In nats a token.
    gradients : Params
        A tree like `params`.

    Raises
    ------
    ValueError
        When shapes do not fit or ids lie outside the vocabulary.
    """
    check_shapes(tokens, targets)
    of_rows = next_token_rows(targets, ops)
    sums, gradients = sums_and_gradients(params, config, tokens, of_rows, ops=ops, recompute=recompute)
    return means(sums)["loss"], divided(gradients, sums["count"])


def divided(gradients: Tree, count: float) -> Tree:
    """Gradients of a sum as those of the mean, in place."""
    return map_tree(lambda g: np.divide(g, g.dtype.type(max(1.0, count)), out=g), gradients)


def check_shapes(tokens: Ints, targets: Ints) -> None:
    """Raise ValueError unless every token has its target."""
    if as_tokens(tokens).shape != np.atleast_2d(targets).shape:
        raise ValueError(
            f"targets must have the shape of tokens, {np.shape(tokens)}, one for each token; got {np.shape(targets)}"
        )


def next_token_sums(params: Params, config: ModelConfig, tokens: Ints, targets: Ints, *, ops: Ops = FAST) -> Sums:
    """Sums of a batch without gradients: "loss" in nats, and the "count" of targets that are not ignored.

    What the loss, perplexity and bits per byte of a text are made of.
    """
    check_shapes(tokens, targets)
    h, _ = backbone_forward(params, config, tokens, ops, recompute=True)  # keeps next to nothing for a backward pass
    rows_of_h, flat, total = h.reshape(-1, h.shape[-1]), np.ascontiguousarray(targets).reshape(-1), 0.0
    for rows in _chunks(len(rows_of_h), config.vocab_size):
        logits, _ = ops.linear_forward(rows_of_h[rows], output_head(params))
        total += ops.cross_entropy_forward(logits, flat[rows], 1)[0]
    return {"loss": total, "count": _counted(flat)}
