"""Is text of an evaluation set in the training data? Two published tests.

`NgramOverlap` finds documents that share a run of 13 normalised words with an evaluation text, as
GPT-3's authors removed them (Brown et al. 2020, appendix C), and is a filter. `TokenContamination`
is the test of LLaMA 2 (Touvron et al. 2023, appendix A.6), which measures and removes nothing: a
token of a sample is contaminated when it lies in a match of more than 10 tokens between the sample
and the training text, where up to 4 positions may differ, but none of the first 10 and not the last.

Both index the evaluation texts and read the training text once, so that it may be of any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..decision import Decision, keep
from .contamination_kernels import fill_table, first_overlap, mark_covered, match_document
from .word_kernels import window_hashes
from .words import excerpt, normal_words


class NgramOverlap:
    """Drop documents that share n words in a row with an evaluation text.

    Parameters
    ----------
    texts : iterable of str
        The evaluation texts: questions, answers, passages.
    n : int
        Words in a row, after lower case and without punctuation; digits stay.
    min_words : int
        Texts of fewer than n words are looked for as a whole when they have at least this many, else not at all.

    Attributes
    ----------
    n_texts, n_too_short : int
        The texts given, and those too short to be looked for.
    """

    name = "contamination"

    def __init__(self, texts: Iterable[str], *, n: int = 13, min_words: int = 8) -> None:
        if not 1 <= min_words <= n:
            raise ValueError(f"min_words must be 1 to n ({n}), got {min_words}")
        self.n, self.min_words, self.n_texts, self.n_too_short = n, min_words, 0, 0
        found: dict[int, set[int]] = {}
        for text in texts:
            self.n_texts += 1
            words = _words(text)
            if len(words) < min_words:
                self.n_too_short += 1
                continue
            length = min(n, len(words))
            found.setdefault(length, set()).update(window_hashes(words, length).tolist())
        self._tables = {length: _table_of(found[length]) for length in sorted(found)}

    def __call__(self, text: str) -> Decision:
        """Drop the text when it holds one of the runs of words."""
        words = _words(text)
        for length, table in self._tables.items():
            place = int(first_overlap(words, length, *table))
            if place >= 0:
                found = self._example(text, place, length)
                return Decision(None, {"ngram_overlap": 1}, {"ngram_overlap": f"{length} words: {excerpt(found, 85)}"})
        return keep(text)

    def _example(self, text: str, place: int, length: int) -> str:
        """The run of words, nearly: cut between spaces, the figures being for words without punctuation."""
        found, count = [], 0
        for word in text.split():
            count += 1 if word.isalnum() else len(_words(word))
            if count > place:
                found.append(word)
            if count >= place + length:
                break
        return " ".join(found)


def _words(text: str) -> npt.NDArray[np.uint64]:
    return normal_words(text, numbers_to_zero=False)


def _table_of(hashes: Iterable[int]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint8]]:
    """An open hash table: keys and whether a place is used."""
    keys = np.array(sorted(hashes), dtype=np.uint64)
    size = 1 << max(4, int(2 * len(keys) - 1).bit_length())
    table, used = np.zeros(size, np.uint64), np.zeros(size, np.uint8)
    fill_table(keys, table, used)
    return table, used


class Contamination(NamedTuple):
    """What part of each evaluation sample is in the training text, for one match length."""

    shares: npt.NDArray[np.float64]
    """(n_samples,) float64: contaminated tokens of all tokens, 0 to 1."""

    @property
    def subsets(self) -> dict[str, npt.NDArray[np.bool_]]:
        """The four overlapping subsets of the paper, each (n_samples,) bool."""
        return {
            "clean": self.shares < 0.2,
            "not clean": self.shares >= 0.2,
            "not dirty": self.shares < 0.8,
            "dirty": self.shares >= 0.8,
        }

    def z_scores(self, scores: Sequence[float]) -> dict[str, float]:
        """By how many standard errors the mean score of each subset is off the mean of all.

        The paper calls a benchmark affected when all four are beyond 2 in size. NaN where a subset is
        empty or all scores are equal.
        """
        values = np.asarray(scores, dtype=np.float64)
        if values.shape != self.shares.shape:
            raise ValueError(f"expected one score for each of the {len(self.shares)} samples, got {values.shape}")
        found = {}
        for name, members in self.subsets.items():
            n = int(members.sum())
            error = values.std() / np.sqrt(n) if n else 0.0
            found[name] = float((values[members].mean() - values.mean()) / error) if error else float("nan")
        return found


class TokenContamination:
    """LLaMA 2's contamination test: `add` every training document, then ask for the `result`.

    Parameters
    ----------
    samples : sequence of sequences of int
        The tokens of each evaluation sample, in the ids of the training documents.
    budget : int
        Positions of a match that may differ.
    first : int
        Tokens at the beginning of a match that may not; a match is longer than that.
    """

    def __init__(self, samples: Sequence[Sequence[int]], *, budget: int = 4, first: int = 10) -> None:
        if budget < 0 or first < 1:
            raise ValueError(f"budget must be at least 0 and first at least 1, got {budget} and {first}")
        self.budget, self.first = budget, first
        self.starts = np.cumsum([0, *map(len, samples)], dtype=np.int64)
        self._tokens = np.concatenate([np.asarray(s, dtype=np.int64) for s in samples] or [np.empty(0, np.int64)])
        owner = np.repeat(np.arange(len(samples)), np.diff(self.starts))
        self._ends = self.starts[1:][owner] if len(samples) else np.empty(0, np.int64)
        """Where the sample of each token ends."""
        self._longest = np.zeros(len(self._tokens), dtype=np.int64)
        windows = window_hashes(self._tokens.astype(np.uint64), first)
        places = np.flatnonzero(np.arange(len(windows)) + first <= self._ends[: len(windows)])
        self._order = places[np.argsort(windows[places], kind="stable")]
        self._sorted = windows[self._order]
        self._table = _table_of(set(self._sorted.tolist()))

    def add(self, document: Sequence[int] | npt.NDArray[np.integer]) -> None:
        """Look for the samples in the tokens of one training document; matches do not cross its ends."""
        tokens = np.asarray(document, dtype=np.int64)
        if tokens.ndim != 1:
            raise ValueError(f"a document is a sequence of token ids, got an array of shape {tokens.shape}")
        index = (self._tokens, self._ends, self._sorted, self._order, *self._table)
        match_document(tokens, *index, self.first, self.budget, self._longest)

    def result(self, length: int = 10) -> Contamination:
        """The contaminated share of each sample, by matches of more than `first` and at least `length` tokens."""
        covered = np.zeros(len(self._tokens), dtype=np.bool_)
        mark_covered(self._longest, max(length, self.first + 1), covered)
        counts = np.concatenate([[0], np.cumsum(covered)])
        n_tokens = np.diff(self.starts)
        return Contamination((counts[self.starts[1:]] - counts[self.starts[:-1]]) / np.maximum(n_tokens, 1))
