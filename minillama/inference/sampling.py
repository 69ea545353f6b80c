"""From logits to the next token: temperature, top-k, top-p, min-p, repetition penalty.

With p the probabilities in falling order (equal ones: the lower id first) and E_i the mass
before token i,

    temperature τ   logits / τ; τ = 0 takes the most probable token
    top-k           keep every logit >= the k-th largest; ties may keep more than k
    top-p           "meta": keep token i while E_i <= p;  "hf": while E_i < p.
                    They differ only where E_i equals p to the last bit. Either way the token
                    that crosses p stays, and at least one token does.
    min-p           keep p_i >= min_p * max(p)
    repetition r    for every id already there, once: s < 0 ? s * r : s / r

applied in Hugging Face's order: repetition, temperature, top-k, top-p, min-p. Sources: Meta's
generation.py, Hugging Face's logits_process.py (facts and differences in its docstrings),
top-p: Holtzman et al. 2019, arXiv:1904.09751; min-p: Nguyen et al. 2024, arXiv:2407.01082.

Each filter is a function from logits to logits that puts -inf where a token is dropped. All
arithmetic is float64: two runs that agree on the logits agree on the token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..compute.forking import one_at_a_time
from .arguments import number, whole_number
from .candidates import Filters
from .logprobs import as_rows, inverse_of
from .sampling_kernels import Drawn, sample_each

Logits = NDArray[Any]  # of floats

# What each number may be, and how a message says it.
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "temperature": ("0 (greedy) or more", lambda t: 0 <= t < math.inf),
    "top_p": ("between 0 and 1 (off)", lambda p: 0 <= p <= 1),
    "min_p": ("between 0 (off) and 1", lambda p: 0 <= p <= 1),
    "repetition_penalty": ("above 0; 1 is off", lambda r: 0 < r < math.inf),
}
# Beyond this, or its inverse, a penalty would take logits out of float64; the order of tokens is the same.
_LARGEST_PENALTY = 1e200
_NOT_FINITE = "the logits are not finite: the weights are damaged or a layer computed NaN"


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen. The defaults are Meta's for LLaMA 2.

    Attributes
    ----------
    temperature : float
        0 is greedy: the most probable token, the lowest id among equals.
    top_k : int
        0 switches it off.
    top_p : float
        1 switches it off.
    min_p : float
        0 switches it off.
    repetition_penalty : float
        1 switches it off; above 1 makes tokens that occurred less likely.
    boundary : "meta" or "hf"
        Which side top-p takes when the mass before a token equals p exactly.

    Raises
    ------
    ValueError
        When a number is out of range; the message says what is allowed. TypeError when it is not a number.
    """

    temperature: float = 0.6
    top_k: int = 0
    top_p: float = 0.9
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    boundary: Literal["meta", "hf"] = "meta"

    def __post_init__(self) -> None:
        for name, (allowed, is_allowed) in _RANGES.items():
            object.__setattr__(self, name, number(name, getattr(self, name), allowed, is_allowed))
        object.__setattr__(self, "top_k", whole_number("top_k", self.top_k, "a whole number, 0 (off) or more"))
        if self.boundary not in ("meta", "hf"):
            raise ValueError(f"boundary must be 'meta' or 'hf', got {self.boundary!r}")


GREEDY = Sampling(temperature=0.0)


def chosen_sampling(sampling: Sampling | None, settings: Mapping[str, Any]) -> Sampling:
    """What a caller gives: a Sampling, or its fields by name, or nothing."""
    if not isinstance(sampling, Sampling | None):
        raise TypeError(f"sampling must be a Sampling, got {sampling!r:.80}; its fields are options of their own")
    if sampling is not None and settings:
        raise ValueError(f"give either sampling= or its fields, not both: {', '.join(settings)}")
    if unknown := [name for name in settings if name not in Sampling.__dataclass_fields__]:
        fields = ", ".join(Sampling.__dataclass_fields__)
        raise TypeError(f"unknown option {', '.join(unknown)}; sampling takes {fields}")
    return sampling or Sampling(**settings)


def log_softmax(logits: Logits) -> NDArray[np.float64]:
    """Log-probabilities over the last axis, in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))


def softmax(logits: Logits) -> NDArray[np.float64]:
    """Probabilities over the last axis, in float64."""
    wide = logits.astype(np.float64)
    wide = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return wide / wide.sum(axis=-1, keepdims=True)


def penalize_repetition(logits: Logits, ids: Iterable[int], penalty: float) -> Logits:
    """Make every id of `ids`, prompt included, less likely; each once however often it occurs.

    Ids beyond the logits, which a padded vocabulary has, are passed over.
    """
    seen = np.unique(np.fromiter(ids, np.int64))
    seen = seen[seen < logits.size]
    penalty = min(max(penalty, 1 / _LARGEST_PENALTY), _LARGEST_PENALTY)
    out = logits.copy()
    out[seen] = np.where(out[seen] < 0, out[seen] * penalty, out[seen] / penalty)
    return out


def keep_top_k(logits: Logits, k: int) -> Logits:
    """Keep the k largest logits and those equal to the last of them; k = 0 keeps all."""
    if not 0 < k < logits.size:
        return logits
    kth_largest = np.partition(logits, -k)[-k]
    return np.where(logits >= kth_largest, logits, -np.inf)


def keep_top_p(logits: Logits, p: float, boundary: Literal["meta", "hf"] = "meta") -> Logits:
    """Keep the most probable tokens until their mass reaches p (the nucleus)."""
    if p >= 1:
        return logits
    order = np.argsort(-logits, kind="stable")
    probabilities = softmax(logits[order])
    mass_before = np.concatenate(([0.0], np.cumsum(probabilities)[:-1]))
    keep = mass_before <= p if boundary == "meta" else mass_before < p
    keep[0] = True
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def keep_min_p(logits: Logits, min_p: float) -> Logits:
    """Keep tokens at least `min_p` times as probable as the most probable one."""
    if min_p == 0:
        return logits
    ratio = np.exp(logits - logits.max())
    return np.where(ratio >= min_p, logits, -np.inf)


def scaled_logits(logits: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """The logits (V,) divided by the temperature.

    Where a tiny temperature makes the largest infinite, it is subtracted from all first: softmax gives the same, the
    largest stays 0, and the others go to -inf as in the limit.
    """
    with np.errstate(over="ignore"):
        scaled: NDArray[np.float64] = logits / temperature
        return scaled if np.isfinite(scaled.max()) else (logits - logits.max()) / temperature


def filtered_logits(logits: Logits, settings: Sampling, previous: Iterable[int] = ()) -> NDArray[np.float64]:
    """The logits (V,) that a token is drawn from: every filter in order, -inf for dropped tokens.

    Not for temperature 0, which draws nothing.
    """
    out = logits.astype(np.float64)
    if settings.repetition_penalty != 1:
        out = penalize_repetition(out, previous, settings.repetition_penalty)
    out = scaled_logits(out, settings.temperature)
    out = keep_top_k(out, settings.top_k)
    out = keep_top_p(out, settings.top_p, settings.boundary)
    return keep_min_p(out, settings.min_p)


def _check(logits: Logits) -> None:
    if logits.ndim != 1 or logits.size == 0:
        raise ValueError(f"logits must be (vocab_size,) of one position, got shape {logits.shape}")
    if not np.isfinite(logits.max()):
        raise ValueError(_NOT_FINITE)


def sample(logits: Logits, settings: Sampling, rng: np.random.Generator, previous: Iterable[int] = ()) -> int:
    """Choose the next token.

    Parameters
    ----------
    logits : ndarray of shape (vocab_size,)
    settings : Sampling
    rng : numpy.random.Generator
        One number is drawn from it, none at temperature 0.
    previous : iterable of int
        Ids in the sequence so far, for the repetition penalty.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        When the logits are not those of one position, or contain NaN or +inf.
    """
    _check(logits)
    if settings.temperature == 0:
        if settings.repetition_penalty != 1:
            logits = penalize_repetition(logits.astype(np.float64), previous, settings.repetition_penalty)
        return int(np.argmax(logits))
    probabilities = softmax(filtered_logits(logits, settings, previous))
    distribution = np.cumsum(probabilities)
    drawn = np.searchsorted(distribution, rng.random() * distribution[-1], side="right")
    return int(min(drawn, np.flatnonzero(probabilities)[-1]))  # rounding: the product may be the whole mass


# --- compiled: the same contract for all rows at once ---------------------------------------


def with_a_text(logits: Logits, n_ids: int | None, stop_ids: frozenset[int]) -> tuple[Logits, int]:
    """What tokens are chosen from: of rows (B, V) of logits, ids below `n_ids`, and stop ids wherever they are.

    Returns
    -------
    choices : ndarray of shape (B, V)
        `logits`, or with -inf where an id has no text.
    n : int
        Ids from there on are not to be chosen.
    """
    n_vocab = logits.shape[1]
    if n_ids is None or n_ids >= n_vocab:
        return logits, n_vocab
    beyond = [id_ for id_ in stop_ids if n_ids <= id_ < n_vocab]
    if not beyond:
        return logits, n_ids
    choices = np.full_like(logits, -np.inf)
    choices[:, :n_ids], choices[:, beyond] = logits[:, :n_ids], logits[:, beyond]
    return choices, n_vocab


def sample_rows(
    logits: Logits,
    settings: Sampling,
    rngs: Sequence[np.random.Generator],
    histories: Sequence[Iterable[int]] = (),
    *,
    n_ids: int | None = None,
    stop_ids: frozenset[int] = frozenset(),
) -> Drawn:
    """Choose the next token of every row: `sample`, compiled, on all threads.

    A row gives what it gives alone with its generator, to the last bit.

    Parameters
    ----------
    logits : ndarray of shape (B, vocab_size)
    settings : Sampling
    rngs : sequence of B numpy.random.Generator
        One number is drawn from each, none at temperature 0.
    histories : sequence of B iterables of int
        Ids in each sequence so far; without a repetition penalty they are not looked at, and none need be given.
    n_ids : int, optional
        Ids from there on are not chosen, but for those of `stop_ids`: rows of a padded vocabulary.
    stop_ids : frozenset of int

    Returns
    -------
    Drawn
        ids, logprobs under the model itself, and sampled_logprobs under what they were drawn from; (B,) each.

    Raises
    ------
    ValueError
        When logits have another shape, or a row contains NaN or +inf.
    """
    if logits.ndim != 2 or logits.size == 0:
        raise ValueError(f"logits must be (rows, vocab_size), got shape {logits.shape}")
    rows, n_rows = as_rows(logits), len(logits)
    choices, n = with_a_text(rows, n_ids, stop_ids)
    s, greedy = settings, settings.temperature == 0
    if s.repetition_penalty != 1:
        wide = choices[:, :n].astype(np.float64)
        choices = np.stack([penalize_repetition(row, ids, s.repetition_penalty) for row, ids in zip(wide, histories)])
    filters = Filters(
        0.0 if greedy else inverse_of(s.temperature),
        s.top_k if s.top_k < n else 0,
        s.top_p,
        s.min_p,
        s.boundary == "hf",
    )
    draws = np.zeros(n_rows) if greedy else np.array([rng.random() for rng in rngs])
    drawn = Drawn(np.empty(n_rows, np.int64), np.empty(n_rows), np.empty(n_rows))
    is_same = choices is rows and n == rows.shape[1]
    with one_at_a_time():
        sample_each(n_rows, rows, choices, n, is_same, filters, draws, drawn, size=rows.size)
    if drawn.ids.min() < 0:
        raise ValueError(_NOT_FINITE)
    return drawn


def sample_fast(logits: Logits, settings: Sampling, rng: np.random.Generator, previous: Iterable[int] = ()) -> int:
    """`sample`, compiled: the only row of `sample_rows`."""
    return int(sample_rows(logits[None], settings, (rng,), (previous,)).ids[0])
