"""Greedy continuations of prompts, several at a time where that changes no bit of them.

Prompts are sorted by their tokens and run one after another as branches of one path (`inference/branches.py`), so
that what neighbours begin with in common, as worked examples before every question do, runs once. Where products are
integer ones the prompt then gets keys and values of its own, all but those of a common beginning, and is continued
together with others: a token of each in one pass over the weights. Others are continued alone, on the path itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...compute.array_types import Float
from ...inference.branches import Branch
from ...inference.runner import Runner
from ...kv_cache import Beginning, CacheRows, KVCache
from .encoding import Prompt, Stops
from .planning import FEED_TOKENS, shared_tokens

# A common beginning ends where the kernels of attention end a block of keys.
BLOCK = 64
# Bytes of keys and values of all rows.
ROWS_BYTES = 384 << 20


@dataclass(frozen=True)
class Task:
    """A prompt, and when its answer ends."""

    prompt: Prompt
    stops: Stops
    max_tokens: int


@dataclass
class Row:
    """An answer that is being written.

    Attributes
    ----------
    number : int
        Of its task.
    ids : list of int
    smallest_margin : float
        The least difference between the two largest logits.
    is_sound : bool
        Every logit that was chosen is a finite number; NaN is larger than all others.
    """

    number: int
    ids: list[int] = field(default_factory=list)
    smallest_margin: float = float("inf")
    is_sound: bool = True

    def take(self, logits: Float) -> None:
        """Choose the likeliest token."""
        best = int(logits.argmax())
        self.is_sound = self.is_sound and bool(np.isfinite(logits[best]))
        second = max(float(part.max(initial=-np.inf)) for part in (logits[:best], logits[best + 1 :]))
        self.ids.append(best)
        self.smallest_margin = min(self.smallest_margin, float(logits[best]) - second)


class Generating:
    """Answers tasks.

    Parameters
    ----------
    runner : Runner
    tasks : sequence of Task
    cache : KVCache
        Of one sequence, the path; what it holds is forgotten.
    batch_size : int
        Rows at once, where they are continued together.
    n_ids : int
        Ids of the tokenizer; a model may have more rows.
    """

    def __init__(self, runner: Runner, tasks: Sequence[Task], cache: KVCache, batch_size: int, n_ids: int) -> None:
        self._runner, self.tasks, self._path, self._n_ids = runner, tasks, cache, n_ids
        self.order = sorted(range(len(tasks)), key=lambda number: tasks[number].prompt.ids)
        self._batch_size = batch_size
        self._held: tuple[int, ...] = ()  # what the path holds
        self._beginning: tuple[tuple[int, ...], Beginning] | None = None

    @property
    def n_tokens(self) -> int:
        """Tokens that run at most: of prompts what they do not share, of answers all that are allowed."""
        total, previous = 0, tuple[int, ...]()
        for task in map(self.tasks.__getitem__, self.order):
            start = min(shared_tokens(previous, task.prompt.ids), len(task.prompt.ids) - 1)
            total += len(task.prompt.ids) - start + task.max_tokens
            previous = task.prompt.ids
        return total

    def __iter__(self) -> Iterator[tuple[int, list[Row]]]:
        """From time to time the number of tokens that have run since, and the answers that are complete."""
        self._path.truncate(0)
        self._held = ()
        return self._together() if self._runner.in_integers else self._alone()

    def _alone(self) -> Iterator[tuple[int, list[Row]]]:
        for number in self.order:
            n_tokens, logits = self._run_prompt(self.tasks[number].prompt.ids)
            yield n_tokens, []
            row = Row(number)
            row.take(logits)
            while not self._has_ended(row):
                row.take(self._runner.extend(np.array([row.ids[-1:]], np.int64), self._path)[0, : self._n_ids])
            self._path.truncate(len(self._held))
            yield len(row.ids), [row]

    def _together(self) -> Iterator[tuple[int, list[Row]]]:
        caches, rows = CacheRows(self._batch_size), dict[int, Row]()
        waiting = self.order[::-1]
        while waiting or rows:
            while waiting and caches.n_free and (not rows or self._has_room(caches, waiting[-1])):
                number = waiting.pop()
                n_tokens, logits = self._run_prompt(self.tasks[number].prompt.ids)
                row = Row(number)
                row.take(logits)
                ended = self._has_ended(row)
                if not ended:
                    rows[caches.join(self._own_cache(number, waiting))] = row
                yield n_tokens + 1, [row] if ended else []
            if rows:
                yield len(rows), self._step(caches, rows)

    def _step(self, caches: CacheRows, rows: dict[int, Row]) -> list[Row]:
        """A token more for every row; those that end leave."""
        places = np.array(list(rows), np.int64)
        last = np.array([row.ids[-1] for row in rows.values()], np.int64)
        logits = self._runner.step_rows(last, caches, places)[:, : self._n_ids]
        ended = []
        for place, its_logits in zip(places.tolist(), logits):
            rows[place].take(its_logits)
            if self._has_ended(rows[place]):
                caches.leave(place)
                ended.append(rows.pop(place))
        return ended

    def _has_ended(self, row: Row) -> bool:
        task = self.tasks[row.number]
        return not row.is_sound or len(row.ids) >= task.max_tokens or task.stops.are_met(row.ids)

    def _run_prompt(self, ids: tuple[int, ...]) -> tuple[int, Float]:
        """Make the path hold a prompt: the number of tokens that ran, and the logits (n_ids,) after it."""
        start = min(shared_tokens(self._held, ids), len(ids) - 1)
        self._held = self._held[:start]
        tokens = np.array(ids, np.int64)
        for first in range(start, len(ids), FEED_TOKENS):
            part = tokens[first : first + FEED_TOKENS]
            last = np.array([len(part) - 1])
            logits = self._runner.extend_branches([Branch(first, part, last)], self._path)
            self._held = ids[: first + len(part)]
        return len(ids) - start, logits[0, : self._n_ids]

    def _own_cache(self, number: int, waiting: list[int]) -> KVCache:
        """What the path holds, to be continued; what it has in common with prompts that wait is kept once."""
        ids = self.tasks[number].prompt.ids
        if self._beginning is None or ids[: len(self._beginning[0])] != self._beginning[0]:
            following = self.tasks[waiting[-1]].prompt.ids if waiting else ()
            n_shared = shared_tokens(ids, following) // BLOCK * BLOCK
            self._beginning = (ids[:n_shared], self._path.beginning_of(n_shared)) if n_shared else None
        return self._path.fork(len(ids), None if self._beginning is None else self._beginning[1])

    def _has_room(self, caches: CacheRows, number: int) -> bool:
        """Whether keys and values of one more row fit beside the others."""
        task = self.tasks[number]
        n_own = len(task.prompt.ids) + task.max_tokens
        bytes_of_one = self._path.nbytes // self._path.capacity
        return caches.nbytes + 2 * n_own * bytes_of_one <= ROWS_BYTES
