"""One sequence in a model: a cache that remembers, and the logits of its last position."""

from __future__ import annotations

import operator
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..compute.array_types import Float
from ..kv_cache import ContextFullError, KVCache
from ..layers.embedding import unknown_id
from ..model import checked_ids
from .arguments import whole_number
from .logprobs import checked_temperature, logprobs_of
from .runner import Ids, Runner

# A long prompt goes in this many tokens at a time: bounded memory, and a place to interrupt.
PREFILL_CHUNK = 512


class SessionInUseError(RuntimeError):
    """Two answers, or two threads, want one session at the same time: their tokens would be mixed."""

    def __init__(self) -> None:
        super().__init__(
            "the session is in use: another answer, or another thread, feeds it at the same time; "
            "give each a session of its own (llm.session())"
        )


class Held:
    """What a thread enters while it works on a session; a second one is refused, not kept waiting."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            raise SessionInUseError

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Held], tuple[()]]:
        """A copy of a session, pickled or deep, is nobody's yet."""
        return Held, ()


class Session:
    """One sequence in a model: feed ids, read logits, go back.

    What generation, chat, benchmarks, evaluation and a learner's own loop all use:

        session = llm.session()
        session.feed(ids)                        # the prompt; logits of its last position
        while ...:
            session.step(int(session.logits.argmax()))

    It belongs to one answer at a time: a second thread gets SessionInUseError, and so does an answer that
    goes on after something else has fed or rewound its session.

    Parameters
    ----------
    runner : Runner
        What runs the model; `runner_for(params, config)` chooses one.
    max_seq_len : int, optional
        A limit below or above the model's own.
    kv_dtype : numpy dtype
        What keys and values are kept in; float16 takes half the memory, and half the time to
        read it, and rounds them to 11 bits.

    Attributes
    ----------
    tokens : list of int
        What the cache holds.
    logits : ndarray of shape (vocab_size,) or None
        Of the last position; None before the first feed and after `rewind`.
    reused : int
        Tokens of the last `continue_with` that the cache had already.
    changes : int
        How often something was fed or forgotten.
    held : context manager
        Enter it to do several things that no other thread may come between.
    """

    def __init__(self, runner: Runner, *, max_seq_len: int | None = None, kv_dtype: DTypeLike = np.float32) -> None:
        if max_seq_len is not None:
            max_seq_len = whole_number("max_seq_len", max_seq_len, "a whole number, 1 or more", least=1)
        self.runner = runner
        self.cache = KVCache(runner.config, 1, max_seq_len, kv_dtype)
        self.tokens: list[int] = []
        self.logits: Float | None = None
        self.reused = 0
        self.changes = 0
        self.held = Held()

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
            When there are no tokens, or ids outside the vocabulary; nothing is changed.
        """
        with self.held:
            for chunk in self._chunks(ids):
                logits = self._extend(chunk)
        return logits

    def feed_all(self, ids: ArrayLike) -> Float:
        """`feed`, but return the logits (T, vocab_size) of every token of `ids`."""
        with self.held:
            return np.concatenate([self._extend(chunk, all_logits=True) for chunk in self._chunks(ids)])

    def step(self, token: int) -> Float:
        """Feed one token; `feed([token])`, with less to do around a small model's kernel."""
        token, vocab_size = operator.index(token), self.runner.config.vocab_size
        if not 0 <= token < vocab_size:
            raise unknown_id(token, vocab_size)
        with self.held:
            return self._extend(np.array([[token]], np.int64))

    def rewind(self, position: int) -> None:
        """Forget the tokens from `position` on; feed something before reading `logits` again."""
        position = operator.index(position)
        with self.held:
            if not 0 <= position <= self.position:
                raise ValueError(f"cannot go back to {position}: the session is at {self.position}")
            if position < self.position:
                self.changes += 1
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
        with self.held:
            shared = common_prefix(self.tokens, ids)
            if shared == len(ids) == self.position and self.logits is not None:
                self.reused = shared
                return self.logits
            self.reused = max(min(shared, len(ids) - 1), 0)  # at least one token must run for its logits
            self.rewind(self.reused)
            return self.feed(ids[self.reused :])

    def _chunks(self, ids: ArrayLike) -> list[Ids]:
        """Check ids, and cut them into pieces (1, T) for the runner."""
        checked = checked_ids(ids, self.runner.config.vocab_size)
        if len(checked) != 1:
            raise ValueError(f"a session holds one sequence, got {len(checked)}; see generate_batch")
        n_tokens = checked.shape[1]
        if n_tokens > PREFILL_CHUNK:
            self.cache.reserve(n_tokens)  # refuse what does not fit before the first piece runs
        return [checked[:, first : first + PREFILL_CHUNK] for first in range(0, n_tokens, PREFILL_CHUNK)]

    def _extend(self, ids: Ids, *, all_logits: bool = False) -> Float:
        """Run ids (1, T) and record them; after an interrupt at any point nothing has happened.

        Returns (vocab_size,), or (T, vocab_size) with `all_logits`.
        """
        position, logits_before, changes = self.position, self.logits, self.changes
        try:
            logits: Float = self.runner.extend(ids, self.cache, all_logits=all_logits)[0]
            self.tokens.extend(ids[0].tolist())
            self.logits = logits[-1] if all_logits else logits
            self.changes += 1
        except BaseException:  # an interrupt can come between any two of these lines
            self.cache.truncate(position)
            del self.tokens[position:]
            self.logits, self.changes = logits_before, changes
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


def sequence_logprobs(
    session: Session, context: Sequence[int], continuation: Sequence[int], *, temperature: float = 1.0
) -> NDArray[np.float64]:
    """log p of every token of `continuation` after `context`, (len(continuation),).

    Parameters
    ----------
    temperature : float
        Above 0. Logits are divided by it, as in sampling without filters; 1 is the model itself.

    Raises
    ------
    ValueError
        When the context is empty: the first token would have nothing to follow. When the continuation is: the sum
        of no log-probabilities is 0, more than that of any answer. When there are ids outside the vocabulary.
        When the temperature is not above 0.
    """
    temperature = checked_temperature(temperature)
    if not len(context):
        raise ValueError("the context is empty: give at least one token, such as BOS")
    if not len(continuation):
        raise ValueError("the continuation is empty: give at least one token whose probability is wanted")
    ids = checked_ids([*context, *continuation], session.runner.config.vocab_size)[0].tolist()
    first = len(context) - 1
    with session.held:
        session.rewind(min(common_prefix(session.tokens, ids[:first]), first))
        if first > session.position:
            session.feed(ids[session.position : first])
        logits = session.feed_all(ids[first:-1])  # position t predicts token t + 1
    return logprobs_of(logits, ids[first + 1 :], temperature)
