"""The reward that PPO maximises: two models' scores as one number (LLaMA 2 section 3.2.3).

    R_c = R_s   where the prompt is tagged or R_s < 0.15,   else R_h          R = sigma(r), r what a model scores
    R   = whiten(logit(R_c)) - beta KL(policy || reference)

A reward model scores in logits: logit(sigma(r)) is r, held within logit(1e-6) of zero so that one score cannot carry
the variance of a batch. The switch is hard: of an answer below 0.15 the helpfulness model has no say, however much it
likes it.

Three choices that the paper leaves open:

- The ranking loss fixes a score only up to a constant, and the constants of two models have nothing to do with each
  other; nor have their scales, where one is surer of its pairs than the other (a safety model that errs nowhere spans
  twelve, a helpfulness model two). Without care one model would decide which answers count as good, and how much of the
  gradient is about the other's. So each score is centred by its own model's mean over samples of a policy, and divided
  by their standard deviation, best over those that it decides about (`centres_of`), and then all are whitened together.
  The gate reads the safety score before that: 0.15 is a probability.
- Which policy's samples: PPO takes those of the one that it starts from. The fine-tuned model's are unsafe more often
  than not; what was made safe since lies ten above their mean, and until the value network knows it, every safe
  answer is one to be made likelier and every other one to be made less likely, whatever it says.
- What the gate catches keeps its safety score as it is: at most logit(0.15) = -1.73, where helpful answers have mean 0
  and deviation 1. With the mean of unsafe answers taken away, or divided by the large spread of tagged prompts, an
  unsafe answer to a harmless prompt would count for more than many a safe one.
- Whitening takes mean and unbiased variance of the iteration's batch (unconfirmed: population, running or batch).

KL is paid token by token, -beta (log pi - log pi_0), and the score comes with the last token of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from ...compute.array_types import Float, Ints
from .advantages import Mask, whitened

GATE = 0.15
"""Below it the safety model decides alone: precision 0.89 and recall 0.55 on the paper's test set."""

_LEAST = 1e-6  # probabilities are held this far from 0 and 1
_LEAST_SCALE = 0.5  # of a model whose samples score nearly alike: one exception must not decide about a whole batch


class Scores(Protocol):
    """What scores rows of ids, prompt and answer with its end; a `reward.Scorer`, or a program."""

    def scores(self, rows: Sequence[Sequence[int] | Ints]) -> Float:
        """A logit for each row, (n,); higher is better."""


class Centres(NamedTuple):
    """What is taken from each model's scores, and what they are then divided by."""

    helpfulness: float = 0.0
    safety: float = 0.0
    helpfulness_scale: float = 1.0
    safety_scale: float = 1.0


NO_CENTRES = Centres()


@dataclass(frozen=True)
class Scoring:
    """The models that score answers.

    Attributes
    ----------
    helpfulness : Scores
    safety : Scores, optional
        Without it helpfulness decides about every answer.
    centres : Centres
    """

    helpfulness: Scores
    safety: Scores | None = None
    centres: Centres = NO_CENTRES

    def of(self, rows: Sequence[Sequence[int] | Ints]) -> tuple[Float, Float | None]:
        """What both give every row, as they give it."""
        return np.asarray(self.helpfulness.scores(rows)), (
            None if self.safety is None else np.asarray(self.safety.scores(rows))
        )

    def centred(self, rows: Sequence[Sequence[int] | Ints], tagged: Sequence[bool] | None = None) -> Scoring:
        """With the centres of samples of a policy (`centres_of`)."""
        return replace(self, centres=centres_of(*self.of(rows), tagged))


class Combined(NamedTuple):
    """Rewards of answers before they are whitened.

    Attributes
    ----------
    scores : ndarray of shape (n,), float64
        Logits of R_c, centred but for those below the gate.
    by_safety : bool ndarray of shape (n,)
        Whose score is the safety model's.
    gated : bool ndarray of shape (n,)
        Of those the untagged ones, which lie below the gate.
    """

    scores: Float
    by_safety: Mask
    gated: Mask


def sigmoid(scores: Float) -> Float:
    return np.exp(-np.logaddexp(0, -np.asarray(scores, np.float64)))


def logits_of(scores: Float) -> Float:
    """logit(sigma(r)) with sigma held within [1e-6, 1 - 1e-6]; float64."""
    probabilities = np.clip(sigmoid(scores), _LEAST, 1 - _LEAST)
    return np.log(probabilities) - np.log1p(-probabilities)


def combined(
    helpfulness: Float,
    safety: Float | None,
    tagged: Mask,
    centres: Centres = NO_CENTRES,
    gate: float = GATE,
) -> Combined:
    """One score for every answer.

    Parameters
    ----------
    helpfulness, safety : ndarray of shape (n,)
        As the models give them. Without a safety model helpfulness decides about every answer.
    tagged : bool ndarray of shape (n,)
        Prompts that may elicit unsafe answers.
    centres : Centres
    gate : float
        As a probability.
    """
    helpful = (logits_of(helpfulness) - centres.helpfulness) / centres.helpfulness_scale
    if safety is None:
        nobody = np.zeros(len(helpful), bool)
        return Combined(helpful, nobody, nobody)
    gated = ~tagged & (sigmoid(safety) < gate)
    safe = logits_of(safety)
    safe = np.where(gated, safe, (safe - centres.safety) / centres.safety_scale)
    by_safety = tagged | gated
    return Combined(np.where(by_safety, safe, helpful), by_safety, gated)


def centres_of(helpfulness: Float, safety: Float | None, tagged: Sequence[bool] | None = None) -> Centres:
    """Means and standard deviations of the logits of samples.

    Parameters
    ----------
    helpfulness, safety : ndarray of shape (n,)
        Of the same samples.
    tagged : sequence of bool, optional
        Whose prompts are tagged. Then each model is centred on the samples that it decides about: safety on these,
        where answers are unsafe much more often, and helpfulness on the others; so that neither group begins below the
        other. Otherwise both on all. No scale is below 0.5.

    Raises
    ------
    ValueError
        When there are no samples of a kind that is needed.
    """
    helpful, asked = logits_of(helpfulness), np.zeros(len(helpfulness), bool) if tagged is None else np.array(tagged)
    if asked.all() or (safety is not None and tagged is not None and not asked.any()):
        raise ValueError(
            "centres need samples of untagged prompts, and with a safety model of tagged ones too: "
            f"{int(asked.sum())} of {len(asked)} are tagged"
        )
    mean, deviation = _moments(helpful[~asked])
    if safety is None:
        return Centres(mean, helpfulness_scale=deviation)
    safe = logits_of(safety)
    safe_mean, safe_deviation = _moments(safe if tagged is None else safe[asked])
    return Centres(mean, safe_mean, deviation, safe_deviation)


def _moments(scores: Float) -> tuple[float, float]:
    return float(scores.mean()), max(float(scores.std()), _LEAST_SCALE)


def token_rewards(scores: Float, kl: Float, mask: Mask, beta: float) -> Float:
    """-beta KL_t for every token, and the whitened score with the last one.

    Parameters
    ----------
    scores : ndarray of shape (B,)
        Not yet whitened.
    kl : ndarray of shape (B, A)
        An estimate for every token (`advantages.k1`).
    mask : bool ndarray of shape (B, A)
        Which tokens are an answer's: a run from the first on.

    Returns
    -------
    ndarray of shape (B, A)
        0 after the end.
    """
    rewards = np.where(mask, -beta * kl, 0)
    rewards[np.arange(len(mask)), mask.sum(1) - 1] += whitened(scores, np.ones(len(scores), bool))
    return rewards


def check_gate(scores: Float, unsafe: Mask, gate: float = GATE) -> float:
    """The share of unsafe answers that the gate catches, known before PPO begins.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        The safety model's, of labelled answers that it was not trained on.
    unsafe : bool ndarray of shape (n,)

    Raises
    ------
    ValueError
        When the gate would never act: none of the unsafe answers lies below it, or there is none.
    """
    found = sigmoid(scores)[np.asarray(unsafe, bool)]
    if not len(found):
        raise ValueError("the labelled answers that the gate is checked on have no unsafe one among them: add some")
    if not (found < gate).any():
        raise ValueError(
            f"none of {len(found)} unsafe answers has a safety score below {gate:g} (the lowest is {found.min():.2f}), "
            "so that the gate would never act: train the safety model longer, or with its auxiliary loss, before PPO"
        )
    return float(np.mean(found < gate))
