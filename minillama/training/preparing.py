"""From settings to everything a run works with: model's shape, tokenizer, batches, validation text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..config import ModelConfig
from ..data.batches import Batches, Source, ValidationBatches, validation_batches
from ..data.shards.reading import TokenShards, tokenizer_fingerprint
from ..tokenizers import Tokenizer, load_tokenizer
from .run_folder import RunError
from .settings import TrainSettings, model_config, resolve
from .state import data_fingerprint

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class Prepared:
    """What a run works with.

    Attributes
    ----------
    settings : TrainSettings
        Resolved.
    config : ModelConfig
    tokenizer : Tokenizer
    batches : Batches
    validation : ValidationBatches or None
    fingerprints : dict
        A digest of each token folder, by its name.
    """

    settings: TrainSettings
    config: ModelConfig
    tokenizer: Tokenizer
    batches: Batches
    validation: ValidationBatches | None
    fingerprints: dict[str, str]


def prepare(settings: TrainSettings, before: TrainSettings | None = None) -> Prepared:
    """Open the data and check that it belongs together; `before` as in `resolve`.

    Raises
    ------
    ValueError
        When settings or files do not fit each other. CheckpointError, one of them, for a damaged file.
    """
    tokenizer = load_tokenizer(settings.data.tokenizer)
    config = model_config(settings, tokenizer)
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
    return Prepared(settings, config, tokenizer, batches, validation, fingerprints)


def _shards(path: Path, what: str, tokenizer: Tokenizer) -> TokenShards:
    shards = TokenShards(path)
    if shards.tokenizer != tokenizer_fingerprint(tokenizer):
        raise ValueError(
            f"{path} ({what}) was written with another tokenizer than [data] tokenizer: "
            "write its tokens again, or name the tokenizer that it was written with"
        )
    return shards


def check_same_data(before: dict[str, str], now: dict[str, str]) -> None:
    """Raise RunError when a token folder's content is not what the run began with."""
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise RunError(
            f"the tokens of {', '.join(changed)} are not those that this run began with: put them back to resume it, "
            "or train in another folder (--out)"
        )


def check_memory(config: ModelConfig, threads: int) -> None:
    """Raise RunError, before anything is made, for a model that this machine's memory cannot hold."""
    memory = physical_memory()
    needed = config.n_parameters * _FLOAT * (3 + threads)  # parameters, two moments, gradients of each thread
    if memory is not None and needed > memory:
        raise RunError(
            f"{config.n_parameters:,} parameters with their moments and the gradients of {threads} threads take "
            f"{needed / 1e9:,.1f} GB before any activation; this machine has {memory / 1e9:,.1f} GB: "
            "take a smaller model, or fewer threads"
        )


def physical_memory() -> int | None:
    """Bytes of memory of this machine; None where the system does not say."""
    sysconf: Any = getattr(os, "sysconf", None)
    if sysconf is None:
        return None
    try:
        return int(sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError):
        return None
