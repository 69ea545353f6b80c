"""Chapter 11: sampling. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def temperature_probabilities(logits, temperature):
    if temperature == 0:
        greedy = np.zeros(len(logits))
        greedy[np.argmax(logits)] = 1
        return greedy
    exponentials = np.exp((logits - logits.max()) / temperature)
    return exponentials / exponentials.sum()


def top_k_filter(logits, k):
    if k == 0 or k >= len(logits):
        return logits
    return np.where(logits >= np.sort(logits)[-k], logits, -np.inf)


def top_p_filter(logits, p):
    if p >= 1:
        return logits.copy()
    order = np.argsort(-logits, kind="stable")
    probabilities = temperature_probabilities(logits[order], 1.0)
    keep = np.cumsum(probabilities) - probabilities <= p  # the mass before each token
    out = np.full_like(logits, -np.inf)
    out[order[keep]] = logits[order[keep]]
    return out


def min_p_filter(logits, min_p):
    return np.where(np.exp(logits - logits.max()) >= min_p, logits, -np.inf)


def penalize_repeated_tokens(logits, ids, penalty):
    out = logits.copy()
    for i in set(ids):
        out[i] = out[i] * penalty if out[i] < 0 else out[i] / penalty
    return out


def filtered_probabilities(logits, temperature, top_k, top_p):
    logits = top_k_filter(logits / temperature, top_k)
    return temperature_probabilities(top_p_filter(logits, top_p), 1.0)


def draw_token(probabilities, rng):
    ends = np.cumsum(probabilities)
    return int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))  # the last end may be just below 1


def chi_squared(counts, probabilities):
    possible = probabilities > 0
    if counts[~possible].any():
        return np.inf
    expected = counts.sum() * probabilities[possible]
    return np.sum((counts[possible] - expected) ** 2 / expected)
