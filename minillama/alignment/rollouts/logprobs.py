"""How probable a model holds the answers, token by token, by the arithmetic of training.

    log p(y_t | x, y_<t) = z[y_t] / τ - log sum_j exp(z_j / τ)              z: logits, τ: the sampling temperature
    H_t                  = - sum_j p_j log p_j = -log p(y_t) - sum_j (p_j - [j = y_t]) z_j / τ

Policy-gradient methods compare these numbers with those of later weights, so they are to come from the same functions
as the update: a sampler that multiplies in another order, or in integers, has others, and ratios would not begin at 1.

Conversations of like length go through side by side, padded at the right, where nothing sees the padding. Only the
tokens of answers meet the output head. How parts are cut does not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...compute.array_types import Float, Ints
from ...config import ModelConfig
from ...inference.logprobs import checked_temperature
from ...layers.cross_entropy import IGNORED, losses_in_place
from ...model import backbone_forward, output_head
from ...ops import FAST, Ops
from ...params import Params
from ...training.gradients import row_chunks
from ...training.workers import Workers
from ..conversations import Conversation, answers_learned, rows_of

_PART = 4096  # tokens of a part, padding included


def answer_logprobs(
    params: Params,
    config: ModelConfig,
    conversations: Sequence[Conversation],
    temperature: float = 1.0,
    *,
    threads: int | None = None,
    ops: Ops = FAST,
) -> list[Float]:
    """Log-probabilities of the tokens of every conversation's answers.

    Parameters
    ----------
    params : Params
        Plain float arrays; float64 gives float64.
    config : ModelConfig
    conversations : sequence of Conversation
        `answered(answer.prompt, answer.ids)` is that of a sampled answer.
    temperature : float
        Above 0: the logits are divided by it. That of sampling gives the probabilities that were drawn from.
    threads : int, optional
        All cores by default.

    Returns
    -------
    list of ndarray of shape (tokens of its answers,)
        In the order of the conversations, of the dtype of the parameters.

    Raises
    ------
    ValueError
        When a conversation has no token before its answer or is longer than the context, or the temperature is not
        above 0.
    """
    return [logprobs for logprobs, _ in _of_answers(params, config, conversations, temperature, threads, ops)]


def answer_logprobs_and_entropies(
    params: Params,
    config: ModelConfig,
    conversations: Sequence[Conversation],
    temperature: float = 1.0,
    *,
    threads: int | None = None,
    ops: Ops = FAST,
) -> tuple[list[Float], list[Float]]:
    """`answer_logprobs`, and the entropy in nats of the distribution that each of these tokens was drawn from."""
    found = _of_answers(params, config, conversations, temperature, threads, ops, entropies=True)
    return [logprobs for logprobs, _ in found], [entropies for _, entropies in found]


def _of_answers(
    params: Params,
    config: ModelConfig,
    conversations: Sequence[Conversation],
    temperature: float,
    threads: int | None,
    ops: Ops,
    *,
    entropies: bool = False,
) -> list[tuple[Float, Float]]:
    """Log-probabilities and entropies, the latter empty where they are not asked for."""
    temperature = checked_temperature(temperature)
    parts = list(_parts(conversations))

    def work(part: list[int]) -> list[tuple[Float, Float]]:
        return _of_part(params, config, [conversations[i] for i in part], temperature, ops, entropies)

    with Workers(threads) as workers:
        found = dict(
            zip((i for part in parts for i in part), (one for part in workers.map(work, parts) for one in part))
        )
    return [found[i] for i in range(len(conversations))]


def _parts(conversations: Sequence[Conversation]) -> Iterator[list[int]]:
    """Numbers of conversations of like length, together about _PART tokens."""
    part: list[int] = []
    for i in sorted(range(len(conversations)), key=lambda i: len(conversations[i].ids)):
        if part and (len(part) + 1) * len(conversations[i].ids) > _PART:
            yield part
            part = []
        part.append(i)
    if part:
        yield part


def _of_part(
    params: Params,
    config: ModelConfig,
    conversations: list[Conversation],
    temperature: float,
    ops: Ops,
    entropies: bool,
) -> list[tuple[Float, Float]]:
    batch = rows_of([answers_learned(conversation) for conversation in conversations])
    flat = batch.targets.reshape(-1)
    learned = np.flatnonzero(flat != IGNORED)
    logprobs, spread = logprobs_of_rows(
        params, config, batch.tokens, learned, flat[learned], temperature, ops, entropies=entropies
    )
    ends = np.cumsum(np.count_nonzero(batch.targets != IGNORED, axis=1))[:-1]
    split = np.split(logprobs, ends)
    return list(zip(split, np.split(spread, ends) if entropies else [spread] * len(split)))


def logprobs_of_rows(
    params: Params,
    config: ModelConfig,
    tokens: Ints,
    learned: Ints,
    targets: Ints,
    temperature: float,
    ops: Ops = FAST,
    *,
    entropies: bool = False,
) -> tuple[Float, Float]:
    """What `sums_and_gradients` computes on its way, to the last bit where the rows are the same.

    Parameters
    ----------
    tokens : integer ndarray of shape (B, T)
    learned : integer ndarray of shape (n,)
        Places of the flattened rows, in ascending order.
    targets : integer ndarray of shape (n,)
        What follows each of them.

    Returns
    -------
    logprobs : ndarray of shape (n,)
        Of the targets.
    entropies : ndarray of shape (n,)
        Empty where they are not asked for.
    """
    h, _ = backbone_forward(params, config, tokens, ops, recompute=True)
    h_learned, head = h.reshape(-1, h.shape[-1])[learned], output_head(params)
    logprobs = np.empty(len(learned), h.dtype)
    spread = np.empty(len(learned) if entropies else 0, h.dtype)
    for rows in row_chunks(len(learned), config.vocab_size):
        logits, _ = ops.linear_forward(h_learned[rows], head)
        logits /= logits.dtype.type(temperature)
        before = logits.copy() if entropies else None
        logprobs[rows] = -losses_in_place(logits, targets[rows])
        if before is not None:  # logits are p - onehot now
            spread[rows] = -logprobs[rows] - np.einsum("nv,nv->n", logits, before)
    return logprobs, spread
