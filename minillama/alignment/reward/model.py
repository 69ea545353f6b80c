"""A reward model: the backbone of a chat model with one number in place of the next token (LLaMA 2 section 3.2.2).

    r(x, y) = h_T . w            h_T: the hidden state of the last token of dialogue and answer, w: (D,)

Which token is read is unconfirmed; the last one is usual, and has seen everything. Backbone and policy begin as the
same chat model, so that what the one knows the other knows too.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...checkpoints.native import read_native
from ...compute.array_types import Float
from ...config import ModelConfig
from ...files.errors import CheckpointError
from ...params import Params, empty_params
from ...training.checkpoint import HEADS_NAME, read_model, write_model


class RewardModel(NamedTuple):
    """A tree: a Llama, of which only the hidden states are used, and the head (D,)."""

    backbone: Params
    head: Float


def reward_model(backbone: Params) -> RewardModel:
    """A model that gives every answer 0, to be trained."""
    return RewardModel(backbone, np.zeros(backbone.final_norm.shape, backbone.final_norm.dtype))


def reward_pattern(config: ModelConfig) -> RewardModel:
    """A tree of the right shapes: what a checkpoint is read into."""
    return RewardModel(empty_params(config), np.broadcast_to(np.float32(0), (config.dim,)))


def write_reward_model(folder: Path, config: ModelConfig, model: RewardModel) -> None:
    """As a folder that opens as a Llama everywhere, with the head beside it."""
    write_model(folder, config, model)


def read_reward_model(folder: Path, config: ModelConfig | None = None) -> tuple[ModelConfig, RewardModel]:
    """What `write_reward_model`, or a checkpoint of a run, holds; `config` says what shapes are expected, if any.

    Raises
    ------
    CheckpointError
        When there is no such model, as in the folder of a chat model, or it is damaged.
    """
    if not (folder / HEADS_NAME).exists():
        raise CheckpointError(folder, "folder", f"expected that of a reward model's checkpoint, found no {HEADS_NAME}")
    return read_model(folder, reward_pattern(read_native(folder).config if config is None else config))
