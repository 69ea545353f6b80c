"""Generation on token ids: the loop that samples, for one sequence and for a batch.

Nothing here knows text; `llm.py` joins ids and text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ..kv_cache import ContextFullError
from .arguments import random_seed, token_limit, whole_number
from .batch import Batch
from .runner import Runner
from .sampling import Sampling, sample_rows
from .session import Session, SessionInUseError
from .tokens import FinishReason, GeneratedToken, tokens_of


class TokenStream:
    """Iterator over the tokens that follow what a session holds.

    The last token that was yielded is not in the session's cache yet; it is fed when the next
    one is asked for. Breaking off at any point, an interrupt included, leaves a session that
    can continue.

    Attributes
    ----------
    finish_reason : "stop", "length", "context" or None
        A stop id came (it is not yielded, unless `keep_stop`); `max_tokens` were yielded; the context is full.
        None while tokens come.

    Parameters
    ----------
    keep_stop : bool
        Yield the stop id, too, as the last token: what an objective over whole answers needs.
    n_ids : int, optional
        The tokens that the tokenizer has: rows of a padded vocabulary from there on are never chosen,
        stop ids among them excepted.

    Raises
    ------
    SessionInUseError
        From `next`, when something else uses the session, or has fed or rewound it since.
    """

    def __init__(
        self,
        session: Session,
        sampling: Sampling,
        rng: np.random.Generator,
        *,
        max_tokens: int | None,
        stop_ids: frozenset[int] = frozenset(),
        n_ids: int | None = None,
        keep_stop: bool = False,
    ) -> None:
        if session.logits is None:
            raise ValueError("feed the session a prompt before generating from it")
        self.session, self.sampling, self.rng = session, sampling, rng
        self.max_tokens, self.stop_ids, self._n_ids = token_limit(max_tokens), stop_ids, n_ids
        self.keep_stop = keep_stop
        self.finish_reason: FinishReason | None = None
        self.ids: list[int] = []
        self._start, self._changes = session.position, session.changes

    def __iter__(self) -> Iterator[GeneratedToken]:
        return self

    def __next__(self) -> GeneratedToken:
        if self.finish_reason is not None:
            raise StopIteration
        with self.session.held:
            self._check_session()
            return self._next()

    def _check_session(self) -> None:
        """Nobody else has fed or rewound the session: it holds the tokens of this answer, maybe but the last."""
        session, n_ids = self.session, len(self.ids)
        n_fed = session.position - self._start
        alone = session.changes - self._changes == n_fed and n_ids - 1 <= n_fed <= n_ids
        if not alone or (0 < n_ids == n_fed and session.tokens[-1] != self.ids[-1]):
            raise SessionInUseError

    def _next(self) -> GeneratedToken:
        if self.ids and self.ids[-1] in self.stop_ids:  # kept, and interrupted right after
            self.finish_reason = "stop"
        if self.finish_reason is None and self.max_tokens is not None and len(self.ids) >= self.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is None and self.session.position < self._start + len(self.ids):
            self._feed_last()
        if self.finish_reason is not None:
            raise StopIteration
        token = self._draw()
        is_stop = token.id in self.stop_ids
        if not is_stop or self.keep_stop:
            self.ids.append(token.id)
        if is_stop:
            self.finish_reason = "stop"
            if not self.keep_stop:
                raise StopIteration
        return token

    def _draw(self) -> GeneratedToken:
        logits, history = self.session.logits, self.session.tokens
        assert logits is not None
        rows, rngs, histories = logits[None], (self.rng,), (history,)
        drawn = sample_rows(rows, self.sampling, rngs, histories, n_ids=self._n_ids, stop_ids=self.stop_ids)
        return tokens_of(drawn)[0]

    def _feed_last(self) -> None:
        try:
            self.session.step(self.ids[-1])
        except ContextFullError:
            self.finish_reason = "context"


@dataclass(frozen=True)
class GeneratedSequence:
    """The continuation of one prompt of a batch; log-probabilities as in `GeneratedToken`."""

    ids: list[int]
    logprobs: list[float]
    sampled_logprobs: list[float]
    finish_reason: FinishReason


def generate_batch(
    runner: Runner,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_tokens: int | None,
    stop_ids: frozenset[int] = frozenset(),
    n_ids: int | None = None,
    keep_stop: bool = False,
    seed: int | None = 0,
    kv_dtype: DTypeLike = np.float32,
    max_rows: int = 64,
) -> list[GeneratedSequence]:
    """Continue several prompts of any lengths together, one pass over the weights a step.

    Row b draws from its own generator, `default_rng(seed + b)`: it gives the tokens that it
    would give alone with that seed. Rows that have ended leave the batch, and prompts that
    wait take their places. What prompts have in common is computed, and kept, once: see `Batch`.

    Parameters
    ----------
    runner : Runner
        What runs the model; `runner_for(params, config)` chooses one.
    prompts : sequence of sequences of int
    max_tokens : int or None
        For each row; a row also ends at the end of the context, with None only there.
    seed : int or None
        None gives other texts each time.
    kv_dtype : numpy dtype
        See `Session`.
    n_ids, keep_stop
        As in `TokenStream`.
    max_rows : int
        Rows under way at once.

    Returns
    -------
    list of GeneratedSequence, in the order of the prompts

    Raises
    ------
    ContextFullError
        When a prompt is longer than the context.
    ValueError
        When a prompt is empty or has ids outside the vocabulary; nothing has run then.
    """
    seed = random_seed(seed)
    most = whole_number("max_rows", max_rows, "a whole number, 1 or more", least=1)
    batch = Batch(
        runner,
        sampling,
        max_tokens=max_tokens,
        stop_ids=stop_ids,
        n_ids=n_ids,
        keep_stop=keep_stop,
        kv_dtype=kv_dtype,
        max_rows=min(most, max(1, len(prompts))),
    )
    rows = batch.add(prompts, [None if seed is None else seed + b for b in range(len(prompts))])
    while batch:
        batch.step()
    return [
        GeneratedSequence(row.ids, row.logprobs, row.sampled_logprobs, row.finish_reason or "length") for row in rows
    ]
