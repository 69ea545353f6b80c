"""Loss and gradients of a batch, on one thread or on a team of them.

The output head and the loss go together in chunks of rows: the logits of a batch (2048 tokens
times a vocabulary of 32000 are 260 MB) never exist as a whole.

`Workers` share a batch: each thread takes some of its sequences through the whole model, forward
and backward, as the machines of a cluster do in data-parallel training, and the gradients are
added at the end. No thread waits for another one inside a step, and what a sequence needs stays
in the cache of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compute.threads import most_threads, one_blas_thread
from ..config import ModelConfig
from ..layers.cross_entropy import IGNORED
from ..model import as_tokens, backbone_backward, backbone_forward, output_head, with_head_gradient
from ..ops import FAST, Ops
from ..params import Params
from .memory import keep_freed_memory
from .optimizer import add_gradients

Float = NDArray[np.floating]
Ints = NDArray[np.integer]

Objective = Callable[[Float, slice], tuple[float, Float]]
"""(logits (N, V), which rows of the flattened batch they are) -> (loss, dlogits)."""

# Logits that exist at a time: some megabytes, which the caches of a CPU hold.
_CHUNK_SIZE = 1 << 21


def next_token_objective(targets: Ints, ops: Ops = FAST, n_counted: int | None = None) -> Objective:
    """Cross-entropy of `targets` (B, T): the objective of pretraining, and with ignored prompts of fine-tuning.

    Parameters
    ----------
    targets : integer ndarray of shape (B, T)
        `layers.cross_entropy.IGNORED` where nothing is to be learned.
    n_counted : int, optional
        What the sum of losses is divided by; by default the targets that count.
    """
    flat = np.ascontiguousarray(targets).reshape(-1)
    n = max(1, int((flat != IGNORED).sum())) if n_counted is None else n_counted

    def objective(logits: Float, rows: slice) -> tuple[float, Float]:
        loss, cache = ops.cross_entropy_forward(logits, flat[rows], n)
        return loss, ops.cross_entropy_backward(1.0, cache)

    return objective


def _chunks(n_rows: int, vocab_size: int) -> list[slice]:
    size = max(1, _CHUNK_SIZE // vocab_size)
    return [slice(first, min(first + size, n_rows)) for first in range(0, n_rows, size)]


def head_gradients(h: Float, head: Float, objective: Objective, ops: Ops = FAST) -> tuple[float, Float, Float]:
    """Loss of hidden states `h` (B, T, D) behind a head (V, D), a chunk of rows at a time.

    Returns
    -------
    loss : float
        Summed over the chunks.
    dh : ndarray of shape (B, T, D)
    dhead : ndarray of shape (V, D)
    """
    rows_of_h = h.reshape(-1, h.shape[-1])
    dh, dhead, total = np.empty(rows_of_h.shape, h.dtype), np.zeros(head.shape, head.dtype), 0.0
    for rows in _chunks(len(rows_of_h), len(head)):
        logits, cache = ops.linear_forward(rows_of_h[rows], head)
        loss, dlogits = objective(logits, rows)
        dh[rows], more = ops.linear_backward(dlogits, cache)
        dhead += more
        total += loss
    return total, dh.reshape(h.shape), dhead


def gradients_of(
    params: Params, config: ModelConfig, tokens: Ints, objective: Objective, *, ops: Ops = FAST, recompute: bool = False
) -> tuple[float, Params]:
    """Loss and gradients of any objective over the logits, without holding all of them.

    Equal to `forward`, the objective and `backward` for an objective that is a sum over rows.
    """
    h, cache = backbone_forward(params, config, tokens, ops, recompute=recompute)
    loss, dh, dhead = head_gradients(h, output_head(params), objective, ops)
    return loss, with_head_gradient(backbone_backward(dh, cache, ops), dhead, params.output is None)


def loss_and_gradients(
    params: Params,
    config: ModelConfig,
    tokens: Ints,
    targets: Ints,
    *,
    ops: Ops = FAST,
    recompute: bool = False,
    n_counted: int | None = None,
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
    n_counted : int, optional
        See `next_token_objective`.

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
    _check(tokens, targets)
    objective = next_token_objective(targets, ops, n_counted)
    return gradients_of(params, config, tokens, objective, ops=ops, recompute=recompute)


def _check(tokens: Ints, targets: Ints) -> None:
    if as_tokens(tokens).shape != np.atleast_2d(targets).shape:
        raise ValueError(f"tokens {np.shape(tokens)} and targets {np.shape(targets)} must have the same shape")


def loss_sum(params: Params, config: ModelConfig, tokens: Ints, targets: Ints, *, ops: Ops = FAST) -> tuple[float, int]:
    """Sum of the losses of a batch in nats, and how many targets count."""
    _check(tokens, targets)
    h, _ = backbone_forward(params, config, tokens, ops, recompute=True)  # keeps next to nothing for a backward pass
    rows_of_h, flat, total = h.reshape(-1, h.shape[-1]), np.ascontiguousarray(targets).reshape(-1), 0.0
    for rows in _chunks(len(rows_of_h), config.vocab_size):
        logits, _ = ops.linear_forward(rows_of_h[rows], output_head(params))
        total += ops.cross_entropy_forward(logits, flat[rows], 1)[0]
    return total, int((flat != IGNORED).sum())


def evaluate(
    params: Params, config: ModelConfig, batches: Iterable[tuple[Ints, Ints]], *, ops: Ops = FAST
) -> tuple[float, int]:
    """`loss_sum` over batches of (tokens, targets): what perplexity and bits per byte are made of."""
    found = [loss_sum(params, config, tokens, targets, ops=ops) for tokens, targets in batches]
    return sum(loss for loss, _ in found), sum(n for _, n in found)


class Workers:
    """Threads that share batches; a context manager, because BLAS is held to one thread for each.

    Parameters
    ----------
    n_threads : int, optional
        All cores by default.

    Notes
    -----
    Sums depend in their last digits on how a batch was cut: the same number of threads gives the
    same bits, another number does not.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        self.n_threads = most_threads() if n_threads is None else n_threads
        if not 1 <= self.n_threads <= most_threads():
            raise ValueError(f"threads must be between 1 and {most_threads()}, the cores of this machine")
        self._stack = ExitStack()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Workers:
        keep_freed_memory()
        self._stack.enter_context(one_blas_thread())
        self._pool = self._stack.enter_context(ThreadPoolExecutor(self.n_threads, initializer=_single_threaded))
        return self

    def __exit__(self, *error: object) -> None:
        self._pool = None
        self._stack.close()

    def _map(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
        if self._pool is None:
            raise ValueError("Workers are a context manager: with Workers(2) as workers: …")
        return list(self._pool.map(function, *arguments))

    def loss_and_gradients(
        self,
        params: Params,
        config: ModelConfig,
        tokens: Ints,
        targets: Ints,
        *,
        n_micro: int = 1,
        ops: Ops = FAST,
        recompute: bool = False,
    ) -> tuple[float, Params]:
        """`loss_and_gradients`, every thread with its part of the sequences.

        Parameters
        ----------
        n_micro : int
            Each thread takes its sequences in so many parts, one after the other, and adds up
            their gradients: the memory of a part, the result of the whole batch.
        """
        _check(tokens, targets)
        tokens, targets = as_tokens(tokens), np.atleast_2d(targets)
        n_counted = max(1, int((targets != IGNORED).sum()))
        shares = [share for share in np.array_split(np.arange(len(tokens)), self.n_threads) if share.size]

        def work(share: Ints) -> tuple[float, Params]:
            parts = np.array_split(share, min(n_micro, share.size))
            return _added(
                loss_and_gradients(
                    params, config, tokens[part], targets[part], ops=ops, recompute=recompute, n_counted=n_counted
                )
                for part in parts
            )

        return _added(self._map(work, shares))

    def evaluate(
        self, params: Params, config: ModelConfig, batches: Iterable[tuple[Ints, Ints]], *, ops: Ops = FAST
    ) -> tuple[float, int]:
        """`evaluate`, every batch by one of the threads."""
        found = self._map(lambda batch: loss_sum(params, config, *batch, ops=ops), batches)
        return sum(loss for loss, _ in found), sum(n for _, n in found)


def _added(found: Iterable[tuple[float, Params]]) -> tuple[float, Params]:
    """The sums of losses and of gradients, in the order in which they come."""
    parts = iter(found)
    loss, gradients = next(parts)
    for more_loss, more in parts:
        loss += more_loss
        add_gradients(gradients, more)
    return loss, gradients


def _single_threaded() -> None:
    """Kernels that a worker calls stay on its thread."""
    import numba

    numba.set_num_threads(1)
