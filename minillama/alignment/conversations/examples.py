"""What is learned of a conversation, and conversations side by side as rows of a batch.

    weights[t] = how much the loss of predicting ids[t] counts: 1 in answers, 0 in prompts   (LLaMA 2 section 3.1)

Rows are padded at the right. Attention is causal, so that no token sees the padding after it. Threads that share a
batch get short rows and long ones each, and a part is no longer than its own longest row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Float32, Ints
from ...layers.cross_entropy import IGNORED
from .spans import Conversation

_PADDING = 0  # any id: it is never learned, and nothing sees it


class Example(NamedTuple):
    """Ids (T,), and the weight (T,), float32, of predicting each from those before it. That of the first is 0."""

    ids: Ints
    weights: Float32

    @property
    def n_learned(self) -> int:
        return int(np.count_nonzero(self.weights))


def answers_learned(conversation: Conversation) -> Example:
    """Every answer is learned, with its end; nothing of the prompts: supervised fine-tuning."""
    weights = np.zeros(len(conversation.ids), np.float32)
    for span in conversation.answers:
        weights[span.start : span.stop] = 1
    return Example(conversation.ids, weights)


def last_answer_learned(conversation: Conversation) -> Example:
    """Only the last answer is learned, the earlier ones are context: Ghost Attention (section 3.3)."""
    weights = np.zeros(len(conversation.ids), np.float32)
    last = conversation.answers[-1]
    weights[last.start : last.stop] = 1
    return Example(conversation.ids, weights)


def digest_of(examples: Sequence[Example]) -> str:
    """The same for the same examples in the same order: what a run is bound to."""
    found = hashlib.sha256()
    for example in examples:
        found.update(np.int64(len(example.ids)).tobytes())
        found.update(np.ascontiguousarray(example.ids, np.int64).view(np.uint8).data)
        found.update(np.ascontiguousarray(example.weights, np.float32).view(np.uint8).data)
    return found.hexdigest()


class WeightedRows(NamedTuple):
    """Rows of tokens (B, T), what follows each or IGNORED, and the weight of its loss, float32."""

    tokens: Ints
    targets: Ints
    weights: Float32

    def split(self, n: int) -> list[WeightedRows]:
        """Parts that take about the same time.

        The rows are dealt out from the longest to the shortest, forwards and then backwards. What comes after a
        row's last learned token teaches nothing, and is left out where all rows of a part have it.
        """
        lengths = np.where(self.targets != IGNORED, np.arange(1, self.targets.shape[1] + 1), 0).max(1)
        order, place = np.argsort(-lengths, kind="stable"), np.arange(len(lengths)) % (2 * n)
        hand = np.minimum(place, 2 * n - 1 - place)
        parts = [np.sort(order[hand == i]) for i in range(min(n, len(order)))]
        return [self._part(rows, max(1, int(lengths[rows].max()))) for rows in parts]

    def _part(self, rows: Ints, length: int) -> WeightedRows:
        cut = np.ix_(rows, np.arange(length))
        return WeightedRows(self.tokens[cut], self.targets[cut], self.weights[cut])


def rows_of(examples: Sequence[Example]) -> WeightedRows:
    """Examples as rows of the same length, padded at the right.

    Raises
    ------
    ValueError
        When there is none, or one has nothing before its first learned token.
    """
    if not examples:
        raise ValueError("there are no examples to learn from")
    length = max(len(example.ids) for example in examples) - 1
    tokens = np.full((len(examples), length), _PADDING, np.int64)
    targets = np.full((len(examples), length), IGNORED, np.int64)
    weights = np.zeros((len(examples), length), np.float32)
    for b, example in enumerate(examples):
        if len(example.ids) < 2 or example.weights[0]:
            raise ValueError(f"example {b}: the first token has nothing before it that it could be predicted from")
        n = len(example.ids) - 1
        tokens[b, :n] = example.ids[:-1]
        weights[b, :n] = example.weights[1:]
        targets[b, :n] = np.where(example.weights[1:] != 0, example.ids[1:], IGNORED)
    return WeightedRows(tokens, targets, weights)
