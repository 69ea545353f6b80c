"""Generation on token ids: the loop that samples, for one sequence and for a batch.

Nothing here knows text; `llm.py` joins ids and text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from ..compute.array_types import Float
from ..kv_cache import ContextFullError, KVCache
from ..model import checked_ids
from .arguments import random_seed, token_limit
from .runner import Ids, Runner
from .sampling import Sampling, sample_rows
from .sampling_kernels import Drawn
from .session import PREFILL_CHUNK, Session, SessionInUseError

FinishReason = Literal["stop", "length", "context"]


@dataclass(frozen=True)
class GeneratedToken:
    """One step of generation.

    Attributes
    ----------
    id : int
    logprob : float
        log p of the token under the model itself: temperature and filters do not enter.
    sampled_logprob : float
        log p of the token under the distribution that it was drawn from: at the temperature, with the repetition
        penalty, over the tokens that the filters left (they add up to 1). Without penalty and filters that is
        `sequence_logprobs(..., temperature=T)`, the denominator of PPO's ratio. 0 when greedy: nothing is drawn.
    """

    id: int
    logprob: float
    sampled_logprob: float


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
        if self.finish_reason is None and self.max_tokens is not None and len(self.ids) >= self.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is None and self.session.position < self._start + len(self.ids):
            self._feed_last()
        if self.finish_reason is not None:
            raise StopIteration
        token = self._draw()
        if token.id in self.stop_ids:
            self.finish_reason = "stop"
            if not self.keep_stop:
                raise StopIteration
        self.ids.append(token.id)
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


def tokens_of(drawn: Drawn) -> list[GeneratedToken]:
    """One for each row."""
    return [GeneratedToken(*token) for token in zip(*(column.tolist() for column in drawn))]


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
) -> list[GeneratedSequence]:
    """Continue several prompts of any lengths together, one pass over the weights a step.

    Row b draws from its own generator, `default_rng(seed + b)`: it gives the tokens that it
    would give alone with that seed. Rows that have ended leave the batch.

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
    config, limit, seed = runner.config, token_limit(max_tokens), random_seed(seed)
    if not prompts:
        return []
    if limit is None:
        limit = config.max_seq_len + 1  # more than any row has room for
    checked = [_checked_prompt(b, prompt, config.vocab_size) for b, prompt in enumerate(prompts)]
    cache = KVCache(config, len(checked), dtype=kv_dtype)
    cache.reserve(max(ids.shape[1] for ids in checked))  # for all, since a row cannot grow by itself
    now = np.concatenate([_feed_row(runner, ids, cache.row(b)) for b, ids in enumerate(checked)])
    seeds = [None if seed is None else seed + b for b in range(len(checked))]
    rows = [_Row(np.random.default_rng(own), ids[0].tolist()) for own, ids in zip(seeds, checked)]
    active = rows
    while True:
        if limit > 0:
            rngs, histories = [row.rng for row in active], [row.history for row in active]
            drawn = sample_rows(now, sampling, rngs, histories, n_ids=n_ids, stop_ids=stop_ids)
            for row, token in zip(active, tokens_of(drawn)):
                row.take(token, stop_ids, keep_stop)
        for row in active:
            row.check_length(limit, config.max_seq_len)
        going = np.array([i for i, row in enumerate(active) if row.finish_reason is None], np.intp)
        if going.size == 0:
            return [row.sequence() for row in rows]
        if going.size < len(active):
            cache.keep_rows(going)
            active = [active[i] for i in going]
        now = runner.extend(np.array([[row.history[-1]] for row in active], np.int64), cache)


def _checked_prompt(number: int, prompt: Sequence[int], vocab_size: int) -> Ids:
    ids = checked_ids(prompt, vocab_size)
    if len(ids) != 1:
        raise ValueError(f"a prompt is one sequence of token ids, prompt {number} is {len(ids)}")
    return ids


def _feed_row(runner: Runner, ids: Ids, row: KVCache) -> Float:
    """The logits (1, vocab_size) after a prompt (1, T), as a session would feed it."""
    for first in range(0, ids.shape[1], PREFILL_CHUNK):
        logits = runner.extend(ids[:, first : first + PREFILL_CHUNK], row)
    return logits


class _Row:
    """The state of one sequence of a batch."""

    def __init__(self, rng: np.random.Generator, prompt: list[int]) -> None:
        self.rng, self.history = rng, list(prompt)
        self.tokens: list[GeneratedToken] = []
        self.finish_reason: FinishReason | None = None

    def take(self, token: GeneratedToken, stop_ids: frozenset[int], keep_stop: bool) -> None:
        """Note the token that was drawn."""
        if token.id in stop_ids:
            self.finish_reason = "stop"
        if token.id not in stop_ids or keep_stop:
            self.tokens.append(token)
            self.history.append(token.id)

    def check_length(self, max_tokens: int, max_seq_len: int) -> None:
        """Note why no token comes after this one, if it did not end the text itself."""
        if self.finish_reason is not None:
            return
        if len(self.tokens) >= max_tokens:
            self.finish_reason = "length"
        elif len(self.history) > max_seq_len:
            self.finish_reason = "context"

    def sequence(self) -> GeneratedSequence:
        return GeneratedSequence(
            ids=[token.id for token in self.tokens],
            logprobs=[token.logprob for token in self.tokens],
            sampled_logprobs=[token.sampled_logprob for token in self.tokens],
            finish_reason=self.finish_reason or "length",
        )
