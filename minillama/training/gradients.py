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

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ..compute.array_types import Float, Ints
from ..config import ModelConfig
from ..layers.cross_entropy import IGNORED, cross_entropy_in_place
from ..layers.embedding import as_tokens, embedding_backward_onto
from ..layers.linear import linear_backward_into
from ..model import backbone_backward, backbone_forward, output_head
from ..ops import FAST, Gradient, Ops, untouched
from ..params import Params
from ..trees import Tree, map_tree

Sums = dict[str, float]
"""Figures of a batch, each a sum: "loss" (what is minimised), "count" (what it is divided by), and any others."""

OfRows = Callable[[Float, slice], tuple[Sums, Float]]
"""(logits (N, V), which rows of the flattened batch they are) -> (sums, gradient of the summed loss by the logits)."""

# Logits that exist at a time: some megabytes, which the caches of a CPU hold.
_CHUNK_SIZE = 1 << 21
# With a large vocabulary that is a few rows, and for each chunk the whole head and its gradient come from memory
# once more: rather so many rows, as long as their logits take no more than 128 MB.
_LEAST_ROWS, _LARGEST_SIZE = 640, 1 << 25


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


def row_chunks(n_rows: int, vocab_size: int) -> list[slice]:
    """As few chunks as the sizes above allow, of about the same size."""
    most = max(1, _CHUNK_SIZE // vocab_size, min(_LEAST_ROWS, _LARGEST_SIZE // vocab_size))
    n = max(1, -(-n_rows // most))
    bounds = [i * n_rows // n for i in range(n + 1)]
    return [slice(first, last) for first, last in pairwise(bounds)]


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
    dh, dhead = np.empty(rows_of_h.shape, h.dtype), np.empty(head.shape, head.dtype)
    for rows in row_chunks(len(rows_of_h), len(head)):
        logits, saved = ops.linear_forward(rows_of_h[rows], head)
        sums, dlogits = of_rows(logits, rows)
        del logits  # where of_rows needs no second array of that size, there is none
        _linear_backward_into(dlogits, saved, dh[rows], dhead, ops, add=rows.start > 0)
        add_sums(total, sums)
    return total, dh.reshape(h.shape), dhead


def _linear_backward_into(dy: Float, saved: Any, dx: Float, dweight: Float, ops: Ops, *, add: bool) -> None:
    """`linear_backward_into`, or what a function in its place returns, copied."""
    if untouched(ops, "linear_forward", "linear_backward"):
        linear_backward_into(dy, saved, dx, dweight, add=add)
        return
    dx[...], more = ops.linear_backward(dy, saved)
    np.add(dweight, more, out=dweight) if add else np.copyto(dweight, more)


class _UsedOnce(list[Any]):
    """What the blocks saved: each lets go of its memory when the way back has passed it."""

    def __reversed__(self) -> Iterator[Any]:
        while self:
            yield self.pop()


def sums_and_gradients(
    params: Params,
    config: ModelConfig,
    tokens: Ints,
    of_rows: OfRows,
    *,
    learned: Ints | None = None,
    ops: Ops = FAST,
    recompute: bool = False,
) -> tuple[Sums, Params]:
    """Sums over the logits of `tokens`, and the gradient of the summed loss by every parameter.

    Parameters
    ----------
    learned : integer ndarray of shape (n,), optional
        The rows of the flattened batch that have logits, in ascending order; `of_rows` sees these as rows 0 to n - 1.
        All by default. The others, prompts and padding, cost no product with the head.
    """
    h, saved = backbone_forward(params, config, tokens, ops, recompute=recompute)
    saved = saved._replace(blocks=_UsedOnce(saved.blocks))
    if learned is None:
        sums, dh, dhead = head_gradients(h, output_head(params), of_rows, ops)
    else:
        sums, dlearned, dhead = head_gradients(h.reshape(-1, h.shape[-1])[learned], output_head(params), of_rows, ops)
        dh = np.zeros_like(h)
        dh.reshape(-1, h.shape[-1])[learned] = dlearned
    if params.output is None:
        return sums, backbone_backward(dh, saved, ops._replace(embedding_backward=_onto(dhead, ops)))
    return sums, backbone_backward(dh, saved, ops)._replace(output=dhead)


def _onto(dhead: Float, ops: Ops) -> Gradient:
    """The embedding's gradient added to that of the head, which is the same table, in place."""
    if untouched(ops, "embedding_forward", "embedding_backward"):
        return lambda dx, saved: embedding_backward_onto(dx, saved, dhead)
    return lambda dx, saved: np.add(dhead, ops.embedding_backward(dx, saved), out=dhead)


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


# Whose work `cross_entropy_in_place` does, or who might keep the logits that it overwrites.
_IN_PLACE = ("linear_forward", "linear_backward", "cross_entropy_forward", "cross_entropy_backward")


def next_token_rows(targets: Ints, ops: Ops = FAST) -> OfRows:
    """Cross-entropy of `targets` (B, T), summed; IGNORED where nothing is to be learned: padding, prompts."""
    flat = np.ascontiguousarray(targets).reshape(-1)
    in_place = untouched(ops, *_IN_PLACE)

    def of_rows(logits: Float, rows: slice) -> tuple[Sums, Float]:
        if in_place:
            loss = cross_entropy_in_place(logits, flat[rows])
            return {"loss": loss, "count": _counted(flat[rows])}, logits
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
    for rows in row_chunks(len(rows_of_h), config.vocab_size):
        logits, _ = ops.linear_forward(rows_of_h[rows], output_head(params))
        total += ops.cross_entropy_forward(logits, flat[rows], 1)[0]
    return {"loss": total, "count": _counted(flat)}
