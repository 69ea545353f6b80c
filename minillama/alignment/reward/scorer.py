"""Scores of answers by a reward model: many rows of ids at once, or one dialogue as text.

Rows that follow each other and begin alike, the answers to one prompt, share the computation of their beginning. Parts
of a few thousand tokens go to the threads; how rows are cut into parts does not depend on the number of threads, so
that the scores do not either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ...compute.array_types import Float, Float32, Ints
from ...config import ModelConfig
from ...evaluation.common.dialogue import Dialogue
from ...files.atomic import atomic_write
from ...files.json_object import Fields, read_object
from ...inference.chat import ChatTemplate
from ...ops import FAST, Ops
from ...params import Params
from ...tokenizers import Tokenizer
from ...training.objectives import shares
from ...training.workers import Workers
from ..conversations import conversation_of
from .beginnings import n_common, states_forward, together
from .model import RewardModel, read_reward_model, write_reward_model
from .token_pairs import TokenPair, batch_of, tokens_of

Row = Sequence[int] | Ints
Group = tuple[list[Row], int]
"""Rows, and with how many tokens they all begin."""

_PART = 2048  # tokens of a part
_WORTH = 16  # tokens saved from which a row joins a group: a call of attention more costs about that


@dataclass(frozen=True)
class Scorer:
    """A reward model with its shape; with a tokenizer and a chat format it scores dialogues too.

    Attributes
    ----------
    model : RewardModel
    config : ModelConfig
    tokenizer : Tokenizer, optional
    chat : ChatTemplate, optional
    threads : int, optional
        All cores by default.
    shift : float
        Is taken from every score: the ranking loss fixes them up to a constant.
    """

    model: RewardModel
    config: ModelConfig
    tokenizer: Tokenizer | None = field(default=None, compare=False)
    chat: ChatTemplate | None = field(default=None, compare=False)
    threads: int | None = None
    shift: float = 0.0

    def scores(self, rows: Sequence[Row]) -> Float32:
        """Higher is better; (n,), for rows of the ids of dialogue and answer, with its end."""
        return scores_of(self.model, self.config, rows, threads=self.threads) - np.float32(self.shift)

    def score(self, dialogue: Dialogue) -> float:
        """That of the last answer of a dialogue: `evaluation.common.dialogue.Scorer`."""
        return float(self.scores([self.ids_of(dialogue)])[0])

    def score_many(self, dialogues: Sequence[Dialogue]) -> Float32:
        """`score` of many at once; those with the same beginning are best given one after the other."""
        return self.scores([self.ids_of(dialogue) for dialogue in dialogues])

    def ids_of(self, dialogue: Dialogue) -> Ints:
        """The ids of a dialogue that ends with an answer.

        Raises
        ------
        ValueError
            When it does not, or the scorer was made without tokenizer or chat format.
        """
        if self.tokenizer is None or self.chat is None:
            raise ValueError("this scorer knows ids only: make it with tokenizer= and chat= to score dialogues")
        return conversation_of(dialogue, self.chat, self.tokenizer).ids


def scores_of(
    model: RewardModel, config: ModelConfig, rows: Sequence[Row], ops: Ops = FAST, *, threads: int | None = None
) -> Float32:
    """The score of every row of ids, dialogue and answer with its end."""
    if not len(rows):
        return np.empty(0, model.head.dtype)

    def work(part: list[Group]) -> Float:
        laid = together(part)
        h, _, _ = states_forward(model.backbone, config, laid, ops, recompute=True)
        return h[laid.ends] @ model.head

    with Workers(threads) as workers:
        return np.concatenate(workers.map(work, list(_parts(rows))))


def pair_scores(
    model: RewardModel, config: ModelConfig, pairs: Sequence[TokenPair], workers: Workers | None = None
) -> Float32:
    """The scores of chosen and rejected answers, (n, 2); of pairs with hidden states by the part that was trained."""
    return np.matmul(end_states(model.backbone, config, pairs, workers), model.head)


def end_states(
    backbone: Params, config: ModelConfig, pairs: Sequence[TokenPair], workers: Workers | None = None
) -> Float32:
    """Hidden states of the last tokens of chosen and rejected answers, (n, 2, D)."""

    def work(part: slice) -> Float:
        batch = batch_of(pairs[part])
        laid, x = batch.laid_out(), None
        if batch.below is not None:
            x = np.concatenate(batch.below).astype(backbone.final_norm.dtype, copy=False)
        h, _, _ = states_forward(backbone, config, laid, x=x, recompute=True)
        return h[laid.ends].reshape(-1, 2, h.shape[1])

    if not pairs:
        return np.empty((0, 2, config.dim), backbone.final_norm.dtype)
    with nullcontext(workers) if workers is not None else Workers() as team:
        parts = shares(len(pairs), -(-tokens_of(pairs) // _PART))
        return np.concatenate(team.map(work, parts))


def grouped(rows: Sequence[Row]) -> list[Group]:
    """Rows in their order, in groups that begin alike: a row joins where that leaves fewer tokens to compute."""
    groups: list[Group] = []
    for row in rows:
        if groups:
            members, shared = groups[-1]
            less = min(n_common(members[0], row), shared) if len(members) > 1 else n_common(members[0], row)
            if len(members) * less >= (len(members) - 1) * shared + _WORTH:
                groups[-1] = ([*members, row], less)
                continue
        groups.append(([row], 0))
    return groups


def _parts(rows: Sequence[Row]) -> Iterator[list[Group]]:
    """Groups of together about _PART tokens."""
    part: list[Group] = []
    size = 0
    for group, shared in grouped(rows):
        more = sum(len(row) for row in group) - (len(group) - 1) * shared
        if part and size + more > _PART:
            yield part
            part, size = [], 0
        part.append((group, shared))
        size += more
    if part:
        yield part


SHIFT = "shift.json"
"""Beside a model's files: what is taken from its scores."""


def write_scorer(folder: Path, scorer: Scorer) -> None:
    """As a folder that opens as a Llama everywhere, with the head and the shift beside it."""
    write_reward_model(folder, scorer.config, scorer.model)
    if scorer.shift:
        write_shift(folder, scorer.shift)


def write_shift(folder: Path, shift: float) -> None:
    """What is taken from every score of the model in a folder."""
    with atomic_write(folder / SHIFT) as file:
        file.write((json.dumps({"shift": shift}) + "\n").encode())


def read_shift(folder: Path) -> float:
    """What is taken from every score of the model in a folder; 0 where nothing says so.

    Raises
    ------
    CheckpointError
        When the file is damaged.
    """
    path = folder / SHIFT
    return Fields(read_object(path), path).number("shift") if path.exists() else 0.0


def read_scorer(
    folder: Path,
    config: ModelConfig | None = None,
    *,
    tokenizer: Tokenizer | None = None,
    chat: ChatTemplate | None = None,
) -> Scorer:
    """What `write_scorer`, or a checkpoint of a run, holds.

    Parameters
    ----------
    config : ModelConfig, optional
        What shapes are expected; by default those that the folder says it has.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, or is no reward model.
    """
    found, model = read_reward_model(folder, config)
    return Scorer(model, found, tokenizer, chat, shift=read_shift(folder))
