"""Llama folders of the Hugging Face Hub: config.json and the weights, as safetensors or as PyTorch saves them.

Hugging Face rotates the two halves of a head against each other, Meta its neighbours, so the
rows of wq and wk stand in another order. They are reordered once, here, and the package knows
one layout only (see layers/rope.py).

Source: transformers' convert_llama_weights_to_hf.py; configuration.py has the sources for config.json.
"""

from __future__ import annotations

import os
from pathlib import Path

from ...files.json_object import read_object
from ...params import build_params
from ...quantization.formats import Weight
from ..common.checkpoint import Checkpoint
from ..common.rows import in_interleaved_order
from .base_model import as_causal_model
from .configuration import parse_config
from .generation import read_stop_ids
from .names import CONFIG_NAME, huggingface_name
from .weights import find_tensors, open_weights


def is_huggingface(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder has a config.json."""
    return (Path(folder) / CONFIG_NAME).is_file()


def read_huggingface(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a Llama from a folder with config.json and its weights, which weights.py finds.

    16-bit matrices stay packed and stay views of the mapped files, except wq and wk, whose
    rows are reordered. A head that is stored although it is tied must equal the embedding.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    Checkpoint
        Its metadata is the whole of config.json.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, when a tensor is missing, unknown or of another
        shape, or when config.json asks for what is not computed here.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    description = read_object(path)
    config = parse_config(as_causal_model(description), path)
    weights = open_weights(folder, description.get("transformers_weights"))
    homes = find_tensors(path, config, weights)

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        return in_interleaved_order(name, homes[huggingface_name(name)].weight(shape), config.head_dim)

    params, stop_ids = build_params(config, get), read_stop_ids(folder, description)
    return Checkpoint(folder, f"Hugging Face {weights.format}", config, params, description, stop_ids)
