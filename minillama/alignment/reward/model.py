"""A reward model: the backbone of a chat model with one number in place of the next token (LLaMA 2 section 3.2.2).

    r(x, y) = h_T . w            h_T: the hidden state of the last token of dialogue and answer, w: (D,)

Which token is read is unconfirmed; the last one is usual, and has seen everything. Backbone and policy begin as the
same chat model, so that what the one knows the other knows too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...compute.array_types import Float, Float32, Ints
from ...config import ModelConfig
from ...model import backbone_forward
from ...ops import FAST, Ops
from ...params import Params, empty_params
from ...training.checkpoint import read_model, write_model


class RewardModel(NamedTuple):
    """A tree: a Llama, of which only the hidden states are used, and the head (D,)."""

    backbone: Params
    head: Float


def reward_model(backbone: Params) -> RewardModel:
    """A model that gives every answer 0, to be trained."""
    return RewardModel(backbone, np.zeros(backbone.final_norm.shape, backbone.final_norm.dtype))


def padded(rows: Sequence[Sequence[int] | Ints]) -> tuple[Ints, Ints]:
    """Ids as one array (B, T), padded at the right with 0, which nothing sees; and the place of each last one."""
    lengths = np.array([len(row) for row in rows], np.int64)
    tokens = np.zeros((len(rows), int(lengths.max())), np.int64)
    for b, row in enumerate(rows):
        tokens[b, : lengths[b]] = row
    return tokens, lengths - 1


def scores_of(
    model: RewardModel, config: ModelConfig, rows: Sequence[Sequence[int] | Ints], ops: Ops = FAST, *, size: int = 4096
) -> Float32:
    """The score of every row of ids, dialogue and answer with its end; rows of like length go through together."""
    found = np.empty(len(rows), model.head.dtype)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    start = 0
    while start < len(order):
        stop = start + 1
        while stop < len(order) and (stop + 1 - start) * len(rows[order[stop]]) <= size:
            stop += 1
        part = order[start:stop]
        tokens, last = padded([rows[i] for i in part])
        h, _ = backbone_forward(model.backbone, config, tokens, ops, recompute=True)
        found[part] = h[np.arange(len(part)), last] @ model.head
        start = stop
    return found


@dataclass(frozen=True)
class Scorer:
    """A reward model with its shape: scores rows of ids."""

    model: RewardModel
    config: ModelConfig

    def scores(self, rows: Sequence[Sequence[int] | Ints]) -> Float32:
        """Higher is better; (n,)."""
        return scores_of(self.model, self.config, rows)


def write_scorer(folder: Path, scorer: Scorer) -> None:
    """As a folder that opens as a Llama everywhere, with the head beside it."""
    write_model(folder, scorer.config, scorer.model)


def read_scorer(folder: Path, config: ModelConfig) -> Scorer:
    """What `write_scorer`, or a checkpoint of a run, holds."""
    pattern = RewardModel(empty_params(config), np.broadcast_to(np.float32(0), (config.dim,)))
    found, model = read_model(folder, pattern)
    return Scorer(model, found)
