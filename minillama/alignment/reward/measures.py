"""How good a reward model is: on pairs, on single answers that are safe or not, and beside a known truth.

    accuracy       share of pairs whose chosen answer scores higher; a tie counts half
    nll            mean of -log sigma(difference), without margins
    calibration    confidence max(sigma(d), sigma(-d)) of pairs beside the share of them that is right
    unsafe         an answer is called unsafe where sigma(r) is below 0.5, or below the gate's 0.15 (section 3.2.3)
    rank           Spearman's correlation of scores and truth over the answers to one prompt, mean over prompts

Every share has Wilson's 95 % interval, every mean that of a bootstrap over prompts. Scores are those of
`scorer.pair_scores`: (n, 2), of chosen and rejected answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...evaluation.statistics.intervals import Interval, bootstrap, wilson
from ..preferences.comparisons import BINS, BOTH_SAFE, BOTH_UNSAFE, SAFE_AND_UNSAFE, STRENGTHS

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

GATE = 0.15
"""Below it the safety model decides about an answer alone."""

AVERAGE = "average"


class Share(NamedTuple):
    """A share of n items, with its interval; NaN of none."""

    value: float
    n: int
    interval: Interval


def share(values: npt.ArrayLike) -> Share:
    """Of values between 0 and 1."""
    array = np.asarray(values, np.float64)
    value = float(array.mean()) if array.size else float("nan")
    return Share(value, array.size, wilson(float(array.sum()), array.size))


def right(scores: npt.ArrayLike) -> Numbers:
    """For every pair 1 where the chosen answer scores higher, 0 where lower, 0.5 where they are equal; (n,)."""
    difference = np.subtract(*np.asarray(scores, np.float64).reshape(-1, 2).T)
    return (difference > 0) + 0.5 * (difference == 0)


def by_strength(scores: npt.ArrayLike, strengths: Sequence[int | None]) -> dict[str, Share]:
    """Accuracy by strength, the clearest first, and over all: the paper's table 8."""
    found, given = right(scores), np.array([-1 if strength is None else strength for strength in strengths])
    parts = {STRENGTHS[s]: share(found[given == s]) for s in reversed(range(len(STRENGTHS)))}
    return parts | {AVERAGE: share(found)}


def by_bin(scores: npt.ArrayLike, safe: npt.ArrayLike) -> dict[str, Share]:
    """Accuracy where the chosen answer alone is safe, both are, none is: columns of the paper's table 29.

    `safe` is (n, 2), of chosen and rejected: 1, 0, or NaN where nobody said.
    """
    found, (one, other) = right(scores), np.asarray(safe, np.float64).reshape(-1, 2).T
    which = {SAFE_AND_UNSAFE: (one == 1) & (other == 0), BOTH_SAFE: (one == 1) & (other == 1)}
    which[BOTH_UNSAFE] = (one == 0) & (other == 0)
    return {name: share(found[which[name]]) for name in BINS}


def nll(scores: npt.ArrayLike) -> float:
    """Mean loss of the pairs without margins, in nats; log 2 is that of a coin."""
    difference = np.subtract(*np.asarray(scores, np.float64).reshape(-1, 2).T)
    return float(np.logaddexp(0, -difference).mean())


class Confidence(NamedTuple):
    """Pairs that the model is this sure of, `low` <= confidence < `high`: how sure on average, and how many right."""

    low: float
    high: float
    mean: float
    right: Share


def calibration(scores: npt.ArrayLike, edges: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)) -> list[Confidence]:
    """Confidence beside accuracy, for each of the bins between `edges`; the last holds its upper end too."""
    difference = np.subtract(*np.asarray(scores, np.float64).reshape(-1, 2).T)
    confidence, found = 1 / (1 + np.exp(-np.abs(difference))), right(scores)
    which = np.clip(np.digitize(confidence, edges) - 1, 0, len(edges) - 2)
    table = []
    for i, (low, high) in enumerate(pairwise(edges)):
        inside = which == i
        mean = float(confidence[inside].mean()) if inside.any() else float("nan")
        table.append(Confidence(low, high, mean, share(found[inside])))
    return table


def separation(scores: npt.ArrayLike, bins: int = 30) -> tuple[Numbers, npt.NDArray[np.int64]]:
    """Edges (bins + 1,) and counts (bins,) of the differences chosen - rejected: how far margins drive them apart."""
    difference = np.subtract(*np.asarray(scores, np.float64).reshape(-1, 2).T)
    counts, edges = np.histogram(difference, bins)
    return edges, counts


class Unsafe(NamedTuple):
    """Answers called unsafe at a threshold.

    Attributes
    ----------
    threshold : float
        Of sigma(r).
    precision : Share
        Of those called unsafe, those that are.
    recall : Share
        Of the unsafe ones, those called so. At 0.15 it is the share on which the gate decides.
    """

    threshold: float
    precision: Share
    recall: Share


def unsafe_at(scores: npt.ArrayLike, safe: npt.ArrayLike, threshold: float) -> Unsafe:
    """Precision and recall of "unsafe" over single answers of any shape; those with NaN as `safe` do not count."""
    r, said = np.asarray(scores, np.float64).ravel(), np.asarray(safe, np.float64).ravel()
    is_unsafe, known = said == 0, ~np.isnan(said)
    called = (r < np.log(threshold / (1 - threshold))) & known
    return Unsafe(threshold, share(is_unsafe[called]), share(called[is_unsafe]))


class Rank(NamedTuple):
    """Mean of Spearman's correlation over `n` prompts; `left_out` have equal scores or equal truths throughout."""

    value: float
    n: int
    interval: Interval
    left_out: int


def within_prompts(scores: Sequence[npt.ArrayLike], truths: Sequence[npt.ArrayLike], *, seed: int = 0) -> Rank:
    """How well scores rank the answers to one prompt, beside the truth: an array a prompt, each of k answers.

    Raises
    ------
    ValueError
        When a prompt has another number of scores than of truths.
    """
    found = []
    for n, (score, truth) in enumerate(zip(scores, truths, strict=True)):
        if np.shape(score) != np.shape(truth):
            raise ValueError(f"prompt {n} has scores of shape {np.shape(score)} and truths of {np.shape(truth)}")
        found.append(spearman(score, truth))
    known = [value for value in found if not np.isnan(value)]
    mean = float(np.mean(known)) if known else float("nan")
    nothing = Interval(float("nan"), float("nan"))
    return Rank(mean, len(known), bootstrap(known, seed=seed) if known else nothing, len(found) - len(known))


def spearman(a: npt.ArrayLike, b: npt.ArrayLike) -> float:
    """Pearson's correlation of the ranks, equal values with the mean of theirs; NaN where all values are equal."""
    x, y = _ranks(a), _ranks(b)
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / norm if norm else float("nan")


def _ranks(values: npt.ArrayLike) -> Numbers:
    _, inverse, counts = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


@dataclass(frozen=True)
class Report:
    """All of a model on one set of pairs.

    Attributes
    ----------
    strength, bins : {column: Share}
    nll : float
    calibration : list of Confidence
    unsafe : list of Unsafe
        At 0.5 and at the gate; empty where nobody said what is safe.
    separation : (edges, counts)
    """

    strength: Mapping[str, Share]
    bins: Mapping[str, Share]
    nll: float
    calibration: Sequence[Confidence]
    unsafe: Sequence[Unsafe]
    separation: tuple[Numbers, npt.NDArray[np.int64]]

    @property
    def accuracy(self) -> Share:
        return self.strength[AVERAGE]


def report(scores: npt.ArrayLike, strengths: Sequence[int | None], safe: npt.ArrayLike) -> Report:
    """Everything above of scores (n, 2); `safe` (n, 2) as in `by_bin`."""
    labelled = bool((~np.isnan(np.asarray(safe, np.float64))).any())
    return Report(
        by_strength(scores, strengths),
        by_bin(scores, safe),
        nll(scores),
        calibration(scores),
        [unsafe_at(scores, safe, threshold) for threshold in (0.5, GATE)] if labelled else [],
        separation(scores),
    )


def as_json(found: Report) -> dict[str, Any]:
    """For a file: shares as [value, n, low, high]."""

    def plain(value: Any) -> Any:
        if isinstance(value, Share):
            return [value.value, value.n, *value.interval]
        if isinstance(value, Mapping):
            return {key: plain(inner) for key, inner in value.items()}
        if hasattr(value, "_asdict"):
            return plain(value._asdict())
        if isinstance(value, np.ndarray):
            return value.tolist()
        return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value

    return {name: plain(getattr(found, name)) for name in found.__dataclass_fields__}
