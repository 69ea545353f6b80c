"""Chapter 03: embeddings, logits, cross-entropy, perplexity. Solved.

`minillama learn solution` shows these after a pass.
Generated from minillama/learn/chapters/ by `python -m minillama.learn.generate`.
"""

import numpy as np


def gather_embeddings(tokens, weight):
    return weight[tokens]


def log_sum_exp(logits):
    top = logits.max(axis=-1, keepdims=True)
    return top[..., 0] + np.log(np.exp(logits - top).sum(axis=-1))


def shift_targets(tokens, pad_id, ignore_id):
    targets = np.full(tokens.shape, ignore_id, np.int64)
    targets[:, :-1] = tokens[:, 1:]
    targets[targets == pad_id] = ignore_id
    return targets


def cross_entropy_loss(logits, targets, ignore_id):
    counted = targets != ignore_id
    safe = np.where(counted, targets, 0)[..., None]
    chosen = np.take_along_axis(logits, safe, axis=-1)[..., 0]  # (B, T)
    return (log_sum_exp(logits) - chosen)[counted].mean()


def cross_entropy_backward(logits, targets, ignore_id):
    counted = targets != ignore_id
    probabilities = np.exp(logits - log_sum_exp(logits)[..., None])
    one_hot = np.arange(logits.shape[-1]) == targets[..., None]  # (B, T, V)
    dlogits = (probabilities - one_hot) * counted[..., None] / counted.sum()
    return dlogits.astype(logits.dtype)


def perplexity(logprobs, counted):
    return np.exp(-logprobs[counted].mean())


def bits_per_byte(logprobs, text):
    return -logprobs.sum() / np.log(2) / len(text.encode("utf-8"))
