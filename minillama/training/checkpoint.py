"""What a checkpoint of a run holds, written and read back bit for bit.

    minillama.json, model.safetensors    the Llama in the model (checkpoints/native.py)
    heads.safetensors                    every other array of the model by its name; only where there are others
    tokenizer.model …                    what the stage adds, so that the folder can be used by itself
    optimizer.safetensors                AdamW's moments: "m.NAME" and "v.NAME", float32
    training.json                        the step and everything else that resuming needs

A model is any tree with a `Params` in it. In `RewardModel(backbone, head)` the backbone is what the
folder opens as everywhere in the package; `read_model` gives the whole back.

There is no state of random numbers to keep: every draw of a run (first parameters, order of the data, samples)
comes from a generator made afresh from the seed and the step. training.json names these seeds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..checkpoints.common.checkpoint import check_shape
from ..checkpoints.common.safetensors import SafetensorsFile, TensorToWrite, write_safetensors
from ..checkpoints.native import read_native, write_native
from ..config import ModelConfig
from ..files.atomic import atomic_write
from ..files.errors import CheckpointError
from ..files.json_object import Fields, read_object
from ..params import Params
from ..quantization.formats import to_float32
from ..trees import Tree, children, map_named, named_leaves
from .run_folder import STATE_NAME, RunError
from .stage import Stage

OPTIMIZER_NAME, HEADS_NAME = "optimizer.safetensors", "heads.safetensors"
_VERSION = 1

T = TypeVar("T")


@dataclass
class RunProgress:
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
        Another number of threads may add up sums in another order.
    validation_loss : float or None
        Of this checkpoint.
    best_step, best_loss : int or None, float or None
        The best validation so far.
    data : dict
        Fingerprints of the sources of data by name.
    """

    step: int = 0
    n_steps: int = 0
    seconds: float = 0.0
    threads: int = 1
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    data: dict[str, str] = field(default_factory=dict)


def settings_hash(stage: Stage) -> str:
    """A digest of all settings that must not change in a run."""
    return hashlib.sha256(json.dumps(stage.binding(), sort_keys=True).encode()).hexdigest()


# --- writing -----------------------------------------------------------------------------


def write_checkpoint(
    folder: Path, stage: Stage, model: Tree, moments: tuple[Tree, Tree], progress: RunProgress
) -> None:
    """Write a whole checkpoint into a folder that nobody looks at yet; every file is forced to disk."""
    metadata = {"step": progress.step, "validation_loss": progress.validation_loss}
    write_model(folder, stage.config, model, metadata)
    stage.save(folder)
    write_safetensors(folder / OPTIMIZER_NAME, _tensors(dict(zip("mv", moments)), "moments"))
    hashed = settings_hash(stage)
    state = {"format_version": _VERSION, **asdict(progress), "seeds": dict(stage.seeds), "settings": hashed}
    with atomic_write(folder / STATE_NAME) as file:
        file.write((json.dumps(state, indent=2, allow_nan=False) + "\n").encode())


def write_model(folder: Path, config: ModelConfig, model: Tree, metadata: dict[str, Any] | None = None) -> None:
    """Write a model: its Llama for everybody, packed where it is, and every other array, of float32, beside it."""
    prefix, params = _llama_in(model)
    write_native(folder, config, params, metadata=metadata)
    inside = {prefix + name for name, _ in named_leaves(params)}
    if heads := {name: leaf for name, leaf in named_leaves(model) if name not in inside}:
        write_safetensors(folder / HEADS_NAME, _tensors(heads, "heads"))


def _llama_in(model: Tree) -> tuple[str, Params]:
    """The first `Params` of a tree, and what stands before the names of its arrays."""

    def search(tree: Tree, prefix: str) -> Iterator[tuple[str, Params]]:
        if isinstance(tree, Params):
            yield prefix, tree
            return
        for name, part in children(tree) or ():
            yield from search(part, f"{prefix}{name}.")

    for found in search(model, ""):
        return found
    raise ValueError(f"a model to be saved has a Params somewhere in it, {type(model).__name__} has none")


def _tensors(trees: Mapping[str, Tree], what: str) -> dict[str, TensorToWrite]:
    def float32(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
        if array.dtype != np.float32:
            raise ValueError(f"{what} are kept in float32, got {array.dtype}")
        yield array

    leaves = [leaf for kind, tree in trees.items() for leaf in named_leaves(tree, kind)]
    return {name: TensorToWrite("F32", array.shape, partial(float32, array)) for name, array in leaves}


# --- reading -----------------------------------------------------------------------------


def read_checkpoint(folder: Path, stage: Stage) -> tuple[Tree, tuple[Tree, Tree], RunProgress]:
    """The model, both moments and the progress of a checkpoint, as arrays that may be changed.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged.
    RunError
        When the checkpoint is of other settings.
    """
    path, pattern = folder / STATE_NAME, stage.pattern()
    fields = Fields(read_object(path), path)
    if fields.integer("format_version") != _VERSION:
        raise fields.error("format_version", f"expected {_VERSION}, found {fields.integer('format_version')}")
    if fields.text("settings") != settings_hash(stage):
        raise RunError(f"{folder} was made with other settings than those in the run's config.toml")
    config, model = read_model(folder, pattern)
    if config != stage.config:
        raise CheckpointError(folder, "config", "is not that of the run")
    file = SafetensorsFile(folder / OPTIMIZER_NAME)
    return model, (_read_tree(file, pattern, "m."), _read_tree(file, pattern, "v.")), _progress(fields)


def read_model(folder: Path, pattern: T) -> tuple[ModelConfig, T]:
    """The model that `write_model` wrote, as a tree like `pattern` of arrays that may be changed.

    What is packed comes as float32.

    Parameters
    ----------
    folder : Path
    pattern : tree
        Of the model's shapes; its numbers do not matter (`params.empty_params` makes one of a `Params`).

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, or does not hold what `pattern` asks for.
    """
    checkpoint = read_native(folder)
    prefix, params = _llama_in(pattern)
    found = {prefix + name: array for name, array in named_leaves(checkpoint.params)}
    inside = {prefix + name for name, _ in named_leaves(params)}
    heads = None if inside == {name for name, _ in named_leaves(pattern)} else SafetensorsFile(folder / HEADS_NAME)

    def get(name: str, like: Any) -> NDArray[Any]:
        if name not in inside:
            assert heads is not None
            return _read_array(heads, name, like.shape)
        if name not in found:
            raise CheckpointError(folder, name, "is missing")
        check_shape(folder, name, found[name].shape, like.shape)
        return np.array(to_float32(found[name]))

    return checkpoint.config, map_named(get, pattern)


def _read_tree(file: SafetensorsFile, pattern: T, prefix: str) -> T:
    return map_named(lambda name, like: _read_array(file, prefix + name, like.shape), pattern)


def _read_array(file: SafetensorsFile, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if name not in file.tensors:
        raise CheckpointError(file.path, name, "is missing")
    info = file.tensors[name]
    if info.dtype != "F32":
        raise CheckpointError(file.path, name, f"expected F32, found {info.dtype}")
    check_shape(file.path, name, info.shape, shape)
    return np.array(file.array(name))


def _progress(fields: Fields) -> RunProgress:
    number = lambda key: fields.number(key) if fields.has(key) else None  # noqa: E731
    data = fields.object("data", {})
    return RunProgress(
        step=fields.integer("step"),
        n_steps=fields.integer("n_steps"),
        seconds=fields.number("seconds"),
        threads=fields.positive("threads"),
        validation_loss=number("validation_loss"),
        best_step=fields.integer("best_step") if fields.has("best_step") else None,
        best_loss=number("best_loss"),
        data={name: data.text(name) for name in data.values},
    )
