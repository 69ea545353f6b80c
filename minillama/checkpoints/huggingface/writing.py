"""Writes a Llama as the folder that transformers, and reading.py, read.

The rows of wq and wk go back into Hugging Face's order, and no more than some rows of one
matrix are in memory at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...config import ModelConfig
from ...params import Params
from ...quantization.formats import PackedArray, Weight, quantize
from ...trees import named_leaves
from ..common.checkpoint import check_params
from ..common.rows import order_in_halves
from ..common.safetensors import TensorToWrite, write_model_folder
from .configuration import ARCHITECTURES
from .names import CONFIG_NAME, huggingface_name

_TORCH_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_CHUNK_ELEMENTS = 1 << 22


def write_huggingface(
    folder: str | os.PathLike[str],
    config: ModelConfig,
    params: Params,
    *,
    dtype: str | None = None,
    bos_token_id: int | None = None,
    eos_token_id: int | list[int] | None = None,
) -> None:
    """Write config.json and model.safetensors as transformers 4 and 5 read them.

    Parameters
    ----------
    folder : path-like
        Made if it does not exist.
    config : ModelConfig
    params : Params
    dtype : "F32", "F16" or "BF16", optional
        Of every tensor. Without it 16-bit matrices stay as they are and all else becomes F32.
    bos_token_id, eos_token_id : int, optional
        Of the tokenizer; null in config.json when they are not given.

    Raises
    ------
    ValueError
        When the parameters do not have the shapes of `config`, a weight is too large for
        `dtype`, or transformers has no such model.
    CheckpointError
        When the folder holds a model of another kind.
    """
    if dtype is not None and dtype not in _TORCH_DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_TORCH_DTYPES)} or None, got {dtype!r}")
    check_params(config, params)
    tensors: dict[str, TensorToWrite] = {}
    for name, weight in named_leaves(params):
        stored = dtype or _stored_dtype(weight)
        chunks = _chunks(name, weight, stored, config.head_dim)
        tensors[huggingface_name(name)] = TensorToWrite(stored, weight.shape, chunks)
    matrix_dtypes = {tensor.dtype for tensor in tensors.values() if len(tensor.shape) == 2}
    description = _description(config, _TORCH_DTYPES[matrix_dtypes.pop() if len(matrix_dtypes) == 1 else "F32"])
    description |= {"bos_token_id": bos_token_id, "eos_token_id": eos_token_id}
    write_model_folder(folder, CONFIG_NAME, description, tensors, {"format": "pt"})


def _description(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """config.json with the keys of transformers 4 (`rope_theta`, `torch_dtype`) and 5 both."""
    rope_theta, family, scaling = float(config.rope_theta), _family(config), _rope_scaling(config)
    description = {
        "architectures": [ARCHITECTURES[family]],
        "model_type": family,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_seq_len,
        "rms_norm_eps": float(config.norm_eps),
        "rope_theta": rope_theta,
        "rope_parameters": {**(scaling or {"rope_type": "default"}), "rope_theta": rope_theta},
        "tie_word_embeddings": config.tied,
        "hidden_act": "silu",
        "torch_dtype": dtype,
        "dtype": dtype,
    }
    if scaling:
        description["rope_scaling"] = scaling
    if family in ("llama", "qwen3"):
        description["attention_bias"] = config.qkv_bias
    if family == "llama":
        description["mlp_bias"] = config.mlp_bias
    else:
        description["sliding_window"] = config.sliding_window or None
    if family in ("qwen2", "qwen3"):
        description |= {"use_sliding_window": config.sliding_window > 0, "max_window_layers": 0}
    return description


def _family(config: ModelConfig) -> str:
    """The model of transformers that has what this one has."""
    attention = (config.qkv_bias, config.out_bias)
    window = 0 < config.sliding_window < config.max_seq_len
    uneven = config.dim % config.n_heads > 0  # LlamaConfig wants whole heads, whatever their width
    if config.qk_norm and attention in ((False, False), (True, True)) and not config.mlp_bias:
        return "qwen3"
    if not config.qk_norm and attention == (True, False) and not config.mlp_bias:
        return "qwen2"
    if not config.qk_norm and attention == (False, False) and not config.mlp_bias and (window or uneven):
        return "mistral"
    if not config.qk_norm and attention in ((False, False), (True, True)) and not window and not uneven:
        return "llama"
    found = config.beyond_llama2 + ((f"dim {config.dim} and {config.n_heads} heads",) if uneven else ())
    raise ValueError(f"transformers has no model with {' and '.join(found)}, so none is written")


def _rope_scaling(config: ModelConfig) -> dict[str, Any] | None:
    """What `rope_scaling` of transformers 4 and `rope_parameters` of 5 say; None for plain RoPE."""
    scaling = config.rope_scaling
    if scaling is None:
        return None
    if scaling.kind == "factors":
        raise ValueError(
            "a Hugging Face folder cannot hold RoPE factors as GGUF files store them; write a minillama folder, or GGUF"
        )
    # `type` is what transformers before 4.45 reads.
    described: dict[str, Any] = {"rope_type": scaling.kind, "type": scaling.kind, "factor": scaling.factor}
    if scaling.kind in ("llama3", "yarn"):
        described["original_max_position_embeddings"] = scaling.original_max_seq_len
    return described | {name: getattr(scaling, name) for name in _NUMBERS_OF.get(scaling.kind, ())}


_NUMBERS_OF: dict[str, tuple[str, ...]] = {
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "yarn": ("beta_fast", "beta_slow", "truncate", "attention_factor"),
}


def _stored_dtype(weight: Weight) -> str:
    return weight.format_name if isinstance(weight, PackedArray) and weight.format_name in _TORCH_DTYPES else "F32"


def _chunks(name: str, weight: Weight, stored: str, head_dim: int) -> Callable[[], Iterator[NDArray[Any]]]:
    """Yields the rows in Hugging Face's order, some at a time, encoded as `stored`."""

    def chunks() -> Iterator[NDArray[Any]]:
        matrix = weight[:, None] if isinstance(weight, np.ndarray) and weight.ndim == 1 else weight
        n_rows, n_columns = matrix.shape
        rows = order_in_halves(name, n_rows, head_dim)
        step = max(1, _CHUNK_ELEMENTS // n_columns)
        for start in range(0, n_rows, step):
            yield _encode(name, matrix, rows[start : start + step], stored)

    return chunks


def _encode(name: str, matrix: Weight, rows: NDArray[np.intp], stored: str) -> NDArray[Any]:
    """The bytes of some rows: the stored ones where they are of that type already."""
    if isinstance(matrix, PackedArray) and matrix.format_name == stored:
        return matrix.data[rows]
    values = matrix[rows] if isinstance(matrix, np.ndarray) else matrix.to_float32(rows)
    values = np.ascontiguousarray(values, "<f4")
    if stored == "F32":
        return values
    with np.errstate(over="ignore"):  # reported below, by name
        packed = quantize(values, stored)
    if not np.isfinite(packed.to_float32()[np.isfinite(values)]).all():
        raise ValueError(f"{name}: {np.nanmax(np.abs(values))} is too large for {stored}")
    return packed.data
