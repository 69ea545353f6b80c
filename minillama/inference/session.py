"""One sequence in a model: a cache that remembers, and the logits of its last position."""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..compute.threads import one_blas_thread
from ..config import ModelConfig
from ..kv_cache import ContextFullError, KVCache
from ..layers.rope import rope_table
from ..model import as_tokens, forward_cached, output_head
from ..ops import FAST, Ops
from ..params import Params
from ..quantization.repacked import InterleavedArray
from .fused import Decoder, Interleaved
from .sampling import log_softmax

Float = NDArray[np.floating]

# A long prompt goes in so many tokens at a time: bounded memory, and a place to interrupt.
PREFILL_CHUNK = 512

# Up to so many tokens are decoded one by one: the layers as separate calls have not paid for themselves yet.
_FEW_TOKENS = 6

# Numba's simplest threading layer aborts the process when two threads launch kernels at once.
ONE_AT_A_TIME = threading.RLock()


class RopeTable:
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
    interleaved : Interleaved, optional
        The same model rearranged for speed (fused.py). Only together with the untouched
        table FAST: with any other, `params` and `ops` alone decide what runs.
    kv_dtype : numpy dtype
        What keys and values are kept in; float16 takes half the memory, and half the time to
        read it, and rounds them to 11 bits.

    Attributes
    ----------
    tokens : list of int
        What the cache holds.
    logits : ndarray of shape (vocab_size,) or None
        Of the last position; None before the first feed and after `rewind`.
    """

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        ops: Ops = FAST,
        *,
        max_seq_len: int | None = None,
        interleaved: Interleaved | None = None,
        kv_dtype: DTypeLike = np.float32,
    ) -> None:
        if interleaved is not None and ops != FAST:
            raise ValueError("an interleaved model runs with the table FAST as it is")
        self.params, self.config, self.ops = params, config, ops
        self._fast_params = params if interleaved is None else interleaved.params
        self._decoder = None if interleaved is None else Decoder(interleaved, config)
        head = output_head(self._fast_params)
        self._in_integers = isinstance(head, InterleavedArray) and head.beats_blas
        self.cache = KVCache(config, 1, max_seq_len, kv_dtype)
        self.tokens: list[int] = []
        self.logits: Float | None = None
        self._rotations = RopeTable(config, self.cache.max_seq_len)

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
        """Feed one token; `feed([token])`, with less to do around a small model's kernel."""
        if self._decoder is None:
            return self.feed([token])
        token = operator.index(token)
        if not 0 <= token < self.config.vocab_size:
            raise ValueError(f"token ids must be in [0, {self.config.vocab_size}), got {token}")
        self.cache.reserve(1)
        return self._guarded([token], self._decode, token)

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
        if self._decoder is not None and tokens.size <= _FEW_TOKENS:
            logits = self._guarded(tokens.tolist(), self._decode_each, tokens)
            return logits if all_logits else logits[-1]
        return self._guarded(tokens.tolist(), self._forward, tokens, all_logits)

    def _forward(self, tokens: NDArray[np.int64], all_logits: bool) -> Float:
        """Several tokens through the layers: (vocab_size,), or (T, vocab_size) with `all_logits`."""
        rope = self._rotations.reach(self.position + tokens.size)
        with one_blas_thread() if self._in_integers else nullcontext():
            return forward_cached(
                self._fast_params, self.config, tokens, self.cache, rope, self.ops, all_logits=all_logits
            )[0]

    def _decode_each(self, tokens: NDArray[np.int64]) -> Float:
        """A few tokens, one after the other: (T, vocab_size)."""
        return np.stack([self._decode(int(token)) for token in tokens])

    def _decode(self, token: int) -> Float:
        """One token through the fused kernel."""
        assert self._decoder is not None
        logits = self._decoder.step(token, self.cache, self._rotations.reach(self.position + 1))
        self.cache.lengths += 1
        return logits

    def _guarded(self, tokens: list[int], run: Callable[..., Float], *args: Any) -> Float:
        """Run, and record the tokens; after an interrupt at any point nothing has happened."""
        position, logits_before = self.position, self.logits
        try:
            with ONE_AT_A_TIME:
                logits = run(*args)
            self.tokens.extend(tokens)
            self.logits = logits if logits.ndim == 1 else logits[-1]
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
