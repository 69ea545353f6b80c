"""Llama folders of the Hugging Face Hub: config.json and the weights, as safetensors or as PyTorch saves them.

Hugging Face rotates the two halves of a head against each other, Meta its neighbours, so the
rows of wq and wk stand in another order. They are reordered once, here, and the package knows
one layout only (see layers/rope.py).

Source: transformers' configuration_llama.py and convert_llama_weights_to_hf.py. A key of
config.json that would make transformers compute something else is refused by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelConfig
from ...files.json_object import Fields, kind, list_names, read_object
from ...layers.rope import half_to_interleaved
from ...params import build_params
from ...quantization.formats import PackedArray, Weight
from ..common.checkpoint import Checkpoint, make_config
from .base_model import as_causal_model
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
        shape, or when config.json asks for what a Llama 2 does not compute.
    """
    folder = Path(folder)
    path = folder / CONFIG_NAME
    description = read_object(path)
    config = parse_config(as_causal_model(description), path)
    weights = open_weights(folder, description.get("transformers_weights"))
    homes = find_tensors(path, config, weights)

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        weight = homes[huggingface_name(name)].weight(shape)
        return _to_interleaved(weight, config.head_dim) if name.endswith((".wq", ".wk")) else weight

    return Checkpoint(folder, f"Hugging Face {weights.format}", config, build_params(config, get), description)


def parse_config(description: dict[str, Any], path: Path) -> ModelConfig:
    """The `ModelConfig` of a config.json; absent keys take the defaults of transformers."""
    fields = Fields(description, path)
    _refuse_other_models(fields)
    n_heads = fields.positive("num_attention_heads")
    return make_config(
        path,
        "model sizes",
        dim=fields.positive("hidden_size"),
        n_layers=fields.positive("num_hidden_layers"),
        n_heads=n_heads,
        n_kv_heads=fields.positive("num_key_value_heads", n_heads),
        head_dim=fields.positive("head_dim") if fields.has("head_dim") else 0,
        hidden_dim=fields.positive("intermediate_size"),
        vocab_size=fields.positive("vocab_size"),
        max_seq_len=fields.positive("max_position_embeddings", 2048),
        norm_eps=fields.number("rms_norm_eps", 1e-6),
        rope_theta=_rope_theta(fields),
        tied=fields.boolean("tie_word_embeddings", False),
    )


def _refuse_other_models(fields: Fields) -> None:
    """Everything but RoPE that a Llama's config.json may say and Llama 2 does not compute."""
    if fields.text("model_type") != "llama":
        raise fields.error("model_type", f"expected 'llama', found {kind(fields.values['model_type'])}")
    architectures = fields.values.get("architectures")
    if architectures is not None and architectures != ["LlamaForCausalLM"]:
        found = list_names([str(name) for name in architectures]) if isinstance(architectures, list) else "no list"
        raise fields.error("architectures", f"expected ['LlamaForCausalLM'], found {found}")
    for key in ("attention_bias", "mlp_bias"):
        if fields.boolean(key, False):
            raise fields.error(key, "expected false, found true: Llama 2 has no biases")
    if fields.text("hidden_act", "silu") != "silu":
        raise fields.error("hidden_act", f"expected 'silu', found {kind(fields.values['hidden_act'])}")
    if fields.has("quantization_config"):
        raise fields.error("quantization_config", "quantised safetensors are not supported; expected F32, F16 or BF16")


def _rope_theta(fields: Fields) -> float:
    """RoPE's base, from where transformers 4 writes it or from where 5 does; scaled RoPE is refused."""
    found = []
    if fields.has("rope_theta"):
        found.append(fields.number("rope_theta"))
    _refuse_partial_rope(fields)
    for key in ("rope_parameters", "rope_scaling"):
        if fields.has(key):
            rope = fields.object(key)
            _refuse_scaled_rope(rope)
            if rope.has("rope_theta"):
                found.append(rope.number("rope_theta"))
    if any(theta != found[0] for theta in found):
        raise fields.error("rope_theta", f"is given more than once, with different values: {found}")
    return found[0] if found else 10000.0


def _refuse_scaled_rope(rope: Fields) -> None:
    if any(isinstance(value, dict) for value in rope.values.values()):
        raise rope.error("rope_type", "expected one RoPE for all layers, found one for each kind of layer")
    types = {rope.text(key) for key in ("rope_type", "type") if rope.has(key)} or {"default"}
    if types - {"default", "linear"}:
        raise rope.error("rope_type", f"expected 'default', found {list_names(sorted(types))}")
    if rope.number("factor", 1.0) != 1:
        raise rope.error("factor", f"expected unscaled RoPE, found a factor of {rope.number('factor')}")
    if rope.number("attention_factor", 1.0) != 1:
        raise rope.error("attention_factor", f"expected 1, found {rope.number('attention_factor')}")
    _refuse_partial_rope(rope)


def _refuse_partial_rope(fields: Fields) -> None:
    if fields.number("partial_rotary_factor", 1.0) != 1:
        raise fields.error("partial_rotary_factor", f"expected 1, found {fields.number('partial_rotary_factor')}")


def _to_interleaved(weight: Weight, head_dim: int) -> Weight:
    """Rows of wq or wk in Meta's order; a packed row moves as its bytes."""
    if isinstance(weight, PackedArray):
        return PackedArray(half_to_interleaved(weight.data, head_dim), weight.format, weight.n_columns)
    assert isinstance(weight, np.ndarray)  # `MappedFile.weight` makes no other kind
    return half_to_interleaved(weight, head_dim)
