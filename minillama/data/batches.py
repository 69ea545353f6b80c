"""Batches for pretraining: rows of tokens drawn from several sources in fixed proportions.

Every source is an endless row of tokens: epoch after epoch of its documents, each epoch in an order of its
own, one document directly after another. Row r of T tokens reads positions r·T to r·T + T,

    tokens   r·T     … r·T + T - 1
    targets  r·T + 1 … r·T + T        the next token, also where the next document begins

so that every token is a target once in an epoch, and a row may cross documents and epochs (llama2.c does
the same; what LLaMA 2 did is not published). Attention is not cut at a document's beginning.

Which row of a batch comes from which source follows the weights alone, not the sizes: "up-sampling the most
factual sources" (LLaMA 2, section 2.1) is a weight above the source's share of the tokens, and shows as
more epochs in `Batches.epochs`. LLaMA 2's proportions are not published; `paper_mix` has those of LLaMA 1.

A batch is a function of the seed and its step, and of nothing else: a resumed run needs no state, and two
workers can make different batches of one run. Orders come from the bits of PCG64, which NumPy keeps
the same in all versions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .shards.reading import TokenShards
from .validation import ValidationBatches, validation_batches

__all__ = ["Batches", "MixPart", "Source", "ValidationBatches", "paper_mix", "validation_batches"]

MAX_PERIOD = 1 << 16


class Source(NamedTuple):
    """A named set of documents, and how many rows come from it in proportion to other sources.

    Parameters
    ----------
    name : str
        Also seeds the order of its documents.
    shards : TokenShards
    weight : float
        Above 0; weights are divided by their sum.
    """

    name: str
    shards: TokenShards
    weight: float = 1.0


class MixPart(NamedTuple):
    """One line of a published mix."""

    name: str
    weight: float
    """Share of the tokens drawn, in percent."""
    epochs: float
    """How often its documents were seen in 1.4T tokens."""


def paper_mix() -> tuple[MixPart, ...]:
    """The pretraining mix of LLaMA 1, for orientation; that of LLaMA 2 is not published.

    Source: Touvron et al. 2023, arXiv:2302.13971, table 1. LLaMA 2 (arXiv:2307.09288, section 2.1) says that
    it has more tokens (2.0T), public sources only, and the most factual of them up-sampled.
    """
    return (
        MixPart("CommonCrawl", 67.0, 1.10),
        MixPart("C4", 15.0, 1.06),
        MixPart("GitHub", 4.5, 0.64),
        MixPart("Wikipedia", 4.5, 2.45),
        MixPart("Books", 4.5, 2.23),
        MixPart("ArXiv", 2.5, 1.06),
        MixPart("StackExchange", 2.0, 1.03),
    )


class Batches:
    """All batches of a training run.

    Parameters
    ----------
    sources : sequence of Source
        Of one tokenizer, with different names.
    batch_size, seq_len : int
        Rows and tokens of a batch.
    seed : int
        Another seed is another order of the documents.
    n_held_out : int
        Documents of every source that no batch has, for validation (`held_out`); they do not depend on `seed`.

    Raises
    ------
    ValueError
        When sources do not fit each other, or nothing is left to train on.
    """

    def __init__(
        self, sources: Sequence[Source], batch_size: int, seq_len: int, seed: int = 0, n_held_out: int = 0
    ) -> None:
        _check_sources(sources)
        for name, value, least in (("batch_size", batch_size, 1), ("seq_len", seq_len, 1), ("seed", seed, 0)):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        self.sources, self.batch_size, self.seq_len, self.seed = list(sources), batch_size, seq_len, seed
        self._streams = [_Stream(source, seed, n_held_out) for source in sources]
        self.shares = period_shares([source.weight for source in sources])
        self._order = even_order(self.shares)
        self._rank = np.zeros(self._order.size, np.int64)  # how many rows of its source come before, in a period
        for n in range(len(self.shares)):
            mine = self._order == n
            self._rank[mine] = np.arange(np.count_nonzero(mine))

    def batch(self, step: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Batch number `step`; the first is 0.

        Returns
        -------
        tokens, targets : int64 arrays (batch_size, seq_len)
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        rows = np.empty((self.batch_size, self.seq_len + 1), np.int64)
        for out, (source, row) in zip(rows, self.rows(step)):
            self._streams[source].read(row * self.seq_len, out)
        return rows[:, :-1].copy(), rows[:, 1:].copy()

    def rows(self, step: int) -> Iterator[tuple[int, int]]:
        """For each row of a batch the number of its source, and which row of that source it is."""
        period = self._order.size
        for n in range(step * self.batch_size, (step + 1) * self.batch_size):
            source = int(self._order[n % period])
            yield source, n // period * self.shares[source] + int(self._rank[n % period])

    def epochs(self, n_steps: int) -> dict[str, float]:
        """How often each source's documents have been seen in the first `n_steps` batches."""
        periods, rest = divmod(n_steps * self.batch_size, self._order.size)
        started = np.bincount(self._order[:rest], minlength=len(self.shares))
        return {
            source.name: (periods * share + int(more)) * self.seq_len / stream.n_tokens
            for source, share, more, stream in zip(self.sources, self.shares, started, self._streams)
        }

    def held_out(self, name: str) -> NDArray[np.int64]:
        """The documents of a source that no batch has, as rising numbers, for `validation_batches`."""
        for source, stream in zip(self.sources, self._streams):
            if source.name == name:
                return stream.held_out
        raise ValueError(f"no source is named {name!r}: expected one of {', '.join(s.name for s in self.sources)}")


# --- one source ----------------------------------------------------------------------------------


class _Epoch(NamedTuple):
    """The order of documents in one epoch, and where each ends in it."""

    documents: NDArray[np.int64]
    ends: NDArray[np.int64]


class _Stream:
    """The endless row of one source. Two epochs' orders are kept: 16 bytes a document each."""

    def __init__(self, source: Source, seed: int, n_held_out: int) -> None:
        self._source, self._seed = source, seed
        n = source.shards.n_documents
        if not 0 <= n_held_out < n:
            raise ValueError(f"n_held_out is {n_held_out}, but {source.name} has {n} documents: some must be left")
        order = _shuffled(n, source.name, "held out", 0, 0)
        self.held_out = np.sort(order[:n_held_out])
        self._training = np.sort(order[n_held_out:])
        self._lengths = source.shards.document_lengths()
        self.n_tokens = int(self._lengths[self._training].sum())
        self._epoch = lru_cache(2)(self._make_epoch)

    def _make_epoch(self, epoch: int) -> _Epoch:
        order = _shuffled(self._training.size, self._source.name, "epoch", self._seed, epoch)
        documents = self._training[order]
        return _Epoch(documents, np.cumsum(self._lengths[documents]))

    def read(self, start: int, out: NDArray[np.int64]) -> None:
        """Fill `out` with the tokens at `start` and after it."""
        shards, done = self._source.shards, 0
        while done < out.size:
            epoch, at = divmod(start + done, self.n_tokens)
            documents, ends = self._epoch(epoch)
            i = int(np.searchsorted(ends, at, side="right"))
            while done < out.size and i < documents.size:
                document = int(documents[i])
                left = int(ends[i]) - at  # tokens of the document from here on
                begin = int(shards.document_starts[document] + self._lengths[document]) - left
                n = min(left, out.size - done)
                out[done : done + n] = shards.tokens(begin, begin + n)
                done, at, i = done + n, at + n, i + 1


def _shuffled(n: int, name: str, purpose: str, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of n documents from raw random bits; NumPy's own `permutation` may change between versions."""
    digest = hashlib.sha256(f"{purpose}\0{name}".encode()).digest()
    words = np.frombuffer(digest, "<u4").tolist()
    bits = np.random.PCG64(np.random.SeedSequence([*words, seed, epoch])).random_raw(n)
    return np.argsort(bits, kind="stable").astype(np.int64)


# --- in which order sources take turns -----------------------------------------------------------


def _check_sources(sources: Sequence[Source]) -> None:
    if not sources:
        raise ValueError("expected at least one source")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"sources need different names, got {', '.join(names)}")
    first = sources[0]
    for source in sources:
        if not 0 < source.weight < float("inf"):
            raise ValueError(f"the weight of {source.name} must be a number above 0, got {source.weight}")
        if source.shards.tokenizer != first.shards.tokenizer:
            raise ValueError(
                f"{source.name} and {first.name} were written with different tokenizers: "
                "write the tokens of one of them again with the other's"
            )


def period_shares(weights: Sequence[float]) -> list[int]:
    """Rows of each source in one period, without common divisor.

    Exact for weights of a few decimals. Where a period would be longer than `MAX_PERIOD` rows, the shares are
    rounded to that many parts, and every source gets at least one.
    """
    exact = [Fraction(str(weight)) for weight in weights]
    exact = [weight / sum(exact) for weight in exact]
    period = lcm(*(weight.denominator for weight in exact))
    if period <= MAX_PERIOD:
        return [int(weight * period) for weight in exact]
    shares = [max(1, int(weight * MAX_PERIOD)) for weight in exact]
    missing = [share - weight * MAX_PERIOD for share, weight in zip(shares, exact)]
    for n in sorted(range(len(shares)), key=missing.__getitem__)[: max(0, MAX_PERIOD - sum(shares))]:
        shares[n] += 1
    return shares


def even_order(shares: Sequence[int]) -> NDArray[np.int64]:
    """A period of sources in which, after any n rows, no source is a whole row from n times its weight.

    With k sources at most 1 - 1/(2k - 2) of a row (Tijdeman 1980, "The chairman assignment problem"): of the
    sources that are at least 1/(2k - 2) behind, the one comes next that would soonest be too far behind. (To
    take the one that is furthest behind does not keep the bound.)
    """
    k, period = len(shares), sum(shares)
    if k == 1:
        return np.zeros(1, np.int64)
    slack = 2 * k - 2
    order = np.empty(period, np.int64)
    behind = [0] * k  # (n · share - rows so far · period) · slack: in units of 1 / (period · slack)
    for n in range(period):
        best, best_wait = -1, 0
        for i, share in enumerate(shares):
            behind[i] += share * slack
            wait = period * (slack - 1) - behind[i]  # divided by its share: the rows that it can still wait
            if behind[i] >= period and (best < 0 or wait * shares[best] < best_wait * share):
                best, best_wait = i, wait
        order[n] = best
        behind[best] -= period * slack
    return order
