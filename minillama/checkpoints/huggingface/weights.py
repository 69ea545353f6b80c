"""Which file of a Hugging Face folder holds each tensor, and whether they are those of the configuration.

    model.safetensors                or, where that is missing,
    model.safetensors.index.json     {"weight_map": {tensor: file}} and the files, or
    pytorch_model.bin                what torch.save wrote, or
    pytorch_model.bin.index.json     the same in several files

The index decides which file holds a tensor; what else is in that file does not count.

Source: transformers' modeling_utils.py for the order, and for the tensors that it ignores.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ...config import ModelConfig
from ...files.errors import CheckpointError
from ...files.json_object import Fields, kind, list_names, read_object
from ...quantization.formats import PackedArray, Weight, format_name
from ..common.checkpoint import check_names, check_shape
from ..common.safetensors import SafetensorsFile
from ..common.torch_archive import TorchArchive
from .base_model import as_causal_names, is_base
from .names import CONFIG_NAME, huggingface_name

WEIGHTS_NAME, PICKLE_NAME = "model.safetensors", "pytorch_model.bin"
INDEX_ENDING = ".index.json"
MAX_SHARDS = 128  # LLaMA 1 65B came in 81
# Buffers that old conversions stored: RoPE's tables, which follow from rope_theta, and masks.
_BUFFER = re.compile(
    r"(^|\.)(rotary_emb\.(original_)?inv_freq|rotary_emb\.(cos|sin)_cached|self_attn\.(masked_)?bias|position_ids)$"
)


class TensorFile(Protocol):
    """A file of named tensors, whatever its format."""

    path: Path

    @property
    def tensors(self) -> Mapping[str, Any]:
        """What the file says of each tensor."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""

    def weight(self, name: str) -> Weight:
        """A vector as float32, or a matrix in the precision of the file."""


class Home(NamedTuple):
    """The file that holds a tensor, and what the tensor is called there."""

    file: TensorFile
    name: str

    def weight(self, shape: tuple[int, ...]) -> Weight:
        """The tensor, which has to have this shape."""
        check_shape(self.file.path, self.name, self.file.shape(self.name), shape)
        return self.file.weight(self.name)


class StoredWeights(NamedTuple):
    """The tensors of a folder.

    Attributes
    ----------
    path : Path
        The file or the index that was read.
    format : str
        For people: "safetensors", "pytorch_model.bin in 3 shards" …
    homes : dict of str to Home
        By the names that they have in the model with a head.
    is_base : bool
        Whether they are called as in a base model; see base_model.py.
    unlisted : dict of str to Path
        Tensors that are in a shard although the index does not say so, which do not count.
    """

    path: Path
    format: str
    homes: dict[str, Home]
    is_base: bool
    unlisted: dict[str, Path]


def open_weights(folder: Path, named: Any = None) -> StoredWeights:
    """Open the weights of a folder. Of several kinds side by side the first of the list above counts.

    Parameters
    ----------
    folder : Path
    named : optional
        What config.json says under "transformers_weights": the name of a file that would count instead.

    Raises
    ------
    CheckpointError
        When there are none, when the index names a file or a tensor that is not there, or a file is damaged.
    """
    openers: tuple[tuple[str, Callable[[Path], TensorFile], str], ...] = (
        (WEIGHTS_NAME, SafetensorsFile, "safetensors"),
        (PICKLE_NAME, TorchArchive, PICKLE_NAME),
    )
    if named not in (None, WEIGHTS_NAME):
        problem = f"expected none or {WEIGHTS_NAME}, found {kind(named)}, which is not supported: rename that file"
        raise CheckpointError(folder / CONFIG_NAME, "transformers_weights", problem)
    for name, opener, label in openers:
        if os.path.lexists(folder / name):
            file = opener(folder / name)
            homes = {tensor: Home(file, tensor) for tensor in file.tensors}
            return StoredWeights(file.path, label, as_causal_names(homes), is_base(homes), {})
        if os.path.lexists(folder / f"{name}{INDEX_ENDING}"):
            return _open_shards(folder, name, opener, label)
    raise CheckpointError(folder, "file", _nothing_found(folder))


def _nothing_found(folder: Path) -> str:
    expected = f"expected {WEIGHTS_NAME} or {WEIGHTS_NAME}{INDEX_ENDING}, or the same of {PICKLE_NAME}, found neither"
    for name in (WEIGHTS_NAME, PICKLE_NAME):
        stem, _, ending = name.partition(".")
        if shards := sorted(path.name for path in folder.glob(f"{stem}-*.{ending}")):
            index = f"{name}{INDEX_ENDING}"
            return f"expected {index}, which says what is in {shards[0]} …, found none: download it, too"
    return expected


def _open_shards(folder: Path, name: str, opener: Callable[[Path], TensorFile], label: str) -> StoredWeights:
    """Open the files of an index and find in them what it lists."""
    path = folder / f"{name}{INDEX_ENDING}"
    homes: dict[str, Home] = {}
    unlisted: dict[str, Path] = {}
    shards = _shards(path, Path(name).suffix)
    for file_name, names in shards.items():
        if not os.path.lexists(folder / file_name):  # Path.exists raises on a name that is too long
            raise CheckpointError(folder / file_name, "file", f"is missing; {path.name} lists it")
        file = opener(folder / file_name)
        lacking = sorted(name for name in names.difference(file.tensors) if not _BUFFER.search(name))
        if lacking:
            raise CheckpointError(file.path, lacking[0], f"is missing; {path.name} says that it is in this file")
        homes.update((name, Home(file, name)) for name in names.intersection(file.tensors))
        unlisted.update(dict.fromkeys(set(file.tensors).difference(names), file.path))
    text = f"{label} in {len(shards)} shards"
    return StoredWeights(path, text, as_causal_names(homes), is_base(homes), as_causal_names(unlisted))


def _shards(path: Path, ending: str) -> dict[str, set[str]]:
    """The tensors of each file that an index names."""
    shards: dict[str, set[str]] = {}
    for name, file_name in Fields(read_object(path), path).object("weight_map").values.items():
        # Only files beside the index: a path could lead anywhere on the reader's disk.
        if not isinstance(file_name, str) or not _is_plain_name(file_name, ending):
            raise CheckpointError(
                path,
                f"weight_map of {list_names([name])}",
                f"expected the name of a {ending} file in the same folder, found {kind(file_name)}",
            )
        shards.setdefault(file_name, set()).add(name)
    if len(shards) > MAX_SHARDS:
        raise CheckpointError(path, "weight_map", f"expected at most {MAX_SHARDS} files, found {len(shards)}")
    return shards


def _is_plain_name(name: str, ending: str) -> bool:
    return name.endswith(ending) and name.isprintable() and not any(c in name for c in '/\\:"')


def find_tensors(path: Path, config: ModelConfig, weights: StoredWeights) -> dict[str, Home]:
    """Where each tensor of the configuration is; a tied head is the embedding itself.

    Raises
    ------
    CheckpointError
        When one is missing, when there are others that would compute something, or when the head that is
        stored is not the one that config.json describes.
    """
    homes = dict(weights.homes)
    head, embedding = huggingface_name("output"), huggingface_name("token_embedding")
    if not config.tied and embedding in homes and head not in homes | weights.unlisted:
        is_what = "is a base model, without a head" if weights.is_base else "has no head"
        raise CheckpointError(
            path,
            "tie_word_embeddings",
            f"expected true if the head is the embedding, or {head}; found neither: {weights.path.name} {is_what}",
        )
    if config.tied and head in homes:
        # Where only the head was kept it is the embedding, too.
        _check_tied(path, homes[head], homes.setdefault(embedding, homes[head]))
        del homes[head]
    try:
        others = check_names(weights.path, config, homes, huggingface_name)
    except CheckpointError as error:
        if (file := weights.unlisted.get(error.field)) is None:
            raise
        raise CheckpointError(file, error.field, f"is in this file, but {weights.path.name} does not say so") from None
    if unknown := [name for name in others if not _BUFFER.search(name)]:
        raise CheckpointError(
            weights.path, unknown[0], f"is not a tensor of such a model (unknown: {list_names(unknown)})"
        )
    return homes


def _check_tied(path: Path, head: Home, embedding: Home) -> None:
    """A head that is stored although it is tied holds the numbers of the embedding."""
    if head is embedding:  # the only one that was stored
        return
    if head.file.shape(head.name) == embedding.file.shape(embedding.name):
        found, expected = head.file.weight(head.name), embedding.file.weight(embedding.name)
        if format_name(found) == format_name(expected) and _same_bits(_bits(found), _bits(expected)):
            return
    raise CheckpointError(
        path,
        "tie_word_embeddings",
        f"is true, but {head.name} differs from {embedding.name}, and versions of transformers disagree about which "
        "of them is the head: say false here to use the one that is stored",
    )


def _bits(weight: Weight) -> NDArray[np.uint8]:
    if isinstance(weight, PackedArray):
        return weight.data
    assert isinstance(weight, np.ndarray)  # files of safetensors and PyTorch make no other kind
    return np.ascontiguousarray(weight).view(np.uint8)


def _same_bits(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    """Whether two tables are equal; torch.save writes what two names share only once, which needs no reading."""
    if a.ctypes.data == b.ctypes.data:
        return True
    return all(np.array_equal(a[i : i + 4096], b[i : i + 4096]) for i in range(0, len(a), 4096))
