"""Log-probabilities of continuations, feed by feed.

For every row of logits that is wanted, its largest logit m, where that stands, and log sum exp(x - m) are kept
(`logprobs.py`, in float64): three numbers instead of a row, and the logit of each token that is asked about,

    log p(id) = (x[id] - m) - log sum exp(x - m)

Only such positions go through the output head at all. A position that several continuations share is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...compute.array_types import Float
from ...inference.logprobs import logprobs_of
from ...inference.runner import Runner
from ...kv_cache import KVCache
from .encoding import Pair
from .planning import Feed, Path, feeds_of, paths_of


@dataclass(frozen=True)
class PairAnswer:
    """What the model says of one pair: the sum of its tokens' log-probabilities, and whether each is the likeliest."""

    pair: int
    logprob: float
    is_greedy: bool


@dataclass
class _Rows:
    """What is kept of rows of logits along a path, by position: log p and whether it is the likeliest, of each id
    that any continuation has there."""

    values: dict[int, dict[int, tuple[float, bool]]] = field(default_factory=dict)

    def forget_from(self, position: int) -> None:
        for later in [p for p in self.values if p >= position]:
            del self.values[later]


class Likelihoods:
    """Runs a plan.

    Parameters
    ----------
    runner : Runner
    pairs : sequence of Pair
    cache : KVCache
        Of one sequence; what it holds is forgotten.
    batch_size : int
        Sequences that run together at most.
    """

    def __init__(self, runner: Runner, pairs: Sequence[Pair], cache: KVCache, batch_size: int) -> None:
        self._runner, self._cache, self._batch_size = runner, cache, batch_size
        self.paths = paths_of(pairs)
        self._rows = _Rows()

    def __iter__(self) -> Iterator[tuple[int, list[PairAnswer]]]:
        """After every feed the number of its tokens, and the answers that are complete with it."""
        self._cache.truncate(0)
        for feed in feeds_of(self.paths, self._runner.config.vocab_size, self._batch_size):
            logits = self._runner.extend_branches(feed.branches, self._cache)
            yield feed.n_tokens, self._take(feed, logits)

    def _take(self, feed: Feed, logits: Float) -> list[PairAnswer]:
        """Keep what is asked of a feed's logits, and answer what ends in it."""
        best = logits.argmax(axis=1) if len(logits) else np.empty(0, np.int64)
        of_best = logprobs_of(logits, best) if len(logits) else np.empty(0)
        answers: list[PairAnswer] = []
        row = 0
        for branch, number in zip(feed.branches, feed.paths):
            self._rows.forget_from(branch.start)
            for position in (branch.start + branch.wanted).tolist():
                ids = list(self.paths[number].asked[position])
                differences = logits[row, ids].astype(np.float64) - np.float64(logits[row, best[row]])
                logprobs = (differences + of_best[row]).tolist()
                greedy = [id_ == best[row] for id_ in ids]
                self._rows.values[position] = dict(zip(ids, zip(logprobs, greedy)))
                row += 1
            if branch.end == len(self.paths[number].ids):
                answers += self._answer(self.paths[number])
        return answers

    def _answer(self, path: Path) -> Iterator[PairAnswer]:
        for lookup in path.lookups:
            found = [self._rows.values[lookup.first + i][id_] for i, id_ in enumerate(lookup.ids)]
            logprob = float(np.sum([logprob for logprob, _ in found]))
            yield PairAnswer(lookup.pair, logprob, all(greedy for _, greedy in found))
