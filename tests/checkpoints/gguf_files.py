"""GGUF files for the tests, written by the `gguf` package and not by minillama."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from random_blocks import SCALES_AT, random_blocks

from minillama.config import ModelConfig
from minillama.params import init_params
from minillama.trees import named_leaves

TINY = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=64, vocab_size=40, max_seq_len=16, norm_eps=1e-6, tied=True
)
WIDE = replace(TINY, dim=256, head_dim=64, hidden_dim=256)  # K formats pack 256 elements
TOP = {"token_embedding": "token_embd.weight", "final_norm": "output_norm.weight", "output": "output.weight"}
LAYER = {
    "attention_norm": "attn_norm",
    "wq": "attn_q",
    "wk": "attn_k",
    "wv": "attn_v",
    "wo": "attn_output",
    "ffn_norm": "ffn_norm",
    "w_gate": "ffn_gate",
    "w_up": "ffn_up",
    "w_down": "ffn_down",
}


def file_name_of(name: str) -> str:
    """The name in the file, spelt out here once more on purpose."""
    if name in TOP:
        return TOP[name]
    _, layer, field = name.split(".")
    return f"blk.{layer}.{LAYER[field]}.weight"


def llama_keys(config: ModelConfig) -> dict[str, Any]:
    """The keys that every file must have."""
    return {
        "llama.context_length": config.max_seq_len,
        "llama.embedding_length": config.dim,
        "llama.block_count": config.n_layers,
        "llama.feed_forward_length": config.hidden_dim,
        "llama.attention.head_count": config.n_heads,
        "llama.attention.head_count_kv": config.n_kv_heads,
        "llama.attention.layer_norm_rms_epsilon": config.norm_eps,
        "llama.rope.dimension_count": config.head_dim,
        "llama.rope.freq_base": config.rope_theta,
    }


def packed(matrix: np.ndarray, format_name: str, rng: np.random.Generator) -> np.ndarray:
    """The bytes of a matrix by gguf-py; of a format that it cannot write, random blocks with finite scales."""
    if format_name not in SCALES_AT:
        return gguf.quants.quantize(matrix, gguf.GGMLQuantizationType[format_name])
    n_blocks = matrix.size // gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[format_name]][0]
    return random_blocks(format_name, n_blocks, rng).reshape(matrix.shape[0], -1)


def write_reference(
    path: Path,
    config: ModelConfig = TINY,
    *,
    matrices: str = "F32",
    keys: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray | None] | None = None,
    architecture: str = "llama",
    seed: int = 1,
    **split: Any,
) -> dict[str, np.ndarray]:
    """Write a model; return its arrays in float32 by the package's names.

    `keys` and `tensors` replace or add; None removes. `split` is for gguf-py, which then writes parts.
    """
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture, **split)
    for key, value in (llama_keys(config) | (keys or {})).items():
        if value is not None:
            add_key(writer, key, value)
    expected = {}
    changed = dict(tensors or {})
    for name, array in named_leaves(init_params(config, rng)):
        stored = file_name_of(name)
        if stored in changed:
            continue
        format_name = matrices if array.ndim == 2 else "F32"
        if format_name == "F32":
            array = array + rng.normal(size=array.shape).astype(np.float32)
            writer.add_tensor(stored, array)
            expected[name] = array
        else:
            kind = gguf.GGMLQuantizationType[format_name]
            data = packed(array, format_name, rng)
            writer.add_tensor(stored, data, raw_dtype=kind)
            expected[name] = gguf.quants.dequantize(data, kind).astype(np.float32)
    for stored, array in changed.items():
        if array is not None:
            writer.add_tensor(stored, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return expected


def add_key(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Add a key with the type that llama.cpp's converter gives such a value."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)
