"""What a dialogue looks at in its system message: the paper's figure 10.

    seen[t, s] = max over layers and heads of  softmax(q_t . k_j / sqrt(d))_s        s: a token of the system message

and for a picture the largest of neighbouring tokens in bins. The weights are those of the model's own forward pass:
the table of functions gets an attention that looks at what it computes with (`Ops`, as in chapter 05). They are put
together from queries and keys, as the compiled attention never has a row of weights as a whole.

The paper says "maximum activations across the network" and that neighbours are binned; how it draws them is
unconfirmed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ...compute.array_types import Float, Float32, Ints
from ...model import backbone_forward
from ...ops import FAST
from ..conversations import conversation_of
from ..models import ChatModel

_ROWS = 128  # queries whose weights exist at a time


@dataclass(frozen=True)
class SystemAttention:
    """How much every token looks at the system message.

    Attributes
    ----------
    seen : float32 ndarray of shape (T - stop, n)
        From every token after the system message to each of its `n` tokens.
    turns : list of (first, last)
        Tokens of every turn, question and answer, counted as the rows of `seen`; last not included.
    """

    seen: Float32
    turns: list[tuple[int, int]]

    def by_turn(self) -> Float32:
        """The largest weight of every turn."""
        return np.array([self.seen[first:last].max() for first, last in self.turns], np.float32)

    def binned(self, rows: int, columns: int) -> Float32:
        """The largest of neighbouring tokens, in about so many bins."""
        return _largest(_largest(self.seen, rows).T, columns).T


def _largest(a: Float32, n_bins: int) -> Float32:
    bounds = np.linspace(0, len(a), min(n_bins, len(a)) + 1).astype(np.int64)
    return np.stack([a[first:last].max(axis=0) for first, last in pairwise(bounds)])


def system_attention(model: ChatModel, dialogue: Sequence[Mapping[str, str]]) -> SystemAttention:
    """Run a dialogue and look at what its tokens attend to.

    Parameters
    ----------
    dialogue : messages
        A system message, questions and answers; it ends with an answer.

    Raises
    ------
    ValueError
        When there is no system message, or the dialogue is longer than the context.
    """
    conversation = conversation_of(dialogue, model.chat, model.tokenizer)
    system = next((span for span in conversation.spans if span.owner == "system"), None)
    if system is None:
        raise ValueError("there is nothing to look at: the dialogue has no system message")
    seen = np.zeros((len(conversation.ids) - system.stop, system.stop - system.start), np.float32)

    def watching(q: Float, k: Float, v: Float, positions: Ints, *window: int) -> tuple[Float, Any]:
        for first in range(system.stop, q.shape[2], _ROWS):
            rows = slice(first, min(first + _ROWS, q.shape[2]))
            weights = attention_weights(q[0, :, rows], k[0], positions[0, rows])
            found = weights[:, :, system.start : system.stop].max(axis=0)
            there = seen[rows.start - system.stop : rows.stop - system.stop]
            np.maximum(there, found, out=there)
        return FAST.attention_forward(q, k, v, positions, *window)

    ops = FAST._replace(attention_forward=watching)
    backbone_forward(model.params, model.config, conversation.ids[None], ops, recompute=True)
    ends = [span.stop - system.stop for span in conversation.answers]
    return SystemAttention(seen, list(pairwise([0, *ends])))


def attention_weights(q: Float, k: Float, positions: Ints) -> Float:
    """Weights (H, T, S) of queries (H, T, head_dim) over keys (K, S, head_dim), none for what lies after them."""
    keys = np.repeat(k, len(q) // len(k), axis=0)
    scores = q @ keys.swapaxes(-1, -2) / q.dtype.type(np.sqrt(q.shape[-1]))
    scores[:, np.arange(k.shape[1]) > positions[:, None]] = -np.inf
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    return scores / scores.sum(axis=-1, keepdims=True)
