"""A stage of training: what the trainer asks of pretraining, fine-tuning, a reward model, PPO.

    model = stage.start()                                               or that of a checkpoint
    for each step:   batch = stage.batch(step, model)
                     sums, gradients = stage.objective(model, batch)    on every thread a part of the batch
                     row = stage.figures(step, sums, seconds)
    now and then:    stage.evaluate(model, workers),  stage.samples(model, step),  stage.save(folder)

A batch is a function of seed, step and weights, not of a generator with a memory: a run that resumes
needs nothing but the step. The trainer (trainer.py) knows lock, loop, optimizer, metrics and checkpoints,
and of what is learned no more than the sums called "loss" and "count".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..trees import Tree
from .gradients import Sums
from .objectives import Batch, Objective
from .samples import Sample
from .settings import StageSettings
from .workers import Workers

Row = dict[str, Any]
"""A step's figures by their column."""


class Stage(ABC):
    """What is learned, from what, and how it is judged.

    Attributes
    ----------
    settings : StageSettings
        Optimizer, schedule and run, with nothing left open.
    config : ModelConfig
        Of the Llama in the model: checkpoints say it.
    objective : Objective
    columns : tuple of str
        Of metrics.csv in their order. The trainer fills in "step", "learning_rate", "gradient_norm" and
        "seconds", the others come from `figures` and `evaluate`.
    micro_batches : int
        Parts that every thread computes its share of a batch in, to save memory.
    fingerprints : mapping
        A digest of each source of data by its name; a run is not resumed on other data.
    seeds : mapping
        What draws from which seed, for people.
    notes : sequence of str
        What a person should know before the first step.
    """

    settings: StageSettings
    config: ModelConfig
    objective: Objective
    columns: tuple[str, ...]
    micro_batches: int = 1
    fingerprints: Mapping[str, str] = {}
    seeds: Mapping[str, int] = {}
    notes: Sequence[str] = ()

    @abstractmethod
    def start(self) -> Tree:
        """The model before the first step: new weights, or those of a checkpoint; plain float32 arrays."""

    @abstractmethod
    def pattern(self) -> Tree:
        """A tree like the model, of the right shapes (`params.empty_params`): what a checkpoint is read into."""

    @abstractmethod
    def batch(self, step: int, model: Tree) -> Batch:
        """What update number `step`, from 1, learns from: a function of the seed, the step and the weights."""

    @abstractmethod
    def binding(self) -> dict[str, Any]:
        """What must not change in a run, by name: values that JSON can hold."""

    @abstractmethod
    def settings_text(self, folder: Path) -> str:
        """The settings as TOML, with paths relative to a folder."""

    @abstractmethod
    def check_settings(self, path: Path) -> None:
        """Raise ValueError, naming each setting, unless the run that wrote `path` (`settings_text`) was this one."""

    def rate_factor(self, name: str) -> float:
        """What the learning rate of the parameter of that name is multiplied by."""
        return 1.0

    @abstractmethod
    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        """The stage's columns of a step that took `seconds`, from the sums over its batch."""

    def evaluate(self, model: Tree, workers: Workers) -> Row:
        """More columns, for a step that is validated; {} where there is nothing to validate on.

        "validation_loss" is what checkpoints are compared by: the lowest is the best and is kept.
        """
        return {}

    def samples(self, model: Tree, step: int) -> list[Sample]:
        """What the model writes now."""
        return []

    def save(self, folder: Path) -> None:  # noqa: B027 (many stages add nothing)
        """Write what a checkpoint needs besides weights and moments, such as the tokenizer."""
