"""Generation on token ids: a session that remembers, and the loop that samples from it.

Nothing here knows text; `llm.py` joins ids and text.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .config import ModelConfig
from .kv_cache import ContextFullError, KVCache
from .layers.rope import rope_table
from .model import as_tokens, forward_cached
from .ops import FAST, Ops
from .params import Params
from .sampling import Sampling, log_softmax, sample_fast

Float = NDArray[np.floating]
FinishReason = Literal["stop", "length", "context"]

# A long prompt goes in so many tokens at a time: bounded memory, and a place to interrupt.
PREFILL_CHUNK = 512

# Numba's simplest threading layer aborts the process when two threads launch kernels at once.
_ONE_AT_A_TIME = threading.RLock()


class _Rotations:
    """RoPE's table, grown by doubling as far as positions are used."""

    def __init__(self, config: ModelConfig, max_seq_len: int) -> None:
        self._config, self._max_seq_len = config, max_seq_len
        self.table = rope_table(config.head_dim, 0, config.rope_theta)

    def reach(self, n_positions: int) -> tuple[Float, Float]:
        if n_positions > len(self.table[0]):
            rows = min(self._max_seq_len, max(n_positions, 2 * len(self.table[0]), 256))
            self.table = rope_table(self._config.head_dim, rows, self._config.rope_theta)
        return self.table


class Session:
    """One sequence in a model: feed ids, read logits, go back.

    What generation, chat, benchmarks, evaluation and a learner's own loop all use:

        session = llm.session()
        session.feed(ids)                        # the prompt; logits of its last position
        while ...:
            session.step(int(session.logits.argmax()))

    Parameters
    ----------
    params : Params
    config : ModelConfig
    ops : Ops
    max_seq_len : int, optional
        A limit below or above the model's own.

    Attributes
    ----------
    tokens : list of int
        What the cache holds.
    logits : ndarray of shape (vocab_size,) or None
        Of the last position; None before the first feed and after `rewind`.
    """

    def __init__(self, params: Params, config: ModelConfig, ops: Ops = FAST, *, max_seq_len: int | None = None) -> None:
        self.params, self.config, self.ops = params, config, ops
        self.cache = KVCache(config, 1, max_seq_len)
        self.tokens: list[int] = []
        self.logits: Float | None = None
        self._rotations = _Rotations(config, self.cache.max_seq_len)

    @property
    def position(self) -> int:
        """Tokens in the cache; the position that the next one takes."""
        return len(self.tokens)

    @property
    def max_seq_len(self) -> int:
        return self.cache.max_seq_len

    def feed(self, ids: ArrayLike) -> Float:
        """Run tokens through the model and return the logits (vocab_size,) of the last.

        After an interrupt or an error `tokens` and the cache agree: they hold the chunks that
        were finished.

        Raises
        ------
        ContextFullError
            When the tokens do not fit; nothing is changed.
        ValueError
            When there are none, or ids outside the vocabulary; nothing is changed.
        """
        tokens = self._checked(ids)
        for first in range(0, tokens.size, PREFILL_CHUNK):
            self._run(tokens[first : first + PREFILL_CHUNK], all_logits=False)
        assert self.logits is not None
        return self.logits

    def feed_all(self, ids: ArrayLike) -> Float:
        """`feed`, but return the logits (T, vocab_size) of every token of `ids`."""
        tokens = self._checked(ids)
        chunks = [tokens[i : i + PREFILL_CHUNK] for i in range(0, tokens.size, PREFILL_CHUNK)]
        return np.concatenate([self._run(chunk, all_logits=True) for chunk in chunks])

    def step(self, token: int) -> Float:
        """Feed one token; `feed([token])`."""
        return self.feed([token])

    def rewind(self, position: int) -> None:
        """Forget the tokens from `position` on; feed something before reading `logits` again."""
        if not 0 <= position <= self.position:
            raise ValueError(f"cannot go back to {position}: the session is at {self.position}")
        if position < self.position:
            self.cache.truncate(position)
            del self.tokens[position:]
            self.logits = None

    def continue_with(self, ids: Sequence[int]) -> Float:
        """Make the session hold exactly `ids`, computing only what the cache does not have.

        Keeps the longest common beginning, forgets the rest and feeds what is missing: how a
        conversation keeps its cache from turn to turn.

        Returns
        -------
        logits : ndarray of shape (vocab_size,) of the last of `ids`
        """
        ids = list(ids)
        if len(ids) > self.max_seq_len:
            raise ContextFullError(
                f"the context holds {self.max_seq_len} tokens, the text has {len(ids)}; "
                "shorten it or start a new conversation"
            )
        shared = common_prefix(self.tokens, ids)
        if shared == len(ids) == self.position and self.logits is not None:
            return self.logits
        shared = min(shared, len(ids) - 1)  # at least one token must run for its logits
        self.rewind(max(shared, 0))
        return self.feed(ids[max(shared, 0) :])

    def _checked(self, ids: ArrayLike) -> NDArray[np.int64]:
        tokens = as_tokens(ids)
        if len(tokens) != 1:
            raise ValueError(f"a session holds one sequence, got {len(tokens)}; see generate_batch")
        low, high = int(tokens.min()), int(tokens.max())
        if low < 0 or high >= self.config.vocab_size:
            wrong = low if low < 0 else high
            raise ValueError(f"token ids must be in [0, {self.config.vocab_size}), got {wrong}")
        self.cache.reserve(tokens.size)
        return tokens[0]

    def _run(self, tokens: NDArray[np.int64], *, all_logits: bool) -> Float:
        position, logits_before = self.position, self.logits
        rope = self._rotations.reach(position + tokens.size)
        try:
            with _ONE_AT_A_TIME:
                logits = forward_cached(
                    self.params, self.config, tokens, self.cache, rope, self.ops, all_logits=all_logits
                )[0]
            self.tokens.extend(tokens.tolist())
            self.logits = logits[-1] if all_logits else logits
        except BaseException:  # an interrupt can come between any two of these lines
            self.cache.lengths[0] = position
            del self.tokens[position:]
            self.logits = logits_before
            raise
        return logits


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many tokens `a` and `b` have in common at their beginning."""
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n


@dataclass(frozen=True)
class GeneratedToken:
    """One step of generation.

    Attributes
    ----------
    id : int
    logprob : float
        log p of the token under the model itself: temperature and filters do not enter.
    """

    id: int
    logprob: float


class TokenStream:
    """Iterator over the tokens that follow what a session holds.

    The last token that was yielded is not in the session's cache yet; it is fed when the next
    one is asked for. Breaking off at any point, an interrupt included, leaves a session that
    can go on.

    Attributes
    ----------
    finish_reason : "stop", "length", "context" or None
        A stop id came (it is not yielded); `max_tokens` were yielded; the context is full.
        None while tokens come.
    """

    def __init__(
        self,
        session: Session,
        sampling: Sampling,
        rng: np.random.Generator,
        *,
        max_tokens: int | None,
        stop_ids: frozenset[int] = frozenset(),
    ) -> None:
        if session.logits is None:
            raise ValueError("feed the session a prompt before generating from it")
        if max_tokens is not None and max_tokens < 0:
            raise ValueError(f"max_tokens must be 0 or more, got {max_tokens}")
        self.session, self.sampling, self.rng = session, sampling, rng
        self.max_tokens, self.stop_ids = max_tokens, stop_ids
        self.finish_reason: FinishReason | None = None
        self.ids: list[int] = []
        self._start = session.position

    def __iter__(self) -> Iterator[GeneratedToken]:
        return self

    def __next__(self) -> GeneratedToken:
        if self.finish_reason is None and self.max_tokens is not None and len(self.ids) >= self.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is None and self.session.position < self._start + len(self.ids):
            self._feed_last()
        if self.finish_reason is not None:
            raise StopIteration
        logits = self.session.logits
        assert logits is not None
        token = sample_fast(logits, self.sampling, self.rng, self.session.tokens)
        if token in self.stop_ids:
            self.finish_reason = "stop"
            raise StopIteration
        self.ids.append(token)
        return GeneratedToken(token, _logprob(logits, token))

    def _feed_last(self) -> None:
        try:
            self.session.step(self.ids[-1])
        except ContextFullError:
            self.finish_reason = "context"


def _logprob(logits: Float, token: int) -> float:
    largest = logits.max()
    return float(logits[token] - largest - np.log(np.exp(logits - largest).sum(dtype=np.float64)))


@dataclass(frozen=True)
class GeneratedSequence:
    """The continuation of one prompt of a batch."""

    ids: list[int]
    logprobs: list[float]
    finish_reason: FinishReason


def generate_batch(
    params: Params,
    config: ModelConfig,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    max_tokens: int,
    stop_ids: frozenset[int] = frozenset(),
    seed: int = 0,
    ops: Ops = FAST,
) -> list[GeneratedSequence]:
    """Continue several prompts of any lengths together, one pass over the weights a step.

    Row b draws from its own generator, `default_rng(seed + b)`: it gives the tokens that it
    would give alone with that seed. Rows that have ended leave the batch.

    Parameters
    ----------
    prompts : sequence of sequences of int
    max_tokens : int
        For each row; a row also ends at the end of the context.

    Returns
    -------
    list of GeneratedSequence, in the order of the prompts

    Raises
    ------
    ContextFullError
        When a prompt is longer than the context.
    ValueError
        When a prompt is empty or has ids outside the vocabulary.
    """
    if not prompts:
        return []
    cache = KVCache(config, len(prompts))
    rotations = _Rotations(config, config.max_seq_len)
    cache.reserve(max(len(prompt) for prompt in prompts))
    logits = []
    for b, prompt in enumerate(prompts):
        ids, row, rope = as_tokens(prompt), cache.row(b), rotations.reach(len(prompt))
        for first in range(0, ids.size, PREFILL_CHUNK):
            with _ONE_AT_A_TIME:
                last = forward_cached(params, config, ids[:, first : first + PREFILL_CHUNK], row, rope, ops)
        logits.append(last[0])
    rows = [_Row(np.random.default_rng(seed + b), list(prompt)) for b, prompt in enumerate(prompts)]
    active, now = rows, np.stack(logits)
    while True:
        for row_state, row_logits in zip(active, now):
            row_state.draw(row_logits, sampling, max_tokens, stop_ids, config.max_seq_len)
        going = np.array([i for i, row_state in enumerate(active) if row_state.finish_reason is None], np.intp)
        if going.size == 0:
            return [GeneratedSequence(r.ids, r.logprobs, r.finish_reason or "length") for r in rows]
        if going.size < len(active):
            cache.keep_rows(going)
            active = [active[i] for i in going]
        tokens = np.array([[r.ids[-1]] for r in active], np.int64)
        with _ONE_AT_A_TIME:
            rope = rotations.reach(int(cache.lengths.max()) + 1)
            now = forward_cached(params, config, tokens, cache, rope, ops)


class _Row:
    """The state of one sequence of a batch."""

    def __init__(self, rng: np.random.Generator, prompt: list[int]) -> None:
        self.rng, self.prompt = rng, prompt
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.finish_reason: FinishReason | None = None

    def draw(
        self, logits: Float, sampling: Sampling, max_tokens: int, stop_ids: frozenset[int], max_seq_len: int
    ) -> None:
        """Choose the next token, and note why it is the last or why there is none."""
        if max_tokens > 0:
            token = sample_fast(logits, sampling, self.rng, self.prompt + self.ids)
            if token in stop_ids:
                self.finish_reason = "stop"
                return
            self.ids.append(token)
            self.logprobs.append(_logprob(logits, token))
        if len(self.ids) >= max_tokens:
            self.finish_reason = "length"
        elif len(self.prompt) + len(self.ids) > max_seq_len:
            self.finish_reason = "context"


def sequence_logprobs(session: Session, context: Sequence[int], continuation: Sequence[int]) -> NDArray[np.float64]:
    """log p of every token of `continuation` after `context`, (len(continuation),).

    Raises
    ------
    ValueError
        When the context is empty: the first token would have nothing to follow.
    """
    if not len(context):
        raise ValueError("the context is empty: give at least one token, such as BOS")
    if not len(continuation):
        return np.zeros(0)
    ids = [*context, *continuation]
    first = len(context) - 1
    session.rewind(min(common_prefix(session.tokens, ids[:first]), first))
    if first > session.position:
        session.feed(ids[session.position : first])
    logits = session.feed_all(ids[first:-1])  # position t predicts token t + 1
    return log_softmax(logits)[np.arange(len(continuation)), list(continuation)]
