"""Temperature."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....inference.sampling import softmax
from ...exercises.exercise import exercise
from .inputs import through


def make_temperature(rng: np.random.Generator, V: int, tenths: int) -> tuple[Any, ...]:
    """Logits in steps of 1/8 around a large number, with two equal largest ones that are not the first.

    Of many one is lower by 1000, and at temperature 0 the first is nearly the largest.
    """
    if V < 2:
        raise ValueError("there must be two tokens")
    logits = rng.integers(-12, 8, V) / 8
    best = rng.choice(np.arange(1, V) if V > 2 else V, 2, replace=False)
    logits[best] = 1.25
    if V > 9:
        logits[np.argmin(logits)] -= 1000
    shift = 0 if tenths == 10 else 100 if tenths % 2 else -90
    logits = (logits + shift).astype(np.float32)
    if V > 9 and tenths == 0:
        logits[0] = np.nextafter(logits.max(), np.float32(-np.inf))
    return logits, tenths / 10


def one_hot(i, n):
    return (np.arange(n) == i).astype(np.float64)


def _temperature(logits, temperature):
    if temperature == 0:
        return one_hot(np.argmax(logits), len(logits))
    return softmax(logits.astype(np.float64) / temperature)


def torch_temperature(logits, temperature):
    import torch
    from transformers.generation.logits_process import TemperatureLogitsWarper

    if temperature == 0:  # the processor refuses 0
        return torch.nn.functional.one_hot(torch.tensor(logits).argmax(), len(logits)).double().numpy()
    return torch.softmax(torch.tensor(through(TemperatureLogitsWarper(temperature), logits)), -1).numpy()


@exercise(
    title="Temperature",
    task="Turn logits into probabilities at a temperature; 0 gives all of it to the most probable token.",
    difficulty=1,
    minutes=10,
    reference=_temperature,
    make=make_temperature,
    oracle=torch_temperature,
    rtol=2e-4,
    shapes=(
        {"V": 2, "tenths": 10},
        {"V": 3, "tenths": 5},
        {"V": 5, "tenths": 0},
        {"V": 9, "tenths": 20},
        {"V": 17, "tenths": 7},
        {"V": 40, "tenths": 0},
    ),
    axes=("token",),
    hints=(
        "softmax(logits / τ). A small τ makes differences between logits large, a large τ makes them small. What "
        "happens to exp of a logit of 100, or of 100 / 0.5?",
        "Subtract the largest logit before exp: the probabilities are the same and no exponential exceeds 1. "
        "By 0 nothing can be divided: it is the limit, a 1 at np.argmax(logits), which takes the first of equals.",
        "if temperature == 0:\n"
        "    p = np.zeros(len(logits)); p[np.argmax(logits)] = 1; return p\n"
        "e = np.exp((logits - logits.max()) / temperature)\n"
        "return e / e.sum()",
    ),
    why=(
        "Dividing logits raises every probability to the power 1 / temperature before they are normalised: below 1 "
        "the leader gains, above 1 all others. No division can reach the limit 0, so it is a case of its own. The "
        "largest logit is subtracted first, and the largest exponent is 0 at every temperature."
    ),
)
def temperature_probabilities(logits, temperature):
    """Probabilities at a temperature.

    p[i] = exp(logits[i] / temperature) / sum over j of exp(logits[j] / temperature)

    Temperature 0 is the limit: 1 for the largest logit (the lowest id among equals), 0 for all others.

    Parameters
    ----------
    logits : float32 ndarray of shape (V,)
        Of up to 1000 in size, and more: exp(100) does not fit into a float32.
    temperature : float
        0 or more.

    Returns
    -------
    probabilities : ndarray of shape (V,)
    """
    if temperature == 0:
        greedy = np.zeros(len(logits))
        greedy[np.argmax(logits)] = 1
        return greedy
    exponentials = np.exp((logits - logits.max()) / temperature)
    return exponentials / exponentials.sum()


@temperature_probabilities.mistake(
    "Your function multiplies by the temperature.",
    "A low temperature sharpens the distribution: divide, logits / τ.",
)
def temperature_multiplied(logits, temperature):
    return _temperature(logits, 1 / temperature if temperature else 0)


@temperature_probabilities.mistake(
    "Your exponentials overflow, or vanish, when logits are far from 0.",
    "Only differences of logits matter: subtract the largest one before exp.",
)
def temperature_overflows(logits, temperature):
    if temperature == 0:
        return _temperature(logits, 0)
    exponentials = np.exp(logits / np.float32(temperature))  # float32: overflows above 88, all 0 below -103
    return exponentials / exponentials.sum()


@temperature_probabilities.mistake(
    "Your function divides the probabilities by the temperature, not the logits.",
    "Divided after the softmax, all probabilities change by one factor and no longer add up to 1.",
)
def temperature_after(logits, temperature):
    return _temperature(logits, 0) if temperature == 0 else softmax(logits) / temperature


@temperature_probabilities.mistake(
    "Your function divides by a temperature of 0.",
    "τ = 0 is a case of its own: a 1 at the most probable token, 0 elsewhere.",
)
def temperature_no_zero(logits, temperature):
    return softmax(logits.astype(np.float64) / np.float64(temperature))


@temperature_probabilities.mistake(
    "Your function takes a tiny temperature for 0: tokens with equal logits share, and nearly equal ones.",
    "Greedy means one token, the first among equals: np.argmax.",
)
def temperature_tiny(logits, temperature):
    return softmax(logits.astype(np.float64) / max(temperature, 1e-6))


@temperature_probabilities.mistake(
    "Your greedy choice takes the last of equal tokens.",
    "Among equals the lowest id wins, as in np.argmax; np.argsort(logits)[-1] is the last one.",
)
def temperature_last_of_equals(logits, temperature):
    if temperature == 0:
        return one_hot(len(logits) - 1 - np.argmax(logits[::-1]), len(logits))
    return _temperature(logits, temperature)


@temperature_probabilities.mistake(
    "Your greedy choice lets tokens with equal largest logits share.",
    "Greedy means one token, the first among equals: np.argmax, not logits == logits.max().",
)
def temperature_shared_by_equals(logits, temperature):
    if temperature == 0:
        best = (logits == logits.max()).astype(np.float64)
        return best / best.sum()
    return _temperature(logits, temperature)
