"""What reading a model gives, and the checks that hold a file to its configuration."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...config import ModelConfig
from ...files.errors import CheckpointError
from ...files.json_object import Fields, kind
from ...params import LayerParams, Params, expected_shapes
from ...trees import named_leaves


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from disk; its matrices are views of the mapped file.

    Attributes
    ----------
    path : Path
        The file, or the folder of a format that is a folder.
    format : str
        For people: "GGUF v3", "llama2.c v0", "Hugging Face safetensors" …
    config : ModelConfig
    params : Params
    metadata : dict
        What else the format says: GGUF's key-value pairs, Hugging Face's config.json.
    stop_ids : frozenset of int
        The tokens that end a text by what the model's own files say, beside those that its tokenizer names.
    """

    path: Path
    format: str
    config: ModelConfig
    params: Params
    metadata: dict[str, Any] = field(default_factory=dict)
    stop_ids: frozenset[int] = frozenset()


def token_ids(fields: Fields, key: str) -> frozenset[int]:
    """The ids under `key` of a JSON file, which says one, several or none; negative ones stand for none.

    Raises
    ------
    CheckpointError
        When the value is something else.
    """
    value = fields.values.get(key)
    ids = [] if value is None else value if isinstance(value, list) else [value]
    if wrong := [id_ for id_ in ids if type(id_) is not int]:
        raise fields.error(key, f"expected a token id or a list of them, found {kind(wrong[0])}")
    return frozenset(id_ for id_ in ids if id_ >= 0)


def check_shape(path: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise CheckpointError unless the tensor `name` has the shape that the configuration asks for."""
    if tuple(found) != tuple(expected):
        raise CheckpointError(
            path, name, f"expected shape {tuple(expected)} from the configuration, found {tuple(found)}"
        )


def check_names(path: Path, config: ModelConfig, found: Collection[str], name_of: Callable[[str], str]) -> list[str]:
    """Raise CheckpointError unless `found` holds every parameter of `config`; return what else it holds.

    Parameters
    ----------
    found : collection of str
        The names of the tensors in the file.
    name_of : callable
        The file's name of a parameter from the package's.
    """
    # Before the names are listed: a damaged n_layers must not make a list longer than the file.
    per_layer = len(LayerParams._fields)
    if config.n_layers * per_layer > len(found):
        raise CheckpointError(
            path, "n_layers", f"{config.n_layers} layers have {per_layer} tensors each, found {len(found)} in all"
        )
    wanted = [name_of(name) for name in expected_shapes(config)]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise CheckpointError(path, missing[0], f"is missing ({len(missing)} of {len(wanted)} tensors are)")
    return sorted(set(found).difference(wanted))


def make_config(path: Path, where: str, **fields: Any) -> ModelConfig:
    """A `ModelConfig` whose ValueError becomes a CheckpointError about `where` in the file."""
    try:
        return ModelConfig(**fields)
    except (ValueError, TypeError) as error:
        raise CheckpointError(path, where, str(error)) from error


def check_params(config: ModelConfig, params: Params) -> None:
    """Raise ValueError unless `params` has the arrays and shapes of `config`, for writers."""
    found = {name: tuple(weight.shape) for name, weight in named_leaves(params)}
    for name, shape in expected_shapes(config).items():
        if found.pop(name, None) != shape:
            raise ValueError(f"{name} must have shape {shape} by the configuration, the parameters differ")
    if found:
        raise ValueError(f"parameters that the configuration does not have: {', '.join(found)}")


def refuse_beyond_llama2(config: ModelConfig, format_name: str) -> None:
    """Raise ValueError for a writer whose format holds LLaMA 2 and none of its relatives."""
    if config.beyond_llama2:
        raise ValueError(
            f"{format_name} cannot hold {' and '.join(config.beyond_llama2)}; "
            "write a minillama or Hugging Face folder, or GGUF"
        )
