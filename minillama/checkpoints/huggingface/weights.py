"""Which file of a Hugging Face folder holds each tensor, and whether they are those of the configuration.

Source: transformers' modeling_utils.py for which of several files counts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...files.errors import CheckpointError
from ...files.json_object import Fields, kind, list_names, read_object
from ..common.checkpoint import check_names
from ..common.safetensors import SafetensorsFile
from .names import huggingface_name

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"


def open_weights(folder: Path) -> dict[str, SafetensorsFile]:
    """Which file holds each tensor. Of one file and shards side by side, the one file counts, as in transformers."""
    if (folder / WEIGHTS_NAME).exists():
        file = SafetensorsFile(folder / WEIGHTS_NAME)
        return dict.fromkeys(file.tensors, file)
    if (folder / INDEX_NAME).exists():
        return _open_shards(folder, read_object(folder / INDEX_NAME))
    pickles = sorted(path.name for path in folder.glob("pytorch_model*.bin"))
    if pickles:
        raise CheckpointError(
            folder / pickles[0],
            "file",
            "pickled weights are not read; convert them: load the model with transformers and save_pretrained() it "
            "as safetensors",
        )
    raise CheckpointError(folder, "file", f"expected {WEIGHTS_NAME} or {INDEX_NAME}, found neither")


def _open_shards(folder: Path, index: dict[str, Any]) -> dict[str, SafetensorsFile]:
    """Open the files of an index, and check that index and files name the same tensors."""
    path = folder / INDEX_NAME
    weight_map = Fields(index, path).object("weight_map").values
    shards: dict[str, set[str]] = {}
    for name, file_name in weight_map.items():
        # Only files beside the index: a path could lead anywhere on the reader's disk.
        if not isinstance(file_name, str) or not _is_plain_name(file_name):
            raise CheckpointError(
                path,
                f"weight_map of {list_names([name])}",
                f"expected the name of a .safetensors file in the same folder, found {kind(file_name)}",
            )
        shards.setdefault(file_name, set()).add(name)
    files: dict[str, SafetensorsFile] = {}
    for file_name, names in shards.items():
        if not os.path.exists(folder / file_name):  # Path.exists raises on a name that is too long
            raise CheckpointError(folder / file_name, "file", f"is missing; {INDEX_NAME} lists it")
        file = SafetensorsFile(folder / file_name)
        if lacking := sorted(names.difference(file.tensors)):
            raise CheckpointError(file.path, lacking[0], f"is missing; {INDEX_NAME} says that it is in this file")
        if extra := sorted(set(file.tensors).difference(names)):
            raise CheckpointError(file.path, extra[0], f"is in this file, but {INDEX_NAME} does not say so")
        files.update(dict.fromkeys(names, file))
    return files


def _is_plain_name(name: str) -> bool:
    return name.endswith(".safetensors") and name.isprintable() and not any(c in name for c in '/\\:"')


def check_tensors(path: Path, config: ModelConfig, files: dict[str, SafetensorsFile]) -> None:
    """The tensors are those of the configuration, and a tied head is the embedding itself."""
    head, embedding = huggingface_name("output"), huggingface_name("token_embedding")
    if not config.tied and embedding in files and head not in files:
        raise CheckpointError(path, "tie_word_embeddings", f"expected {head} because it is false, found none")
    unknown = check_names(path, config, files, huggingface_name)
    if config.tied and head in files:
        tables = [files[name] for name in (head, embedding)]
        shapes = [file.tensors[name][:2] for file, name in zip(tables, (head, embedding))]
        if shapes[0] != shapes[1] or not np.array_equal(tables[0].raw(head), tables[1].raw(embedding)):
            raise CheckpointError(path, "tie_word_embeddings", f"is true, but {head} differs from {embedding}")
        unknown.remove(head)
    # Old conversions store RoPE's frequencies, which follow from rope_theta.
    unknown = [name for name in unknown if not name.endswith("rotary_emb.inv_freq")]
    if unknown:
        raise CheckpointError(path, unknown[0], f"is not a tensor of a Llama 2 (unknown: {list_names(unknown)})")
