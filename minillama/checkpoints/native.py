"""minillama's own checkpoints: a folder that keeps every parameter as it is stored in memory.

    minillama.json       the configuration, and how each parameter is stored
    model.safetensors    the parameters under the package's names

    stored as                     in model.safetensors
    F32, F64, F16, BF16           the same
    Q8_0, Q4_1, Q4_K …            U8 of shape (rows, bytes of a row)
    int8/64 (see GroupedArray)    I8 of the matrix's shape, and F32 "NAME.scales"

Other tools of safetensors can open the file. Training and alignment save here, and so does
whoever converts a model without losing a bit of it; the tokenizer's files stand beside it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import FAMILY_FIELDS, ModelConfig, RopeScaling
from ..files.errors import CheckpointError
from ..files.json_object import Fields, kind, list_names, read_object
from ..params import Params, build_params
from ..quantization.formats import FORMATS, GroupedArray, PackedArray, Weight, format_name
from ..trees import named_leaves
from .common.checkpoint import Checkpoint, check_names, check_params, check_shape, make_config, token_ids
from .common.safetensors import SafetensorsFile, TensorToWrite, write_model_folder
from .common.weights import PLAIN_FLOATS

DESCRIPTION_NAME = "minillama.json"
WEIGHTS_NAME = "model.safetensors"
FORMAT_VERSION = 1
STOP_IDS = "stop_ids"  # in the metadata: the tokens that end a text, where the tokenizer's files do not say all


def is_native(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder has a minillama.json."""
    return (Path(folder) / DESCRIPTION_NAME).is_file()


# --- reading ---------------------------------------------------------------------------


def read_native(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read what `write_native` wrote; matrices are views of the mapped file.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    Checkpoint
        Its metadata is what `write_native` was given.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, of a later version, or does not fit the other.
    """
    folder = Path(folder)
    path = folder / DESCRIPTION_NAME
    fields = Fields(read_object(path), path)
    if fields.text("format") != "minillama":
        raise fields.error("format", f"expected 'minillama', found {fields.text('format')[:100]!r}")
    if fields.integer("format_version") != FORMAT_VERSION:
        raise fields.error("format_version", f"expected {FORMAT_VERSION}, found {fields.integer('format_version')}")
    config = _parse_config(fields.object("config"))
    tensors = fields.object("tensors")
    file = SafetensorsFile(folder / WEIGHTS_NAME)
    if unknown := check_names(path, config, tensors.values, str):
        raise tensors.error(unknown[0], f"is not a parameter of the configuration (unknown: {list_names(unknown)})")
    _check_names(file, tensors)

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        entry = tensors.object(name)
        if entry.values.get("shape") != list(shape):
            raise entry.error("shape", f"expected {list(shape)} from the configuration, found another")
        return _weight(file, name, entry.text("format"), shape)

    params = build_params(config, get)
    metadata = fields.object("metadata", {})
    stop_ids = token_ids(metadata, STOP_IDS)
    return Checkpoint(folder, f"minillama v{FORMAT_VERSION}", config, params, metadata.values, stop_ids)


def _parse_config(fields: Fields) -> ModelConfig:
    """What LLaMA 2 has must be there; what only its relatives have is written where a model has it."""
    values = _values(fields, ModelConfig, optional=FAMILY_FIELDS)
    for name in ("n_kv_heads", "head_dim"):
        fields.positive(name)  # 0 would stand for a default
    if fields.has("rope_scaling"):
        scaling = fields.object("rope_scaling")
        given = _values(scaling, RopeScaling, optional={"factors"})
        if scaling.has("factors"):
            given["factors"] = _factors(scaling)
        try:
            values["rope_scaling"] = RopeScaling(**given)
        except ValueError as error:
            raise scaling.error("kind", str(error)) from error
    return make_config(fields.path, "config", **values)


def _values(fields: Fields, described: type, optional: Collection[str]) -> dict[str, Any]:
    """The simple values of a dataclass by the types of its fields."""
    read: dict[str, Callable[[str], Any]] = {
        "int": fields.integer, "float": fields.number, "bool": fields.boolean, "str": fields.text,
    }  # fmt: skip
    types = {field.name: str(field.type) for field in dataclass_fields(described)}
    if unknown := sorted(set(fields.values).difference(types)):
        raise fields.error(unknown[0], f"is not a number of a configuration (unknown: {list_names(unknown)})")
    wanted = [name for name in types if types[name] in read and (name not in optional or fields.has(name))]
    return {name: read[types[name]](name) for name in wanted}


def _factors(scaling: Fields) -> tuple[float, ...]:
    factors = scaling.values["factors"]
    if not isinstance(factors, list) or not all(type(number) in (int, float) for number in factors):
        raise scaling.error("factors", f"expected a list of numbers, found {kind(factors)}")
    return tuple(map(float, factors))


def _check_names(file: SafetensorsFile, tensors: Fields) -> None:
    """The weights' file holds what minillama.json describes and nothing else."""
    wanted = set(tensors.values)
    for name in tensors.values:
        if tensors.object(name).text("format").startswith("int8/"):
            wanted.add(f"{name}.scales")
    if missing := sorted(wanted.difference(file.tensors)):
        raise CheckpointError(file.path, missing[0], f"is missing; {DESCRIPTION_NAME} lists it")
    if unknown := sorted(set(file.tensors).difference(wanted)):
        raise CheckpointError(file.path, unknown[0], f"is not listed in {DESCRIPTION_NAME}")


def _weight(file: SafetensorsFile, name: str, stored: str, shape: tuple[int, ...]) -> Weight:
    """One parameter in the format that minillama.json says."""
    if stored in ("F32", "F64"):
        array = _array(file, name, stored, shape)
        return array.copy() if len(shape) == 1 else array
    if len(shape) != 2:
        raise CheckpointError(file.path, name, f"expected a vector of F32 or F64, found {stored[:100]!r}")
    n_rows, n_columns = shape
    if stored.startswith("int8/"):
        return _grouped(file, name, stored, shape)
    block = FORMATS.get(stored)
    if block is None:
        known = ", ".join([*PLAIN_FLOATS, *FORMATS, "int8/GROUP"])
        raise CheckpointError(file.path, name, f"expected one of {known}, found {stored[:100]!r}")
    if n_columns % block.block_size:
        raise CheckpointError(
            file.path, name, f"{stored} packs {block.block_size} elements; rows of {n_columns} do not divide"
        )
    if stored in _FLOATS:
        return PackedArray(_array(file, name, stored, shape).view(np.uint8), block, n_columns)
    return PackedArray(_array(file, name, "U8", (n_rows, block.row_bytes(n_columns))), block, n_columns)


def _grouped(file: SafetensorsFile, name: str, stored: str, shape: tuple[int, ...]) -> GroupedArray:
    values = _array(file, name, "I8", shape)
    digits = stored.removeprefix("int8/")
    group_size = int(digits) if digits.isdecimal() and len(digits) < 12 else 0
    if not group_size or values.size % group_size:
        raise CheckpointError(file.path, name, f"expected groups that divide shape {shape}, found {stored[:100]!r}")
    return GroupedArray(values, _array(file, f"{name}.scales", "F32", (values.size // group_size,)))


def _array(file: SafetensorsFile, name: str, dtype: str, shape: tuple[int, ...]) -> NDArray[Any]:
    info = file.tensors[name]
    if info.dtype != dtype:
        raise CheckpointError(file.path, name, f"expected {dtype}, found {info.dtype}")
    check_shape(file.path, name, info.shape, shape)
    return file.array(name)


# --- writing ---------------------------------------------------------------------------

_FLOATS = {"F16", "BF16"}  # packed in memory, floats to every tool


def write_native(
    folder: str | os.PathLike[str], config: ModelConfig, params: Params, *, metadata: dict[str, Any] | None = None
) -> None:
    """Write a checkpoint that `read_native` gives back bit by bit.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    config : ModelConfig
    params : Params
    metadata : dict, optional
        Anything that JSON holds: the step of training, the chat template …

    Raises
    ------
    ValueError
        When the parameters do not have the shapes of `config` or are not floats.
    CheckpointError
        When the folder holds a model of another kind.
    """
    check_params(config, params)
    tensors: dict[str, TensorToWrite] = {}
    stored: dict[str, dict[str, Any]] = {}
    for name, weight in named_leaves(params):
        stored[name] = {"format": format_name(weight), "shape": list(weight.shape)}
        tensors.update(_tensors(name, weight))
    description = {
        "format": "minillama",
        "format_version": FORMAT_VERSION,
        "config": config.described(),
        "tensors": stored,
        "metadata": metadata or {},
    }
    write_model_folder(folder, DESCRIPTION_NAME, description, tensors)


def _tensors(name: str, weight: Weight) -> Iterator[tuple[str, TensorToWrite]]:
    """The one or two tensors of the file that hold a parameter."""
    if isinstance(weight, GroupedArray):
        yield name, TensorToWrite("I8", weight.shape, lambda: [weight.values])
        yield f"{name}.scales", TensorToWrite("F32", weight.scales.shape, lambda: [weight.scales.astype("<f4")])
    elif isinstance(weight, PackedArray):
        as_float = weight.format_name in _FLOATS
        dtype, shape = (weight.format_name, weight.shape) if as_float else ("U8", weight.data.shape)
        yield name, TensorToWrite(dtype, shape, lambda: [weight.data])
    else:
        dtype = format_name(weight)
        if dtype not in PLAIN_FLOATS:
            raise ValueError(f"{name}: expected float32 or float64, got {weight.dtype}")
        yield name, TensorToWrite(dtype, weight.shape, lambda: [weight.astype(PLAIN_FLOATS[dtype], copy=False)])
