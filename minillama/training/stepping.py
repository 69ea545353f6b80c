"""One step after the other: the model while it is trained, and the checks that come before anything is changed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..config import ModelConfig
from ..params import Params, init_params
from ..trees import named_leaves
from .optimizer import AdamW, clip_scale, global_norm
from .preparing import Prepared
from .run_folder import RunError, RunFolder
from .sampling_preview import Sample, write_samples
from .schedule import Schedule
from .state import Progress, write_state

Row = dict[str, Any]
"""A step's figures, by the columns of metrics.py."""


class Engine(NamedTuple):
    """What computes: both as in gradients.py, with `ops`, threads and parts already chosen."""

    loss_and_gradients: Callable[[Params, ModelConfig, Any, Any], tuple[float, Params]]
    evaluate: Callable[[Params, ModelConfig, Sequence[Any]], tuple[float, int]]


class DivergedError(RunError):
    """Loss or gradient are no numbers any more; nothing was changed or saved after that."""


class Training:
    """Parameters, optimizer and position of a run in memory.

    Attributes
    ----------
    params : Params
        Changed in place.
    progress : Progress
    """

    def __init__(self, prepared: Prepared, engine: Engine, threads: int) -> None:
        settings, config = prepared.settings, prepared.config
        self.prepared, self.settings, self.config, self._engine = prepared, settings, config, engine
        self.params = init_params(config, np.random.default_rng(settings.run.seed))
        self.optimizer = self._make_optimizer(self.params)
        schedule = settings.schedule
        self._rate = Schedule(schedule.peak, schedule.warmup_steps, schedule.total_steps, schedule.final_fraction)
        self.progress = Progress(threads=threads, data=prepared.fingerprints)

    def _make_optimizer(self, params: Params) -> AdamW:
        given = self.settings.optimizer
        betas = (given.beta1, given.beta2)
        return AdamW(params, betas=betas, eps=given.eps, weight_decay=given.weight_decay)

    def restore(self, params: Params, moments: tuple[Params, Params], progress: Progress) -> None:
        """Go on from what a checkpoint holds."""
        self.params = params
        self.optimizer = self._make_optimizer(params)
        self.optimizer.m, self.optimizer.v = moments
        self.optimizer.n_steps = progress.n_steps
        self.progress = replace(progress, threads=self.progress.threads)

    def update(self) -> Row:
        """One step.

        Raises
        ------
        DivergedError
            Before anything is changed.
        """
        begin, step = time.perf_counter(), self.progress.step + 1
        tokens, targets = self.prepared.batches.batch(step - 1)
        loss, gradients = self._engine.loss_and_gradients(self.params, self.config, tokens, targets)
        norm = global_norm(gradients)
        _check_finite(step, loss, norm, gradients, self.settings.run.gradient_norm_limit)
        clip = self.settings.optimizer.clip_norm
        rate = self._rate(step)
        self.optimizer.update(gradients, rate, clip_scale(norm, clip) if clip else 1.0)
        seconds = time.perf_counter() - begin
        progress = self.progress
        progress.step, progress.n_steps = step, self.optimizer.n_steps
        progress.seconds += seconds
        return {
            "step": step,
            "loss": float(loss),
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens": step * tokens.size,
            "seconds": round(progress.seconds, 3),
            "tokens_per_second": round(tokens.size / max(seconds, 1e-9), 1),
        }

    def validate(self) -> Row:
        """Loss in nats a token, perplexity and bits per byte of the validation text; {} without one."""
        if self.prepared.validation is None:
            return {}
        batches, n_bytes = self.prepared.validation
        total, count = self._engine.evaluate(self.params, self.config, batches)
        loss = float(total) / count
        if not math.isfinite(loss):
            raise DivergedError(f"the validation loss at step {self.progress.step} is {loss}. {_ADVICE}")
        best = self.progress.best_loss
        if best is None or loss < best:
            self.progress.best_step, self.progress.best_loss = self.progress.step, loss
        perplexity = math.exp(min(loss, 700.0))
        bits = float(total) / math.log(2) / max(1, n_bytes)
        return {"validation_loss": loss, "perplexity": perplexity, "bits_per_byte": bits}

    def samples(self) -> list[Sample]:
        """What the model writes now."""
        return write_samples(self.params, self.config, self.prepared.tokenizer, self.settings.run, self.progress.step)

    def save(self, folder: RunFolder, validation_loss: float | None) -> Path:
        """Write a checkpoint, then remove those that are no longer needed."""
        for name, array in named_leaves(self.params):
            if not np.isfinite(array).all():
                raise DivergedError(f"after step {self.progress.step} {name} is not finite any more. {_ADVICE}")
        self.progress.validation_loss = validation_loss
        moments = (self.optimizer.m, self.optimizer.v)

        def write(target: Path) -> None:
            write_state(
                target, self.settings, self.config, self.params, moments, self.prepared.tokenizer, self.progress
            )

        path = folder.save(self.progress.step, write)
        folder.prune(self.settings.run.keep_every)
        return path


_ADVICE = "Nothing was saved after that. Lower [schedule] peak or lengthen the warm-up, in a new folder"


def _check_finite(step: int, loss: float, norm: float, gradients: Params, limit: float) -> None:
    if math.isfinite(loss) and math.isfinite(norm):
        if limit and norm > limit:
            raise DivergedError(
                f"the gradient norm at step {step} is {norm:.4g}, above [run] gradient_norm_limit {limit:g}. {_ADVICE}"
            )
        return
    broken = [name for name, array in named_leaves(gradients) if not np.isfinite(array).all()]
    where = "every gradient is finite"
    if broken:
        where = f"{broken[0]} is the first tensor with a gradient that is not finite ({len(broken)} have one)"
    raise DivergedError(f"at step {step} the loss is {loss:.4g} and the gradient norm {norm:.4g}: {where}. {_ADVICE}")
