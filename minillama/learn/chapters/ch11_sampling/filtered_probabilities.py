"""All of them, in order."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import Sampling, filtered_logits, keep_top_k, keep_top_p, softmax
from ...exercises.exercise import exercise
from .inputs import through
from .temperature_probabilities import temperature_probabilities
from .top_k_filter import top_k_filter
from .top_p_filter import top_p_filter


def make_all(rng: np.random.Generator, V: int, top_k: int, kept: int) -> tuple[Any, ...]:
    """p in the middle of the crossing token's share of the top k, at that temperature.

    Of many tokens the logits are near 100.
    """
    if not 1 < kept < top_k < V:
        raise ValueError("every filter has to drop something")
    shift = 100 if V > 20 else 0
    logits = rng.permutation(shift + 2.5 - 0.2 * np.arange(V) ** 0.8 + 0.05 * rng.normal(size=V)).astype(np.float32)
    temperature = 0.7 if V % 2 else 1.6
    p = np.sort(softmax(keep_top_k(logits.astype(np.float64) / temperature, top_k)))[::-1]
    return logits, temperature, top_k, float(p[: kept - 1].sum() + p[kept - 1] / 2)


def _all(logits, temperature, top_k, top_p):
    return softmax(filtered_logits(logits, Sampling(temperature=temperature, top_k=top_k, top_p=top_p)))


def torch_all(logits, temperature, top_k, top_p):
    import torch
    from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    for processor in (TemperatureLogitsWarper(temperature), TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        logits = through(processor, logits)
    return torch.softmax(torch.tensor(logits), -1).numpy()


@exercise(
    title="All of them, in order",
    task="The distribution that is drawn from: temperature, then top-k, then top-p, then probabilities that sum to 1.",
    difficulty=2,
    minutes=15,
    reference=_all,
    make=make_all,
    oracle=torch_all,
    rtol=2e-4,
    shapes=(
        {"V": 5, "top_k": 4, "kept": 3},
        {"V": 8, "top_k": 6, "kept": 3},
        {"V": 15, "top_k": 8, "kept": 6},
        {"V": 20, "top_k": 9, "kept": 7},
        {"V": 51, "top_k": 30, "kept": 19},
    ),
    axes=("token",),
    hints=(
        "Each filter works on what the one before it left. Top-p adds up probabilities that sum to 1 over the k "
        "tokens that are still there, at that temperature.",
        "Use your functions: logits / temperature, then top_k_filter, then top_p_filter, and softmax at the end. "
        "exp(-inf) is 0, so a dropped token needs no special care.",
        "logits = logits / temperature\n"
        "logits = top_k_filter(logits, top_k)\n"
        "logits = top_p_filter(logits, top_p)\n"
        "return softmax(logits)",
    ),
    why=(
        "Each step works on what the last one has left, so the order belongs to the definition: the nucleus is "
        "measured at the temperature that will be drawn at, and among the tokens that top-k has kept. A dropped token "
        "is -inf, so the last softmax shares its mass out by itself."
    ),
)
def filtered_probabilities(logits, temperature, top_k, top_p):
    """The distribution that a token is drawn from.

    In this order: divide by the temperature, top-k, top-p (of what top-k has left), softmax.

    Parameters
    ----------
    logits : ndarray of shape (V,)
    temperature : float
        Above 0.
    top_k : int
    top_p : float

    Returns
    -------
    probabilities : ndarray of shape (V,)
        They sum to 1; 0 for dropped tokens.
    """
    logits = top_k_filter(logits / temperature, top_k)
    return temperature_probabilities(top_p_filter(logits, top_p), 1.0)


@filtered_probabilities.mistake(
    "Your function applies the temperature last.",
    "Temperature changes the masses that top-p adds up: divide first, then filter.",
)
def all_temperature_last(logits, temperature, top_k, top_p):
    return softmax(keep_top_p(keep_top_k(logits.astype(np.float64), top_k), top_p) / temperature)


@filtered_probabilities.mistake(
    "Your function takes the nucleus of all tokens, not of the k that top-k leaves.",
    "Top-k comes first. The probabilities of what it leaves have to sum to 1 again (softmax) before top-p "
    "adds them up.",
)
def all_top_p_first(logits, temperature, top_k, top_p):
    return softmax(keep_top_k(keep_top_p(logits.astype(np.float64) / temperature, top_p), top_k))


@filtered_probabilities.mistake(
    "Your probabilities do not add up to 1: they are not renormalised after filtering.",
    "The mass of dropped tokens goes to the others: softmax of the filtered logits.",
)
def all_not_renormalized(logits, temperature, top_k, top_p):
    kept = _all(logits, temperature, top_k, top_p) > 0
    return np.where(kept, softmax(logits.astype(np.float64) / temperature), 0)


@filtered_probabilities.mistake(
    "Your function filters nothing.",
    "top_k and top_p have to drop tokens: put -inf in their logits before the softmax.",
)
def all_unfiltered(logits, temperature, top_k, top_p):
    return softmax(logits.astype(np.float64) / temperature)


@filtered_probabilities.mistake(
    "Your function does not use the temperature.",
    "Divide the logits by it, before everything else.",
)
def all_without_temperature(logits, temperature, top_k, top_p):
    return _all(logits, 1.0, top_k, top_p)


@filtered_probabilities.mistake(
    "Your function filters at the temperature, but returns probabilities without it.",
    "The last softmax is of the logits that were divided and filtered, not of the original ones.",
)
def all_temperature_twice(logits, temperature, top_k, top_p):
    kept = np.isfinite(keep_top_p(keep_top_k(logits.astype(np.float64) / temperature, top_k), top_p))
    return softmax(np.where(kept, logits.astype(np.float64), -np.inf))
