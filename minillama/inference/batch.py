"""Many sequences at once: each joins when there is a place for it, and leaves when it ends.

    batch = Batch(runner, sampling, max_tokens=256, max_rows=64)
    rows = batch.add(prompts, seeds)
    while batch:
        for row in batch.step():             # those that have ended
            ...                              # others may be added or removed here

A step is one pass over the weights for all sequences under way (*continuous batching*: Yu et al. 2022, "Orca").
Every row gives what it gives alone with its generator, whoever is beside it and whenever it came.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import DTypeLike

from ..compute.array_types import Float
from ..config import ModelConfig
from ..kv_cache import CacheRows, ContextFullError
from ..model import checked_ids
from .arguments import random_seed, token_limit, whole_number
from .prompts import Prompt, SharedPrompts, run_prompts
from .runner import Ids, Runner
from .sampling import Sampling, sample_rows
from .sampling_kernels import Drawn
from .session import Held
from .tokens import FinishReason, GeneratedToken, tokens_of


@dataclass(eq=False)
class BatchRow:
    """One sequence of a batch.

    Attributes
    ----------
    prompt : list of int
    tokens : list of GeneratedToken
        What followed.
    finish_reason : "stop", "length", "context" or None
        As in `TokenStream`; None while tokens come, and of a row that was removed.
    """

    prompt: list[int]
    tokens: list[GeneratedToken] = field(default_factory=list)
    finish_reason: FinishReason | None = None

    @property
    def ids(self) -> list[int]:
        return [token.id for token in self.tokens]

    @property
    def logprobs(self) -> list[float]:
        return [token.logprob for token in self.tokens]

    @property
    def sampled_logprobs(self) -> list[float]:
        return [token.sampled_logprob for token in self.tokens]

    @property
    def length(self) -> int:
        """Tokens of the prompt and after it."""
        return len(self.prompt) + len(self.tokens)


@dataclass(eq=False)
class _Member:
    """A row that waits or is under way, and what it needs for that."""

    row: BatchRow
    prompt: Prompt
    seed: np.random.SeedSequence
    rng: np.random.Generator
    logits: Float | None = None  # (1, vocab_size) after the prompt, until the first token is drawn


class Batch:
    """Sequences that are continued together.

    One thread at a time uses it; a second one gets SessionInUseError. After an interrupt, anywhere in a step, the
    next step goes on: no row has lost a token.

    Parameters
    ----------
    runner : Runner
        What runs the model; `runner_for(params, config)` chooses one.
    sampling : Sampling
    max_tokens : int or None
        For each row; a row also ends at the end of the context, with None only there.
    stop_ids, n_ids, keep_stop
        As in `TokenStream`.
    kv_dtype : numpy dtype
        See `Session`.
    max_rows : int
        Rows under way at once; others wait for a place. It bounds the memory for keys and values.
    share_beginnings : bool
        Keep once what prompts begin with in common. Where BLAS multiplies (`Runner.rows_alone`), it rounds such a
        beginning otherwise than the whole prompt: without sharing a row has the same bits whoever is beside it.
    """

    def __init__(
        self,
        runner: Runner,
        sampling: Sampling,
        *,
        max_tokens: int | None,
        stop_ids: frozenset[int] = frozenset(),
        n_ids: int | None = None,
        keep_stop: bool = False,
        kv_dtype: DTypeLike = np.float32,
        max_rows: int = 64,
        share_beginnings: bool = True,
    ) -> None:
        n_places = whole_number("max_rows", max_rows, "a whole number, 1 or more", least=1)
        limit = token_limit(max_tokens)
        self.runner, self.sampling, self.stop_ids, self.keep_stop = runner, sampling, stop_ids, keep_stop
        self.max_tokens = runner.config.max_seq_len + 1 if limit is None else limit  # more than there is room for
        self.held = Held()
        self.caches = CacheRows(n_places)
        self._n_ids, self._kv_dtype = n_ids, kv_dtype
        self._prompts = SharedPrompts(beginnings=share_beginnings)
        self._waiting: deque[_Member] = deque()
        self._members: list[_Member | None] = [None] * n_places
        self._last = np.zeros(n_places, np.int64)  # the last of each row
        self._left = np.zeros(n_places, np.int64)  # tokens that each may still have
        self._is_stop = np.zeros(runner.config.vocab_size, np.bool_)
        self._is_stop[[i for i in stop_ids if i < len(self._is_stop)]] = True
        self._is_whole = True  # whether the last step came to its end

    def __len__(self) -> int:
        """Rows that wait or are under way."""
        return len(self._waiting) + len(self._members) - self._members.count(None)

    def add(self, prompts: Sequence[Sequence[int]], seeds: Sequence[int | None]) -> list[BatchRow]:
        """Let sequences wait for a place, in this order.

        Given together, they share what they have in common.

        Parameters
        ----------
        prompts : sequence of sequences of int
        seeds : sequence of int or None
            Each row draws from its own generator, `default_rng(seed)`.

        Raises
        ------
        ContextFullError
            When a prompt is longer than the context; nothing is added.
        ValueError
            When a prompt is empty or has ids outside the vocabulary; nothing is added.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"each prompt takes a seed of its own: got {len(prompts)} prompts and {len(seeds)} seeds")
        checked = [_checked_prompt(b, prompt, self.runner.config) for b, prompt in enumerate(prompts)]
        sources = [np.random.SeedSequence(random_seed(seed)) for seed in seeds]
        rows = [BatchRow(ids[0].tolist()) for ids in checked]
        with self.held:
            if self.max_tokens == 0:
                for row in rows:
                    row.finish_reason = "length"
                return rows
            shared = self._prompts.add(checked)
            rngs = [np.random.default_rng(source) for source in sources]
            self._waiting.extend([_Member(*parts) for parts in zip(rows, shared, sources, rngs)])
        return rows

    def remove(self, row: BatchRow) -> None:
        """Let a row go before it has ended; nothing happens if it has."""
        with self.held:
            self._is_whole = False
            self._waiting = deque(member for member in self._waiting if member.row is not row)
            for place, member in enumerate(self._members):
                if member is not None and member.row is row:
                    self._free(place)

    def step(self) -> list[BatchRow]:
        """Give places to rows that wait, and every row under way a token more; returns the rows that have ended.

        An error, such as CacheOverflowError, leaves all rows as they were: the next step meets it again, until the
        row that it comes from is removed.
        """
        with self.held:
            ended = [] if self._is_whole else self._recover()
            self._is_whole = False
            self._admit()
            members = self._under_way()
            if members:
                ended += self._take(members, self._draw(members, self._feed(members)))
            self._is_whole = True
        return ended

    def _under_way(self) -> list[tuple[int, _Member]]:
        """Those that have a place, and it; first those that have just joined."""
        members = [(place, member) for place, member in enumerate(self._members) if member is not None]
        joined = [pair for pair in members if pair[1].logits is not None]
        return joined + [pair for pair in members if pair[1].logits is None] if joined else members

    def _admit(self) -> None:
        """Give free places to those that wait; their prompts run here."""
        joining = list(itertools.islice(self._waiting, self._members.count(None))) if self._waiting else []
        ready = run_prompts(self.runner, [member.prompt for member in joining], self._kv_dtype) if joining else []
        for member, (cache, logits) in zip(joining, ready):
            member.logits = logits
            place = self.caches.join(cache)
            self._left[place] = self._limit_of(member.row)
            self._members[place] = member
            self._waiting.popleft()

    def _limit_of(self, row: BatchRow) -> int:
        """Tokens that a row may have: the last one need not fit into the context, as it never runs."""
        return min(self.max_tokens, self.runner.config.max_seq_len + 1 - len(row.prompt))

    def _feed(self, members: list[tuple[int, _Member]]) -> Float:
        """The logits (B, vocab_size) after what every member has; the last token of those that have one runs here."""
        parts = [member.logits for _, member in members if member.logits is not None]
        going = np.array([place for place, member in members if member.logits is None], np.int64)
        if going.size:
            parts.append(self.runner.step_rows(self._last[going], self.caches, going))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _draw(self, members: list[tuple[int, _Member]], logits: Float) -> Drawn:
        """Choose the next token of every member."""
        rngs = [member.rng for _, member in members]
        penalized = self.sampling.repetition_penalty != 1
        histories = [member.row.prompt + member.row.ids for _, member in members] if penalized else []
        return sample_rows(logits, self.sampling, rngs, histories, n_ids=self._n_ids, stop_ids=self.stop_ids)

    def _take(self, members: list[tuple[int, _Member]], drawn: Drawn) -> list[BatchRow]:
        """Note the tokens that were drawn, and let go of the rows that end with them.

        What is decided for all rows at once costs as much as for one; only what ends is looked at by itself.
        """
        places, stops = [place for place, _ in members], self._is_stop[drawn.ids]
        self._last[places] = drawn.ids
        for (_, member), token, stop in zip(members, tokens_of(drawn), stops.tolist()):
            if self.keep_stop or not stop:
                member.row.tokens.append(token)
                member.logits = None
        self._left[places] -= 1
        last = np.flatnonzero(stops | (self._left[places] <= 0)).tolist()
        for i in last:
            self._end(members[i][1].row, is_stop=bool(stops[i]))
        return self._let_go() if last else []

    def _end(self, row: BatchRow, *, is_stop: bool) -> None:
        """Note why the row's last token is its last, if it is."""
        if is_stop:
            row.finish_reason = "stop"
        elif len(row.tokens) >= self._limit_of(row):
            row.finish_reason = "length" if len(row.tokens) >= self.max_tokens else "context"

    def _let_go(self) -> list[BatchRow]:
        """Free the places of rows that have ended."""
        ended = [pair for pair in self._under_way() if pair[1].row.finish_reason is not None]
        for place, _ in ended:
            self._free(place)
        return [member.row for _, member in ended]

    def _free(self, place: int) -> None:
        self._members[place] = None
        self.caches.leave(place)

    def _recover(self) -> list[BatchRow]:
        """After an interrupt, wherever it came: what the rows have is what counts. Returns those that had ended.

        The last token of each has not run, or runs again, which gives the same; a member without one has the
        logits of its prompt still. A number that was drawn without giving a token is drawn again.
        """
        for place, member in enumerate(self._members):
            if member is None:
                if self.caches.caches[place] is not None:
                    self.caches.leave(place)
                continue
            row = member.row
            if self._waiting and self._waiting[0] is member:
                self._waiting.popleft()
            member.rng = np.random.default_rng(member.seed)
            member.rng.random(len(row.tokens))  # one for each
            self._left[place] = self._limit_of(row) - len(row.tokens)
            if row.tokens:
                member.logits = None
                self._end(row, is_stop=row.tokens[-1].id in self.stop_ids)
                self._last[place] = row.tokens[-1].id
                self.caches.only(place).truncate(row.length - 1)
        return self._let_go()


def _checked_prompt(number: int, prompt: Sequence[int], config: ModelConfig) -> Ids:
    ids = checked_ids(prompt, config.vocab_size)
    if len(ids) != 1:
        raise ValueError(f"a prompt is one sequence of token ids, prompt {number} is {len(ids)}")
    if ids.shape[1] > config.max_seq_len:
        raise ContextFullError(
            f"the context holds {config.max_seq_len} tokens, prompt {number} has {ids.shape[1]}; shorten it"
        )
    return ids
