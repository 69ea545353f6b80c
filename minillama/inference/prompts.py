"""Prompts of many sequences: what they have in common runs once.

Two things are shared. Prompts that *begin* alike, as instructions before every question do, keep the keys and
values of that beginning once, up to a multiple of 64 tokens (`Start`). Prompts that are *the same*, as for
rejection sampling, run once; the others get a copy of what is not kept once.

The rest of a prompt runs as it would after its beginning in one sequence: in the same pieces, through the same
kernels. A row's logits therefore do not depend on what it shares.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from ..compute.array_types import Float
from ..kv_cache import Beginning, KVCache
from .runner import FEW_TOKENS, Ids, Runner
from .session import PREFILL_CHUNK

# A beginning ends at a multiple of this many tokens: where the kernels of attention end a block of keys, too.
BLOCK = 64


@dataclass(eq=False)
class Start:
    """The first tokens of several prompts; run for the first of them, forgotten after the last."""

    ids: Ids  # (1, n), n a multiple of BLOCK
    filled: Beginning | None = None

    def run(self, runner: Runner, dtype: DTypeLike) -> Beginning:
        """Its keys and values."""
        if self.filled is None:
            n = self.ids.shape[1]
            cache = KVCache(runner.config, 1, min(n, runner.config.max_seq_len), dtype)
            cache.reserve(n)  # all at once: exactly as many
            run_prompt(runner, self.ids, cache)
            self.filled = cache.as_beginning()
        return self.filled


@dataclass(eq=False)
class Prompt:
    """The prompt of one or several sequences."""

    ids: Ids  # (1, T)
    start: Start | None = None
    several: bool = False
    _logits: Float | None = None  # of its last token, kept for those with the same prompt
    _holder: Any = field(default=lambda: None)  # a weak reference to a cache that begins with it

    @property
    def is_held(self) -> bool:
        """Whether a sequence under way begins with it, so that it need not run again."""
        return self._logits is not None and self._holder() is not None

    def fork(self) -> tuple[KVCache, Float]:
        """What it would give to run, from the sequence that begins with it."""
        cache, logits = self._holder(), self._logits
        if cache is None or logits is None:
            raise RuntimeError("no sequence under way begins with the prompt: run it")
        return cache.fork(self.ids.shape[1]), logits

    def keep(self, cache: KVCache, logits: Float) -> None:
        """Note that a cache holds it, for others that have the same prompt."""
        if self.several:
            self._logits, self._holder = logits.copy(), weakref.ref(cache)


def run_prompts(runner: Runner, prompts: Sequence[Prompt], dtype: DTypeLike) -> list[tuple[KVCache, Float]]:
    """For each sequence a cache of its own that holds its prompt, and the logits (1, vocab_size) after it.

    Each prompt runs once. Short ones run together, up to PREFILL_CHUNK tokens at a time.
    """
    new = [prompt for prompt in dict.fromkeys(prompts) if not prompt.is_held]
    caches = [_cache_for(runner, prompt, dtype) for prompt in new]
    logits = _run_new(runner, [prompt.ids for prompt in new], caches)
    for prompt, cache, its_logits in zip(new, caches, logits):
        prompt.keep(cache, its_logits)
    ran = {prompt: (cache, its_logits) for prompt, cache, its_logits in zip(new, caches, logits)}
    return [ran.pop(prompt) if prompt in ran else prompt.fork() for prompt in prompts]


def _cache_for(runner: Runner, prompt: Prompt, dtype: DTypeLike) -> KVCache:
    """One with the beginning of a prompt, if that is shared."""
    beginning = None if prompt.start is None else prompt.start.run(runner, dtype)
    return KVCache(runner.config, 1, dtype=dtype, beginning=beginning)


def _run_new(runner: Runner, prompts: Sequence[Ids], caches: Sequence[KVCache]) -> list[Float]:
    """Fill caches with what they do not hold yet of prompts (1, T); the logits (1, vocab_size) after each."""
    found: dict[int, Float] = {}
    ends: list[tuple[int, Ids]] = []  # of one piece each, to be run together
    for i, (ids, cache) in enumerate(zip(prompts, caches)):
        first, n_tokens = int(cache.lengths[0]), ids.shape[1]
        if FEW_TOKENS < n_tokens - first <= PREFILL_CHUNK - first % PREFILL_CHUNK:
            ends.append((i, ids[:, first:]))
        else:
            found[i] = run_prompt(runner, ids, cache)
    while ends:
        sizes = np.cumsum([part.shape[1] for _, part in ends])
        n = max(1, int(np.searchsorted(sizes, PREFILL_CHUNK, side="right")))
        now, ends = ends[:n], ends[n:]
        logits = runner.extend_each([part for _, part in now], [caches[i] for i, _ in now])
        found.update((i, logits[row : row + 1]) for row, (i, _) in enumerate(now))
    return [found[i] for i in range(len(prompts))]


def run_prompt(runner: Runner, ids: Ids, cache: KVCache) -> Float:
    """Run what the cache does not hold yet of ids (1, T): the logits (1, vocab_size) after them.

    In the pieces of a session that is fed all of it, whose borders are multiples of PREFILL_CHUNK.
    """
    first = int(cache.lengths[0])
    while first < ids.shape[1]:
        last = first // PREFILL_CHUNK * PREFILL_CHUNK + PREFILL_CHUNK
        logits = runner.extend(ids[:, first:last], cache)
        first = last
    return logits


class SharedPrompts:
    """The prompts of sequences under way, and those that wait: one object for each, as long as anybody holds it.

    Parameters
    ----------
    beginnings : bool
        Whether prompts that only begin alike share that.
    """

    def __init__(self, *, beginnings: bool = True) -> None:
        self._beginnings = beginnings
        self._prompts: weakref.WeakValueDictionary[bytes, Prompt] = weakref.WeakValueDictionary()
        self._starts: weakref.WeakValueDictionary[int, Start] = weakref.WeakValueDictionary()

    def add(self, prompts: Sequence[Ids]) -> list[Prompt]:
        """The prompt of each of these sequences, with what it shares with others of them, or with earlier ones."""
        counts = Counter(path for ids in prompts for path in _beginnings(ids)) if self._beginnings else Counter()
        return [self._find(ids, counts) for ids in prompts]

    def _find(self, ids: Ids, counts: Counter[int]) -> Prompt:
        prompt = self._prompts.get(ids.tobytes())
        if prompt is not None:
            prompt.several = True
            return prompt
        prompt = Prompt(ids, self._start(ids, counts) if self._beginnings else None)
        self._prompts[ids.tobytes()] = prompt
        return prompt

    def _start(self, ids: Ids, counts: Counter[int]) -> Start | None:
        """The beginning that saves most positions for each that shares it: all of it if it is there already."""
        best, most = None, 0.0
        for n, path in enumerate(_beginnings(ids), 1):
            start = self._start_at(path, ids[:, : BLOCK * n])
            saved = n * (1 - 1 / counts[path] if start is None or start.filled is None else 1)
            if saved > 0 and saved >= most:
                best, most = (path, ids[:, : BLOCK * n]), saved
        if best is None:
            return None
        start = self._start_at(*best)
        if start is None:
            start = self._starts[best[0]] = Start(best[1].copy())
        return start

    def _start_at(self, path: int, ids: Ids) -> Start | None:
        start = self._starts.get(path)
        return start if start is not None and np.array_equal(start.ids, ids) else None


def _beginnings(ids: Ids) -> list[int]:
    """A number for the first 64 tokens of a prompt (1, T), the first 128 …; equal for those that begin alike.

    What follows must have more than FEW_TOKENS, which alone go another way through the model than in a long prompt.
    """
    numbers, path = [], 0
    for first in range(0, ids.shape[1] - FEW_TOKENS - BLOCK, BLOCK):
        path = hash((path, ids[0, first : first + BLOCK].tobytes()))
        numbers.append(path)
    return numbers
