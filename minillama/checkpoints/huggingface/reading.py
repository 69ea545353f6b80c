"""Llama folders of the Hugging Face Hub: config.json and safetensors, in one file or in shards.

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
from ...files.errors import CheckpointError
from ...files.json_object import Fields, kind, list_names, read_object
from ...layers.rope import half_to_interleaved
from ...params import build_params
from ...quantization.formats import PackedArray, Weight
from ..common.checkpoint import Checkpoint, check_names, check_shape, make_config
from ..common.safetensors import SafetensorsFile
from .generation import read_stop_ids
from .names import CONFIG_NAME, huggingface_name

WEIGHTS_NAME = "model.safetensors"
INDEX_NAME = "model.safetensors.index.json"


def is_huggingface(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder has a config.json."""
    return (Path(folder) / CONFIG_NAME).is_file()


def read_huggingface(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a Llama from a folder with config.json and safetensors.

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
    config = parse_config(description, path)
    files = _open_weights(folder)
    _check_tensors(path, config, files)

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        stored = huggingface_name(name)
        file = files[stored]
        check_shape(file.path, stored, file.tensors[stored].shape, shape)
        weight = file.weight(stored)
        return _to_interleaved(weight, config.head_dim) if name.endswith((".wq", ".wk")) else weight

    stop_ids = read_stop_ids(folder, description)
    return Checkpoint(folder, "Hugging Face safetensors", config, build_params(config, get), description, stop_ids)


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


def _open_weights(folder: Path) -> dict[str, SafetensorsFile]:
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


def _check_tensors(path: Path, config: ModelConfig, files: dict[str, SafetensorsFile]) -> None:
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


def _to_interleaved(weight: Weight, head_dim: int) -> Weight:
    """Rows of wq or wk in Meta's order; a packed row moves as its bytes."""
    if isinstance(weight, PackedArray):
        return PackedArray(half_to_interleaved(weight.data, head_dim), weight.format, weight.n_columns)
    assert isinstance(weight, np.ndarray)  # `MappedFile.weight` makes no other kind
    return half_to_interleaved(weight, head_dim)
