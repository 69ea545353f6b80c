"""A small linear classifier of texts: hashed words and pairs of words, logistic regression.

The idea is fastText's (Joulin et al., arXiv:1607.01759) without the hidden layer, which two classes do not need:

    n features of a text:  every word and every pair of neighbouring words, each hashed to one of 2^b buckets
    z = bias + scale · (1/sqrt(n)) · Σ weights[bucket],   p = 1 / (1 + e^-z)

A word is a run of ASCII letters, digits and apostrophes in lower case, or of bytes of other characters
(UTF-8). Hash: FNV-1a with 32 bits over the bytes, pairs mix two of them; only integer arithmetic, so
buckets are the same on every platform. Training is stochastic gradient descent with AdaGrad's step sizes
(Duchi et al. 2011) in a fixed order. Weights are kept as int8 with one scale.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ....compute.jit import kernel

_MOST_FEATURES = 1 << 16  # of one text; what comes after them is not looked at


@kernel(exact=True)
def hash_features(text, bits, out):
    """Buckets of a lower-case UTF-8 text's words and pairs into `out`; how many there are."""
    mask = np.uint32((1 << bits) - 1)
    count = 0
    previous = np.uint32(0)
    word = np.uint32(2166136261)
    inside = False
    for i in range(len(text) + 1):
        c = text[i] if i < len(text) else np.uint8(32)
        if (97 <= c <= 122) or (48 <= c <= 57) or c == 39 or c >= 128:
            word = np.uint32((word ^ np.uint32(c)) * np.uint32(16777619))
            inside = True
            continue
        if inside:
            if count + 2 > len(out):
                return count
            out[count] = (word ^ (word >> np.uint32(15))) & mask
            count += 1
            if previous != 0:
                pair = np.uint32((previous * np.uint32(2654435761)) ^ word) * np.uint32(2246822519)
                pair = np.uint32(pair)
                out[count] = (pair ^ (pair >> np.uint32(15))) & mask
                count += 1
            previous = word
        if c == 46 or c == 33 or c == 63 or c == 10:
            previous = np.uint32(0)  # no pairs across sentences
        word = np.uint32(2166136261)
        inside = False
    return count


@kernel(exact=True)
def train_epochs(features, starts, labels, importance, orders, rate, decay, weights, squares):
    """AdaGrad over the texts in the given orders; the last weight is the bias. Returns the mean loss of each epoch."""
    losses = np.zeros(len(orders))
    bias = len(weights) - 1
    for epoch in range(len(orders)):
        for text in orders[epoch]:
            first, last = starts[text], starts[text + 1]
            if last == first:
                continue
            share = 1.0 / math.sqrt(last - first)
            z = weights[bias]
            for i in range(first, last):
                z += weights[features[i]] * share
            p = 1.0 / (1.0 + math.exp(-z))
            losses[epoch] -= importance[text] * math.log(max(p if labels[text] else 1.0 - p, 1e-12))
            slope = importance[text] * (p - labels[text])
            squares[bias] += slope * slope
            weights[bias] -= rate * slope / math.sqrt(squares[bias])
            for i in range(first, last):
                bucket = features[i]
                gradient = slope * share + decay * weights[bucket]
                squares[bucket] += gradient * gradient
                weights[bucket] -= rate * gradient / math.sqrt(squares[bucket])
        losses[epoch] /= len(labels)
    return losses


@dataclass(frozen=True)
class TextClassifier:
    """A trained classifier.

    Parameters
    ----------
    weights : ndarray, int8, shape (2**bits,)
    scale : float
        What one unit of `weights` is worth.
    bias : float
    """

    weights: np.ndarray
    scale: float
    bias: float

    @property
    def bits(self) -> int:
        """Binary logarithm of the number of buckets."""
        return len(self.weights).bit_length() - 1

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Probabilities of the positive class.

        Parameters
        ----------
        texts : sequence of str
            Of each the first 32,768 words.

        Returns
        -------
        ndarray, float64, shape (len(texts),)
            A text without words gets 0.
        """
        scores = np.zeros(len(texts))
        for i, text in enumerate(texts):
            buckets = features_of(text, self.bits)
            if len(buckets):
                # A sum of integers: no order of addition can change it.
                total = int(self.weights[buckets].sum(dtype=np.int64))
                z = self.bias + self.scale * total / math.sqrt(len(buckets))
                scores[i] = 1.0 / (1.0 + math.exp(-z)) if z > -700 else 0.0
        return scores

    def save(self, path: str | Path) -> None:
        """Write the weights as a compressed ``.npz`` file."""
        with open(path, "wb") as file:
            np.savez_compressed(file, weights=self.weights, scale=np.float64(self.scale), bias=np.float64(self.bias))

    @classmethod
    def load(cls, path: str | Path) -> TextClassifier:
        """Read what `save` wrote.

        Raises
        ------
        ValueError
            The file is missing or holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                weights, scale, bias = stored["weights"], float(stored["scale"]), float(stored["bias"])
        except (OSError, KeyError, ValueError, TypeError, EOFError) as error:
            raise ValueError(
                f"{path}: not a classifier of minillama ({error}); train one with harmful_classifier.train"
            ) from error
        size = len(weights) if weights.ndim == 1 else 0
        if weights.dtype != np.int8 or size < 2 or size & (size - 1) or not math.isfinite(scale + bias):
            found = f"{weights.dtype} of shape {weights.shape}"
            raise ValueError(f"{path}: expected int8 weights of a power of two, found {found}")
        return cls(weights, scale, bias)


def features_of(text: str, bits: int) -> np.ndarray:
    """The buckets of a text's words and pairs of words, uint32, in their order."""
    content = np.frombuffer(text.lower().replace("\u2019", "'").encode("utf-8", "replace"), dtype=np.uint8)
    out = np.empty(min(len(content) + 1, _MOST_FEATURES), dtype=np.uint32)
    return out[: hash_features(content, bits, out)] if len(content) else out[:0]


def train(
    texts: Sequence[str],
    labels: Sequence[int],
    importance: Sequence[float] | None = None,
    *,
    bits: int = 16,
    epochs: int = 8,
    rate: float = 0.3,
    decay: float = 1e-3,
    seed: int = 0,
    progress: Callable[[int, float], None] | None = None,
) -> TextClassifier:
    """Train a classifier; the same arguments give the same weights.

    Parameters
    ----------
    texts, labels : sequences of str and of 0 or 1
    importance : sequence of float, optional
        Weight of each text in the loss; 1 by default.
    bits : int
        Binary logarithm of the number of buckets, 8 to 22.
    epochs, rate, decay, seed
        Passes over the texts, AdaGrad's step, L2 penalty, order of the texts.
    progress : callable, optional
        Called with the epoch and its mean loss.

    Raises
    ------
    ValueError
        Lengths differ, a label is not 0 or 1, one of the classes is missing, or `bits` is out of range.
    """
    _check(texts, labels, importance, bits)
    found = [features_of(text, bits) for text in texts]
    starts = np.concatenate([[0], np.cumsum([len(buckets) for buckets in found])]).astype(np.int64)
    rng = np.random.default_rng(seed)
    orders = np.stack([rng.permutation(len(texts)) for _ in range(epochs)]).astype(np.int64)
    weights, squares = np.zeros((1 << bits) + 1), np.full((1 << bits) + 1, 1e-2)
    weight_of = np.ones(len(texts)) if importance is None else np.asarray(importance, dtype=np.float64)
    marks = np.asarray(labels, dtype=np.int64)
    losses = train_epochs(np.concatenate(found), starts, marks, weight_of, orders, rate, decay, weights, squares)
    if progress is not None:
        for epoch, loss in enumerate(losses):
            progress(epoch, float(loss))
    return _rounded(weights)


def _check(texts: Sequence[str], labels: Sequence[int], importance: Sequence[float] | None, bits: int) -> None:
    """Refuse training data that cannot be used."""
    if len(texts) != len(labels) or (importance is not None and len(importance) != len(texts)):
        counts = f"{len(texts)} texts, {len(labels)} labels, {None if importance is None else len(importance)} weights"
        raise ValueError(f"train: expected one label and one weight for each text, found {counts}")
    if set(labels) != {0, 1}:
        raise ValueError(f"train: expected labels 0 and 1, both present; found {sorted(set(labels))[:5]}")
    if not 8 <= bits <= 22:
        raise ValueError(f"train: bits is {bits}; expected 8 to 22")


def _rounded(weights: np.ndarray) -> TextClassifier:
    """Weights as int8; the few largest are cut so that the rest keep their precision."""
    top = float(np.quantile(np.abs(weights[:-1][weights[:-1] != 0]), 0.999)) if np.any(weights[:-1]) else 1.0
    scale = top / 127
    small = np.clip(np.rint(weights[:-1] / scale), -127, 127).astype(np.int8)
    return TextClassifier(small, scale, float(weights[-1]))
