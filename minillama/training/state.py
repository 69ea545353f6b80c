"""What a checkpoint of a run holds, written and read back bit for bit.

    minillama.json, model.safetensors    the model (checkpoints/native.py)
    tokenizer.model …                    its tokenizer, so that the folder can be used by itself
    optimizer.safetensors                AdamW's moments: "m.NAME" and "v.NAME", float32
    training.json                        the step and everything else that resuming needs

There is no state of random numbers to keep: every draw of a run (first parameters, order of the data, samples)
comes from a generator made anew from the seed and the step. training.json names these seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.errors import CheckpointError
from ..checkpoints.files import atomic_write, check_names, check_shape
from ..checkpoints.json_object import Fields, read_object
from ..checkpoints.native import read_native, write_native
from ..checkpoints.safetensors import SafetensorsFile, TensorToWrite, write_safetensors
from ..config import ModelConfig
from ..params import Params, build_params
from ..tokenizers import Tokenizer
from ..trees import named_leaves
from .run_folder import STATE_NAME, RunError
from .settings import TrainSettings, binding

OPTIMIZER_NAME = "optimizer.safetensors"
_VERSION = 1


@dataclass
class Progress:
    """How far a run has come.

    Attributes
    ----------
    step : int
        Updates made.
    n_steps : int
        The optimizer's own count, for its bias correction.
    seconds : float
        Spent training, over all processes that worked on the run.
    threads : int
        Another number may round sums in another order.
    validation_loss : float or None
        Of this checkpoint, in nats a token.
    best_step, best_loss : int or None, float or None
        The best validation so far.
    data : dict
        Fingerprints of the token folders by name.
    """

    step: int = 0
    n_steps: int = 0
    seconds: float = 0.0
    threads: int = 1
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    data: dict[str, str] = field(default_factory=dict)


def settings_hash(settings: TrainSettings) -> str:
    """A digest of all settings that must not change in a run."""
    return hashlib.sha256(json.dumps(binding(settings), sort_keys=True).encode()).hexdigest()


def data_fingerprint(folder: Path) -> str:
    """A digest of a token folder's description, which has a digest of every shard."""
    try:
        return hashlib.sha256((folder / "tokens.json").read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(folder / "tokens.json", "file", f"cannot be read: {error.strerror}") from error


def write_state(
    folder: Path,
    settings: TrainSettings,
    config: ModelConfig,
    params: Params,
    moments: tuple[Params, Params],
    tokenizer: Tokenizer,
    progress: Progress,
) -> None:
    """Write a whole checkpoint into a folder that nobody looks at yet; every file is forced to disk."""
    metadata = {"step": progress.step, "validation_loss": progress.validation_loss}
    write_native(folder, config, params, metadata=metadata)
    tokenizer.save(folder)
    tensors = {
        f"{kind}.{name}": TensorToWrite("F32", array.shape, _one(array))
        for kind, tree in zip("mv", moments)
        for name, array in named_leaves(tree)
    }
    write_safetensors(folder / OPTIMIZER_NAME, tensors)
    seeds = {"parameters and samples": settings.run.seed, "data": settings.data.seed}
    state = {"format_version": _VERSION, **asdict(progress), "seeds": seeds, "settings": settings_hash(settings)}
    with atomic_write(folder / STATE_NAME) as file:
        file.write((json.dumps(state, indent=2, allow_nan=False) + "\n").encode())


def _one(array: NDArray[Any]) -> Any:
    def chunks() -> Iterator[NDArray[Any]]:
        if array.dtype != np.float32:
            raise ValueError(f"moments are kept in float32, got {array.dtype}")
        yield array

    return chunks


def read_state(
    folder: Path, settings: TrainSettings, config: ModelConfig
) -> tuple[Params, tuple[Params, Params], Progress]:
    """The parameters, both moments and the progress of a checkpoint, as arrays that may be changed.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged.
    RunError
        When the checkpoint is of other settings.
    """
    path = folder / STATE_NAME
    fields = Fields(read_object(path), path)
    if fields.integer("format_version") != _VERSION:
        raise fields.error("format_version", f"expected {_VERSION}, found {fields.integer('format_version')}")
    if fields.text("settings") != settings_hash(settings):
        raise RunError(f"{folder} was made with other settings than those in the run's config.toml")
    checkpoint = read_native(folder)
    if checkpoint.config != config:
        raise CheckpointError(folder, "config", "is not that of the run")
    file = SafetensorsFile(folder / OPTIMIZER_NAME)
    moments = (_moments(file, config, "m."), _moments(file, config, "v."))
    return _copied(config, named_leaves(checkpoint.params)), moments, _progress(fields)


def _progress(fields: Fields) -> Progress:
    number = lambda key: fields.number(key) if fields.has(key) else None  # noqa: E731
    data = fields.object("data", {})
    return Progress(
        step=fields.integer("step"),
        n_steps=fields.integer("n_steps"),
        seconds=fields.number("seconds"),
        threads=fields.positive("threads"),
        validation_loss=number("validation_loss"),
        best_step=fields.integer("best_step") if fields.has("best_step") else None,
        best_loss=number("best_loss"),
        data={name: data.text(name) for name in data.values},
    )


def _moments(file: SafetensorsFile, config: ModelConfig, prefix: str) -> Params:
    check_names(file.path, config, file.tensors, lambda name: prefix + name)

    def get(name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        info = file.tensors[prefix + name]
        if info.dtype != "F32":
            raise CheckpointError(file.path, prefix + name, f"expected F32, found {info.dtype}")
        check_shape(file.path, prefix + name, info.shape, shape)
        return np.array(file.array(prefix + name))

    return build_params(config, get)


def _copied(config: ModelConfig, arrays: Iterable[tuple[str, Any]]) -> Params:
    by_name = {name: np.array(array) for name, array in arrays}
    return build_params(config, lambda name, shape: by_name[name])
