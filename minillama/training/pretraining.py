"""Pretraining, the first stage: rows of tokens from shards, and the next token of each (LLaMA 2 section 2).

A run begins from new weights, or with `init_from` from those of another model: what is then learned further
are its weights, with a fresh optimizer. It is judged by the loss in nats a token, the perplexity and the bits per
byte of a validation text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..config import ModelConfig
from ..data.batches import Batches, Source, ValidationBatches, validation_batches
from ..data.shards.reading import TokenShards, tokenizer_fingerprint
from ..files.errors import CheckpointError
from ..params import Params, empty_params, init_params
from ..tokenizers import Tokenizer, load_tokenizer, save_tokenizer
from .gradients import Sums, next_token_sums
from .initial import Initial, open_initial
from .objectives import NextToken, Rows
from .run_folder import RunFolder
from .samples import Sample, write_samples
from .settings import TrainSettings, binding, check_unchanged, model_config, resolve
from .settings_toml import format_settings, read_settings
from .stage import Row, Stage
from .workers import Workers

COLUMNS = (
    "step",
    "loss",  # nats a token, mean of the batch
    "learning_rate",
    "gradient_norm",  # before clipping
    "tokens",  # since the beginning
    "seconds",  # of training, since the beginning
    "tokens_per_second",
    "validation_loss",  # nats a token; the last three only where the step was validated
    "perplexity",
    "bits_per_byte",
)


class Pretraining(Stage):
    """Next-token prediction on shards.

    Attributes
    ----------
    settings : TrainSettings
        Resolved.
    config : ModelConfig
    tokenizer : Tokenizer
    batches : Batches
    validation : ValidationBatches or None
    """

    columns = COLUMNS
    settings: TrainSettings

    def __init__(
        self,
        settings: TrainSettings,
        config: ModelConfig,
        tokenizer: Tokenizer,
        batches: Batches,
        validation: ValidationBatches | None,
        fingerprints: Mapping[str, str],
    ) -> None:
        self.settings, self.config, self.tokenizer = settings, config, tokenizer
        self.batches, self.validation, self.fingerprints = batches, validation, fingerprints
        self.objective = NextToken(config, settings.run.recompute)
        self.micro_batches = settings.data.micro_batches
        self.seeds = {"parameters and samples": settings.run.seed, "data": settings.data.seed}
        if unused := config.vocab_size - tokenizer.vocab_size:
            self.notes = (f"[model] vocab_size {config.vocab_size}: {unused} more than the tokenizer's tokens",)

    def start(self) -> Params:
        run = self.settings.run
        if run.init_from is None:
            return init_params(self.config, np.random.default_rng(run.seed))
        return _initial(run.init_from, self.config, self.tokenizer).trainable()

    def pattern(self) -> Params:
        return empty_params(self.config)

    def batch(self, step: int, model: Params) -> Rows:
        return Rows(*self.batches.batch(step - 1))

    def binding(self) -> dict[str, Any]:
        return binding(self.settings)

    def settings_text(self, folder: Path) -> str:
        return format_settings(self.settings, folder)

    def check_settings(self, path: Path) -> None:
        check_unchanged(read_settings(path), self.settings)

    def figures(self, step: int, sums: Sums, seconds: float) -> Row:
        n_tokens = self.batches.batch_size * self.batches.seq_len
        return {
            "loss": sums["loss"] / max(1.0, sums["count"]),
            "tokens": step * n_tokens,
            "tokens_per_second": round(n_tokens / max(seconds, 1e-9), 1),
        }

    def evaluate(self, model: Params, workers: Workers) -> Row:
        """Loss in nats a token, perplexity and bits per byte of the validation text; {} without one."""
        if self.validation is None:
            return {}
        batches, n_bytes = self.validation
        sums = workers.sums(lambda batch: next_token_sums(model, self.config, *batch), batches)
        loss = sums["loss"] / sums["count"]
        bits = sums["loss"] / math.log(2) / max(1, n_bytes)
        return {"validation_loss": loss, "perplexity": math.exp(min(loss, 700.0)), "bits_per_byte": bits}

    def samples(self, model: Params, step: int) -> list[Sample]:
        return write_samples(model, self.config, self.tokenizer, self.settings.run, step)

    def save(self, folder: Path) -> None:
        save_tokenizer(self.tokenizer, folder)


# --- from settings -----------------------------------------------------------------------


def settings_before(folder: RunFolder) -> TrainSettings | None:
    """The resolved settings that a run began with; None where no run has begun."""
    return read_settings(folder.config) if folder.config.exists() else None


def prepare(settings: TrainSettings, before: TrainSettings | None = None) -> Pretraining:
    """Open the data and check that it belongs together; `before` as in `resolve`.

    Raises
    ------
    ValueError
        When settings or files do not fit each other. CheckpointError, one of them, for a damaged file.
    """
    tokenizer = load_tokenizer(settings.data.tokenizer)
    settings = _with_shape(settings, before)
    config = model_config(settings, tokenizer)
    if settings.run.init_from is not None and before is None:
        _initial(settings.run.init_from, config, tokenizer)  # complain before a folder is made
    settings = resolve(settings, config, before)
    data = settings.data
    sources = [
        Source(source.name, _shards(source.path, f"source {source.name}", tokenizer), source.weight)
        for source in data.sources
    ]
    fingerprints = {f"source {source.name}": data_fingerprint(source.path) for source in data.sources}
    validation = None
    if data.validation is not None:
        shards = _shards(data.validation, "validation", tokenizer)
        rows = max(1, data.batch_size // data.micro_batches)
        validation = validation_batches(shards, data.seq_len, min(rows, 32))
        fingerprints["validation"] = data_fingerprint(data.validation)
    batches = Batches(sources, data.batch_size, data.seq_len, data.seed)
    return Pretraining(settings, config, tokenizer, batches, validation, fingerprints)


def _with_shape(settings: TrainSettings, before: TrainSettings | None) -> TrainSettings:
    """With `init_from`, what [model] leaves open is as in that model (or as in the run that goes on)."""
    source = settings.run.init_from
    if source is None or "size" in settings.model:
        return settings
    known: dict[str, Any] = before.model if before is not None else open_initial(source).config.described()
    return dataclasses.replace(settings, model={**known, **settings.model})


def _initial(source: str | Path, config: ModelConfig, tokenizer: Tokenizer) -> Initial:
    initial = open_initial(source)
    initial.check(config, tokenizer)
    return initial


def _shards(path: Path, what: str, tokenizer: Tokenizer) -> TokenShards:
    shards = TokenShards(path)
    if shards.tokenizer != tokenizer_fingerprint(tokenizer):
        raise ValueError(
            f"{path} ({what}) was written with another tokenizer than [data] tokenizer: "
            "write its tokens again, or name the tokenizer that it was written with"
        )
    return shards


def data_fingerprint(folder: Path) -> str:
    """A digest of a token folder's description, which has a digest of every shard."""
    try:
        return hashlib.sha256((folder / "tokens.json").read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(folder / "tokens.json", "file", f"cannot be read: {error.strerror}") from error
