"""GGUF files of Llamas and their relatives, the format of llama.cpp.

The matrices stay in the block format of the file, as views of the mapped file. Of the architecture
"llama" the rows of `wq` and `wk` are in Meta's interleaved order, as everywhere in this package,
because llama.cpp's converter has already undone Hugging Face's; files of "qwen2" and "qwen3" keep
Hugging Face's, and their rows are reordered here.

A file whose arithmetic is not computed here (experts, another architecture …) is refused: running
it anyway would silently give wrong text. configuration.py has the keys.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from ...config import ModelConfig, RopeScaling
from ...files.gguf.container import GGUFHeader
from ...files.gguf.values import printable
from ...params import build_params, expected_shapes
from ...quantization.formats import Weight
from ..common.checkpoint import Checkpoint, check_names, check_shape
from ..common.rows import in_interleaved_order
from ..common.weights import stored_weight
from .configuration import gguf_config
from .extents import check_extents
from .names import IN_HALVES, ROPE_FREQS, gguf_tensor_name
from .split import read_whole_header

_VECTOR_TYPES = ("F32", "F16", "BF16")  # ggml multiplies with no other


def read_gguf(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a Llama from a little-endian GGUF file of version 2 or 3.

    Tensors may be F32 or of any type in `quantization.formats.FORMATS`, mixed as they like.
    The model is tied when the file has no `output.weight`. Of a model that is split over
    several files, any one of them stands for all.

    Returns
    -------
    Checkpoint
        `metadata` has every key-value of the file: numbers, bools and strings as Python's,
        arrays of numbers as ndarrays, arrays of strings as lists.

    Raises
    ------
    CheckpointError
        When the file is damaged, or asks for arithmetic that is not computed here.
    """
    header = read_whole_header(path)
    config = gguf_config(header)
    _check_tensor_names(header, config)
    check_extents(header)

    in_halves = header.metadata["general.architecture"] in IN_HALVES

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        stored = gguf_tensor_name(name)
        if _is_bias(name) and stored not in header.tensors:
            return np.zeros(shape, np.float32)
        weight = _weight(header, stored, shape)
        return in_interleaved_order(name, weight, config.head_dim) if in_halves else weight

    params = build_params(config, get)
    config = _with_rope_freqs(header, config)
    parts = f" in {header.n_parts} parts" if header.n_parts > 1 else ""
    stop_ids = _stop_ids(header)
    return Checkpoint(header.file.path, f"GGUF v{header.version}{parts}", config, params, header.metadata, stop_ids)


def _stop_ids(header: GGUFHeader) -> frozenset[int]:
    """The ends of a text, of a turn and of a message; what is no id is reported by whoever reads the tokenizer."""
    values = [header.metadata.get(f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    return frozenset(value for value in values if type(value) is int and 0 <= value < 0xFFFFFFFF)


def _is_bias(name: str) -> bool:
    """Whether llama.cpp takes a parameter for zeros where the file has none: each bias by itself."""
    return name.startswith("extras.") and not name.endswith("_norm")


def _check_tensor_names(header: GGUFHeader, config: ModelConfig) -> None:
    """The file has every tensor of the model and no other, which would be a bias, an expert …"""
    optional = {gguf_tensor_name(name) for name in expected_shapes(config) if _is_bias(name)}
    more = check_names(header.file.path, config, optional.union(header.tensors), gguf_tensor_name)
    unknown = [printable(name) for name in more if name != ROPE_FREQS]
    if unknown:
        shown = ", ".join(unknown[:8]) + (f" and {len(unknown) - 8} more" if len(unknown) > 8 else "")
        raise header.error("tensors", f"not part of such a model: {shown}")


def _weight(header: GGUFHeader, name: str, shape: tuple[int, ...]) -> Weight:
    """The tensor `name`, which has to have this shape."""
    info = header.tensors[name]
    check_shape(info.file.path, name, info.shape, shape)
    if len(shape) == 1 and info.type_name not in _VECTOR_TYPES:
        raise info.error(f"expected a vector of {', '.join(_VECTOR_TYPES)}, found {info.type_name}")
    return stored_weight(info.file, info.offset, info.type_name, shape, name)


def _with_rope_freqs(header: GGUFHeader, config: ModelConfig) -> ModelConfig:
    """The configuration with the divisors of `rope_freqs.weight`, as converters store llama3's rule."""
    if ROPE_FREQS not in header.tensors:
        return config
    factors = np.asarray(_weight(header, ROPE_FREQS, (config.head_dim // 2,)), np.float64)
    if np.all(factors == 1):
        return config
    scaling = config.rope_scaling
    if (scaling is not None and scaling.kind != "linear") or header.metadata["general.architecture"] in IN_HALVES:
        raise header.error(ROPE_FREQS, f"expected ones, found factors from {factors.min()} to {factors.max()}")
    factors *= 1 if scaling is None else scaling.factor
    try:
        return replace(config, rope_scaling=RopeScaling(kind="factors", factors=tuple(factors.tolist())))
    except ValueError as error:
        raise header.error(ROPE_FREQS, str(error)) from error
