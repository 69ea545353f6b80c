"""Meta's own release of LLaMA 2: params.json and consolidated.NN.pth.

A model of 13B was trained and saved on 2 GPUs, one of 70B on 8; each file holds one GPU's
part of every matrix. Layers that split their outputs are joined along the rows, layers that
split their inputs along the columns, and norms are in every file. Rows of wq and wk stand in
the package's own order (see layers/rope.py).

Source: llama/model.py and generation.py of github.com/meta-llama/llama (ColumnParallelLinear,
RowParallelLinear, ParallelEmbedding), and transformers' convert_llama_weights_to_hf.py.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...config import ModelConfig, swiglu_hidden_dim
from ...files.errors import CheckpointError
from ...files.json_object import Fields, list_names, read_object
from ...params import build_params
from ...quantization.formats import PackedArray, Weight, format_name
from ..common.checkpoint import Checkpoint, check_names, check_shape, make_config
from ..common.torch_archive import TorchArchive

PARAMS_NAME = "params.json"
_SHARD_NAME = re.compile(r"consolidated\.(\d\d)\.pth")
MAX_SEQ_LEN = 4096  # of LLaMA 2; params.json does not say
MAX_SHARDS = 16  # LLaMA 2 70B has 8; each may take a tenth of a second to look through

# Meta's name of each parameter, and the axis along which the shards hold it.
_NAMES: dict[str, tuple[str, int | None]] = {
    "token_embedding": ("tok_embeddings.weight", 1),
    "attention_norm": ("attention_norm.weight", None),
    "wq": ("attention.wq.weight", 0),
    "wk": ("attention.wk.weight", 0),
    "wv": ("attention.wv.weight", 0),
    "wo": ("attention.wo.weight", 1),
    "ffn_norm": ("ffn_norm.weight", None),
    "w_gate": ("feed_forward.w1.weight", 0),
    "w_up": ("feed_forward.w3.weight", 0),
    "w_down": ("feed_forward.w2.weight", 1),
    "final_norm": ("norm.weight", None),
    "output": ("output.weight", 0),
}
# Everything that Meta's and its users' tools write and that changes nothing except what `parse_params` reads.
_KNOWN_PARAMS = {
    *("dim", "n_layers", "n_heads", "n_kv_heads", "multiple_of", "ffn_dim_multiplier", "norm_eps", "vocab_size"),
    *("rope_theta", "use_scaled_rope", "max_seq_len", "max_batch_size"),
}


def is_meta(folder: str | os.PathLike[str]) -> bool:
    """Whether the folder has a params.json."""
    return (Path(folder) / PARAMS_NAME).is_file()


def meta_name(name: str) -> str:
    """Meta's name of the package's parameter `name`."""
    prefix, _, field = name.rpartition(".")
    return f"{prefix}.{_NAMES[field][0]}" if prefix else _NAMES[field][0]


def read_meta(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read a Llama from a folder with params.json and one or more consolidated.NN.pth.

    A single file is read without a copy; the parts of several are joined in memory. 16-bit
    matrices stay packed. Tensors outside the layers that the model does not have, such as
    `rope.freqs`, are ignored, as Meta's loader does.

    Parameters
    ----------
    folder : path-like

    Returns
    -------
    Checkpoint
        Its metadata is the whole of params.json.

    Raises
    ------
    CheckpointError
        When a file is missing or damaged, when a tensor is missing or of another shape, when
        the files disagree about a norm, or when params.json asks for what LLaMA 2 does not
        compute.
    """
    folder = Path(folder)
    path = folder / PARAMS_NAME
    description = read_object(path)
    shards = [TorchArchive(shard) for shard in _shard_paths(folder)]
    embedding = meta_name("token_embedding")
    if embedding not in shards[0].tensors:
        raise CheckpointError(shards[0].path, embedding, "is missing")
    n_rows = (*shards[0].shape(embedding), 0)[0]
    config = parse_params(description, path, n_rows)
    for shard in shards:
        _check_tensors(config, shard)
    for key, size in (("n_heads", config.n_heads), ("n_kv_heads", config.n_kv_heads)):
        if size % len(shards):
            raise CheckpointError(path, key, f"{size} heads do not divide among {len(shards)} consolidated files")

    def get(name: str, shape: tuple[int, ...]) -> Weight:
        return _merge(shards, meta_name(name), shape, _NAMES[name.rpartition(".")[2]][1])

    return Checkpoint(folder, "Meta", config, build_params(config, get), description)


def parse_params(description: dict[str, Any], path: Path, n_rows: int) -> ModelConfig:
    """The `ModelConfig` of a params.json; some tools put its keys one level down, under "model".

    Parameters
    ----------
    description : dict
    path : Path
        For messages.
    n_rows : int
        Rows of the embedding in the file: the vocabulary of LLaMA 2, whose params.json says -1.
    """
    fields = Fields(description, path)
    if fields.has("model"):
        fields = fields.object("model")
    if unknown := sorted(set(fields.values).difference(_KNOWN_PARAMS)):
        raise fields.error(unknown[0], f"is not a parameter of a LLaMA 2 (unknown: {list_names(unknown)})")
    if fields.boolean("use_scaled_rope", False):
        raise fields.error("use_scaled_rope", "expected false, found true: LLaMA 2 has no scaled RoPE")
    vocab_size = fields.integer("vocab_size", -1)
    if vocab_size not in (-1, n_rows):
        raise fields.error("vocab_size", f"expected {n_rows}, the rows of tok_embeddings.weight, found {vocab_size}")
    dim, n_heads = fields.positive("dim"), fields.positive("n_heads")
    return make_config(
        path,
        "model sizes",
        dim=dim,
        n_layers=fields.positive("n_layers"),
        n_heads=n_heads,
        n_kv_heads=fields.positive("n_kv_heads", n_heads),
        hidden_dim=_hidden_dim(fields, dim),
        vocab_size=n_rows,
        max_seq_len=fields.positive("max_seq_len", MAX_SEQ_LEN),
        norm_eps=fields.number("norm_eps", 1e-5),
        rope_theta=fields.number("rope_theta", 10000.0),
    )


def _hidden_dim(fields: Fields, dim: int) -> int:
    multiple_of = fields.positive("multiple_of", 256)
    multiplier = fields.number("ffn_dim_multiplier") if fields.has("ffn_dim_multiplier") else None
    if multiplier is not None and not 0 < multiplier < 1000:
        raise fields.error("ffn_dim_multiplier", f"expected a number between 0 and 1000, found {multiplier}")
    return swiglu_hidden_dim(dim, multiple_of, multiplier)


def _shard_paths(folder: Path) -> list[Path]:
    """The files in order; their number tells into how many parts the model was split."""
    matches = (_SHARD_NAME.fullmatch(path.name) for path in folder.glob("consolidated.*"))
    found = sorted(int(match[1]) for match in matches if match)
    if found and found[-1] >= MAX_SHARDS:
        name = f"consolidated.{found[-1]:02}.pth"
        raise CheckpointError(
            folder / name, "file", f"expected at most {MAX_SHARDS} files, from consolidated.00.pth on"
        )
    paths = [folder / f"consolidated.{number:02}.pth" for number in range(found[-1] + 1 if found else 1)]
    for number, path in enumerate(paths):
        if number not in found:
            raise CheckpointError(path, "file", "is missing")
    return paths


def _check_tensors(config: ModelConfig, shard: TorchArchive) -> None:
    """Every parameter is there, and no tensor of a layer that the model would leave out."""
    others = check_names(shard.path, config, shard.tensors, meta_name)
    # LLaMA 1 stored RoPE's frequencies, which follow from rope_theta, in every layer.
    unknown = [name for name in others if name.startswith("layers.") and not name.endswith("rope.freqs")]
    if unknown:
        raise CheckpointError(
            shard.path, unknown[0], f"is not a tensor of a LLaMA 2 of {config.n_layers} layers ({list_names(unknown)})"
        )


def _merge(shards: list[TorchArchive], name: str, shape: tuple[int, ...], axis: int | None) -> Weight:
    """One parameter from its parts."""
    expected = list(shape)
    if axis is not None:
        if shape[axis] % len(shards):
            raise CheckpointError(shards[0].path, name, f"shape {shape} does not divide among {len(shards)} files")
        expected[axis] //= len(shards)
    parts = []
    for shard in shards:
        check_shape(shard.path, name, shard.shape(name), tuple(expected))
        parts.append(shard.weight(name))
        first, this = format_name(parts[0]), format_name(parts[-1])
        if this != first:
            raise CheckpointError(shard.path, name, f"expected {first} as in the first file, found {this}")
    if len(parts) == 1:
        return parts[0]
    if axis is None:
        return _same(shards, name, parts)
    if isinstance(parts[0], PackedArray):
        # One element takes a whole number of bytes, so that bytes join as elements do.
        data = np.concatenate([part.data for part in parts if isinstance(part, PackedArray)], axis)
        return PackedArray(data, parts[0].format, shape[-1])
    return np.concatenate([part for part in parts if isinstance(part, np.ndarray)], axis)


def _same(shards: list[TorchArchive], name: str, parts: list[Any]) -> Weight:
    """A replicated norm; where the files disagree nobody can say which one is right."""
    for shard, part in zip(shards, parts):
        if part.tobytes() != parts[0].tobytes():
            raise CheckpointError(shard.path, name, f"expected the same numbers as in {shards[0].path.name}")
    return parts[0]
