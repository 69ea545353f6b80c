"""Which of several answers a model chooses, given the log-likelihood of each.

    acc               argmax of   log p(choice | context)
    acc_norm          argmax of   log p(choice | context) / characters of the choice
    acc_bytes         argmax of   log p(choice | context) / UTF-8 bytes of the choice
    acc_mutual_info   argmax of   log p(choice | context) - log p(choice | prior context)

The first of equal choices wins, as everywhere in lm-evaluation-harness. The space before a choice belongs to the
request and is not counted. Left out: normalising by tokens, which would compare tokenizers rather than models.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

BY_LENGTH = {"acc_norm": len, "acc_bytes": lambda choice: len(choice.encode("utf-8"))}


def correctness(
    metrics: Sequence[str],
    choices: Sequence[str],
    gold: int,
    logprobs: Sequence[float],
    prior: Sequence[float] = (),
) -> dict[str, float]:
    """1.0 or 0.0 for each of the metrics.

    Parameters
    ----------
    metrics : sequence of str
        Of "acc", "acc_norm", "acc_bytes", "acc_mutual_info".
    choices : sequence of str
        The answers, without the delimiter before them.
    gold : int
        The right one's number.
    logprobs : sequence of float
        Of each choice in its context, in nats, summed over tokens.
    prior : sequence of float
        Of each choice without the question; only "acc_mutual_info" reads them.
    """
    return {metric: float(chosen(metric, choices, logprobs, prior) == gold) for metric in metrics}


def chosen(metric: str, choices: Sequence[str], logprobs: Sequence[float], prior: Sequence[float] = ()) -> int:
    """The number of the choice that a metric takes for the model's answer."""
    scores = np.asarray(logprobs, np.float64)
    if metric == "acc_mutual_info":
        scores = scores - np.asarray(prior, np.float64)
    elif metric in BY_LENGTH:
        lengths = np.array([BY_LENGTH[metric](choice) for choice in choices], np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):  # an empty choice: the harness divides by zero too
            scores = scores / lengths
    return int(np.argmax(scores))


def mass_on_true(labels: Sequence[int], logprobs: Sequence[float]) -> float:
    """The share of the choices' probability that falls on those with label 1 (TruthfulQA's MC2).

    Shifted by the largest before exponentiating, so that very improbable choices do not become 0 / 0, which is NaN in
    lm-evaluation-harness.
    """
    scores = np.asarray(logprobs, np.float64)
    probabilities = np.exp(scores - scores.max())
    return float(probabilities[np.asarray(labels) == 1].sum() / probabilities.sum())
