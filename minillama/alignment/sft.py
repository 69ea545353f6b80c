"""Supervised fine-tuning (LLaMA 2 section 3.1): a model learns to answer from answers that were written for it.

    L = - sum_t w_t log p(x_t | x_<t) / sum_t w_t           w = 1 in answers with their ends, 0 in prompts

The gradient is that of pretraining with the prompts' part left out (conversations/objective.py). As in the paper:
2e-5, cosine, weight decay 0.1, two epochs, 64 rows of 4096 packed tokens. Unconfirmed, and chosen here: the cosine ends
at a tenth and warm-up takes 3 % of the steps, as in pretraining; the mean is over the learned tokens of a batch; packed
conversations see those before them; the end of an answer is learned with it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..params import Params, empty_params
from ..training.gradients import Sums, next_token_sums
from ..training.run_folder import RunFolder
from ..training.stage import Row
from ..training.trainer import Observer, Outcome, train
from ..training.workers import Workers
from ..trees import map_tree
from .conversations import Example, WeightedNextToken, WeightedRows, rows_of, side_by_side
from .example_sources import ExampleSource, Passes
from .models import ChatModel
from .stage import AlignmentSettings, AlignmentStage, settings_of

_VALIDATION_TOKENS = 4096  # of a batch of held-out examples


@dataclass(frozen=True, kw_only=True)
class FineTuningSettings:
    """What the paper says, unless told otherwise.

    Attributes
    ----------
    peak : float
        The learning rate after warm-up.
    final_fraction : float
        What a cosine takes it down to, as a share of the peak; 0 is allowed.
    epochs : int
        Passes over a fixed list.
    rows, length : int
        Packed rows in a step, and tokens in each.
    tokens : int or None
        With a number conversations are not packed but stand side by side, about so many tokens in a step.
    weight_decay : float
    warmup_fraction : float
        Of the steps; at least five.
    checkpoint_every, validate_every : int
        In steps; 0 is at the end alone.
    micro_batches : int
        Parts that every thread computes its share of a step in, to save memory.
    seed : int
        Of the order of the examples.
    """

    peak: float = 2e-5
    final_fraction: float = 0.1
    epochs: int = 2
    rows: int = 64
    length: int = 4096
    tokens: int | None = None
    weight_decay: float = 0.1
    warmup_fraction: float = 0.03
    checkpoint_every: int = 100
    validate_every: int = 0
    micro_batches: int = 1
    seed: int = 0


PAPER = FineTuningSettings()
"""LLaMA 2's, for its four sizes: 262,144 tokens a step, some hundred steps for 27,540 annotations."""

STORY = FineTuningSettings(peak=1e-3, final_fraction=0.0, epochs=1, tokens=2048, checkpoint_every=250)
"""For a model of three million parameters and some million tokens of demonstrations.

The rate is 2e-5 times 50: narrow models bear higher ones (pretraining's peak goes with 1 / sqrt(dim), a factor of 4.6
from 4096 to 192), and this one has to learn from the demonstrations most of what it is to know. The batch shrinks from
262,144 tokens to 2,048, so that thousands of steps are left; conversations stand side by side, because rows of 4096
hold more than the model's context; one pass, for every example is drawn anew; the rate falls to 0.
"""

SMOLLM2 = FineTuningSettings(peak=1e-4, tokens=4096, micro_batches=2, checkpoint_every=50)
"""For 135 million parameters and some thousand conversations, in hours on a laptop.

Epochs, decay and cosine as published. The batch is 4,096 tokens in place of 262,144, for some hundred steps; the rate
is five times the paper's (4096 / 576 is 7.1, and its root 2.7: twice that, for a batch 64 times smaller).
"""


class FineTuning(AlignmentStage):
    """Fine-tuning on answers.

    Parameters
    ----------
    model : ChatModel
        Where it starts; not changed.
    source : ExampleSource
        `Passes` over a list, or `Drawn`.
    settings : FineTuningSettings
    steps : int, optional
        By default as many as a source of `Passes` has.
    held_out : sequence of Example
        What the validation loss, nats a learned token, is measured on.
    name : str
        Of the table in config.toml.
    """

    columns = (
        "step",
        "loss",  # nats a learned token, weighted as it is learned
        "nats",  # the same without weights
        "learned",  # tokens with a weight in this step
        "tokens",  # in this step, padding included
        "learning_rate",
        "gradient_norm",
        "tokens_per_second",
        "seconds",
        "validation_loss",  # nats a learned token of the held-out examples
    )

    def __init__(
        self,
        model: ChatModel,
        source: ExampleSource,
        settings: FineTuningSettings,
        *,
        steps: int | None = None,
        held_out: Sequence[Example] = (),
        name: str = "sft",
    ) -> None:
        if steps is None:
            if not isinstance(source, Passes):
                raise ValueError("examples that are drawn anew have no end: say how many steps to take (steps=)")
            steps = source.n_steps
        super().__init__(_run_settings(name, steps, settings), model.config, model.tokenizer)
        self.source, self._model = source, model
        self.objective = WeightedNextToken(model.config)
        self.micro_batches = settings.micro_batches
        self.fingerprints = {"examples": source.fingerprint, "first model": model.digest}
        batches = side_by_side(held_out, _VALIDATION_TOKENS, np.random.default_rng(0)) if held_out else []
        self._held_out = [rows_of(batch) for batch in batches]

    def start(self) -> Params:
        return map_tree(lambda array: array.copy(), self._model.params)

    def pattern(self) -> Params:
        return empty_params(self.config)

    def batch(self, step: int, model: Params) -> WeightedRows:
        return rows_of(self.source.examples(step))

    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        return {
            "loss": sums["loss"] / max(1.0, sums["count"]),
            "nats": sums["nats"] / max(1.0, sums["learned"]),
            "learned": int(sums["learned"]),
            "tokens": int(sums["tokens"]),
            "tokens_per_second": round(sums["tokens"] / max(seconds, 1e-9), 1),
        }

    def evaluate(self, model: Params, workers: Workers) -> Row:
        """Nats a learned token of the held-out examples; {} where there are none."""
        if not self._held_out:
            return {}
        measure = lambda rows: next_token_sums(model, self.config, rows.tokens, rows.targets)  # noqa: E731
        sums = workers.sums(measure, self._held_out)
        return {"validation_loss": sums["loss"] / max(1.0, sums["count"])}


def _run_settings(name: str, steps: int, settings: FineTuningSettings) -> AlignmentSettings:
    return settings_of(
        name,
        steps=steps,
        peak=settings.peak,
        warmup_fraction=settings.warmup_fraction,
        final_fraction=settings.final_fraction,
        weight_decay=settings.weight_decay,
        checkpoint_every=settings.checkpoint_every,
        validate_every=settings.validate_every,
        seed=settings.seed,
        epochs=settings.epochs,
        rows=settings.rows,
        length=settings.length,
        tokens=settings.tokens,
        micro_batches=settings.micro_batches,
    )


def fine_tune(
    model: ChatModel,
    examples: Sequence[Example] | ExampleSource,
    folder: str | os.PathLike[str],
    observer: Observer,
    settings: FineTuningSettings = PAPER,
    *,
    steps: int | None = None,
    held_out: Sequence[Example] = (),
    **options: Any,
) -> Outcome:
    """Fine-tune in a run's folder, from the beginning or from where it was stopped.

    Parameters
    ----------
    model : ChatModel
        Not changed; `ChatModel.load(outcome.checkpoint)` opens what came of it.
    examples : sequence of Example, or ExampleSource
    folder : path-like
    observer : Observer
    steps, held_out
        See `FineTuning`.
    **options
        Of `training.trainer.train`: threads, stop, resume_command.

    Raises
    ------
    ValueError
        When there is nothing to learn. RunError, one of them, as `train`.
    """
    source = examples if not isinstance(examples, Sequence) else passes_of(examples, settings)
    stage = FineTuning(model, source, settings, steps=steps, held_out=held_out)
    return train(stage, RunFolder(folder), observer, resume=True, **options)


def passes_of(examples: Sequence[Example], settings: FineTuningSettings) -> Passes:
    """A fixed list as the settings divide it into steps."""
    return Passes(
        examples,
        epochs=settings.epochs,
        seed=settings.seed,
        rows=settings.rows,
        length=settings.length,
        tokens=settings.tokens,
    )
