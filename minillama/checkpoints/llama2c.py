"""The three file formats of karpathy's llama2.c: a header, then nothing but numbers.

    version 0    7 x i32; float32; no magic; RoPE tables before the output head
    version 1    256-byte header with magic; float32, norms first
    version 2    the same with int8 and one float32 scale for each group of elements

The seven numbers are dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size and
max_seq_len. What the header does not say is fixed: norm_eps 1e-5, rope_theta 10000,
head_dim = dim / n_heads. Every number follows from the header, so the size of the file is
known exactly, and a file of any other size is refused.

Sources: llama2.c's export.py (`legacy_export`, `version1_export`, `version2_export`), run.c
and runq.c.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..config import ModelConfig
from ..files.atomic import atomic_write
from ..files.disguise import LLAMA2C
from ..files.errors import CheckpointError
from ..files.mapped import MappedFile
from ..params import LayerParams, Params, build_params, count_parameters, expected_shapes
from ..quantization.formats import GroupedArray, Weight
from ..trees import named_leaves
from .common.checkpoint import Checkpoint, check_params, make_config, refuse_beyond_llama2
from .common.weights import as_float32_bytes, float32_rows, stored_weight

MAGIC = 0x616B3432  # "ak42"
VERSIONS = (0, 1, 2)
NORM_EPS = 1e-5
ROPE_THETA = 10000.0

_SEVEN = struct.Struct("<7i")
_HEADER_BYTES = {0: _SEVEN.size, 1: 256, 2: 256}
_ROPE_TABLES = "rope_tables"
_MATRICES = ("wq", "wk", "wv", "wo", "w_gate", "w_down", "w_up")
_LATER_ORDER = ("attention_norm", "ffn_norm", "final_norm", "token_embedding", *_MATRICES, "output")
# The fields in the order of the file; one of a layer stands for all layers in a row.
_ORDER: dict[int, tuple[str, ...]] = {
    0: (
        "token_embedding",
        *("attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w_gate", "w_down", "w_up"),
        *("final_norm", _ROPE_TABLES, "output"),
    ),
    1: _LATER_ORDER,
    2: _LATER_ORDER,
}


def read_llama2c(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a llama2.c file of version 0, 1 or 2; the format is recognised by its magic.

    Returns
    -------
    Checkpoint
        float32 matrices are views of the mapped file; those of version 2 are
        `GroupedArray`s whose int8 values are, too. `metadata` has "version", and
        "group_size" for version 2.

    Raises
    ------
    CheckpointError
        When the version is unknown, the header describes no model, or the file does not have
        exactly the size that follows from the header.
    """
    file = MappedFile(path)
    file.expect(LLAMA2C)
    version = _read_version(file)
    config = _read_config(file, version)
    metadata = {"version": version}
    group_size = 0
    if version == 2:
        group_size = metadata["group_size"] = _read_group_size(file, config)
    _check_size(file, config, version, group_size)
    arrays: dict[str, Weight] = {}
    for name, offset, shape in _layout(config, version, group_size):
        arrays[name] = _read_weight(file, offset, shape, group_size, name)
    params = build_params(config, lambda name, shape: arrays[name])
    return Checkpoint(file.path, f"llama2.c v{version}", config, params, metadata)


def _read_version(file: MappedFile) -> int:
    magic = int(file.array(0, "<u4", (1,), "header")[0])
    if magic != MAGIC:
        return 0
    version = int(file.array(4, "<i4", (1,), "version")[0])
    if version not in (1, 2):
        known = "1 and 2 with this magic, 0 without"
        raise CheckpointError(file.path, "version", f"expected a known one ({known}), found {version}")
    return version


def _read_config(file: MappedFile, version: int) -> ModelConfig:
    """The seven numbers. In version 0 a negative vocab_size means that the model is not tied."""
    header = file.take(0, _HEADER_BYTES[version], "header").tobytes()
    numbers = _SEVEN.unpack_from(header, 8 if version else 0)
    dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, max_seq_len = numbers
    if version == 0:
        tied, vocab_size = vocab_size > 0, abs(vocab_size)
    elif header[36] > 1:
        raise CheckpointError(file.path, "shared_classifier", f"expected 0 or 1, found {header[36]}")
    else:
        tied = header[36] == 1
    # Version 0 has no magic, so any file may come as far as here.
    unknown = f"is neither GGUF nor llama2.c: it begins with {header[:8]!r}, which as llama2.c's numbers would mean"
    where = "header" if version else f"file: {unknown}"
    if n_kv_heads < 1:  # ModelConfig takes 0 for "not given"
        raise CheckpointError(file.path, where, f"n_kv_heads must be at least 1, found {n_kv_heads}")
    return make_config(
        file.path,
        where,
        dim=dim,
        hidden_dim=hidden_dim,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        vocab_size=vocab_size,
        max_seq_len=max_seq_len,
        norm_eps=NORM_EPS,
        rope_theta=ROPE_THETA,
        tied=tied,
    )


def _read_group_size(file: MappedFile, config: ModelConfig) -> int:
    """The i32 after the flag, which leaves it unaligned. A divisor of dim divides every matrix."""
    group_size = int(file.array(37, "<i4", (1,), "group_size")[0])
    if group_size < 1 or config.dim % group_size:
        raise CheckpointError(file.path, "group_size", f"expected a divisor of dim {config.dim}, found {group_size}")
    return group_size


def _check_size(file: MappedFile, config: ModelConfig, version: int, group_size: int) -> None:
    expected = _file_bytes(config, version, group_size)
    if file.size != expected:
        raise CheckpointError(
            file.path, "size", f"expected {expected} bytes for version {version} and {config}, found {file.size}"
        )


def _file_bytes(config: ModelConfig, version: int, group_size: int) -> int:
    """The size of a file, from the configuration alone; that of a header has at most `N_LAYERS_LIMIT` layers."""
    n_parameters = count_parameters(config)
    if version == 2:
        n_vectors = (2 * config.n_layers + 1) * config.dim
        n_packed = n_parameters - n_vectors
        return _HEADER_BYTES[version] + 4 * n_vectors + n_packed + 4 * (n_packed // group_size)
    n_rope = config.max_seq_len * config.head_dim if version == 0 else 0
    return _HEADER_BYTES[version] + 4 * (n_parameters + n_rope)


def _names(config: ModelConfig, version: int) -> Iterator[str]:
    """The parameters' names in the order of the file, and `_ROPE_TABLES` where they stand."""
    for field in _ORDER[version]:
        if field in LayerParams._fields:
            yield from (f"layers.{i}.{field}" for i in range(config.n_layers))
        elif field != "output" or not config.tied:
            yield field


def _layout(config: ModelConfig, version: int, group_size: int) -> Iterator[tuple[str, int, tuple[int, ...]]]:
    """Name, first byte and shape of every parameter in the file."""
    shapes = expected_shapes(config)
    offset = _HEADER_BYTES[version]
    for name in _names(config, version):
        if name == _ROPE_TABLES:  # the package computes its own
            offset += 4 * config.max_seq_len * config.head_dim
            continue
        shape = shapes[name]
        yield name, offset, shape
        n_elements = math.prod(shape)
        packed = group_size and len(shape) == 2
        offset += n_elements + 4 * (n_elements // group_size) if packed else 4 * n_elements


def _read_weight(file: MappedFile, offset: int, shape: tuple[int, ...], group_size: int, name: str) -> Weight:
    """A vector or a float32 matrix, or in version 2 (`group_size` not 0) int8 and its scales."""
    if not group_size or len(shape) == 1:
        return stored_weight(file, offset, "F32", shape, name)
    n_elements = math.prod(shape)
    values = file.array(offset, "i1", shape, name)
    scales = file.array(offset + n_elements, "<f4", (n_elements // group_size,), name)
    return GroupedArray(values, scales)


def write_llama2c(
    path: str | os.PathLike[str], config: ModelConfig, params: Params, version: int = 1, group_size: int | None = None
) -> None:
    """Write a model as llama2.c has it: for `run` (version 0), `runq` (version 2) or other tools (version 1).

    Parameters
    ----------
    path : path-like
    config : ModelConfig
    params : Params
        Packed matrices are unpacked; int8 of the same group size is copied bit by bit.
    version : {0, 1, 2}
        0 is float32 and the only one that `run` reads, 1 the same with a magic, 2 is int8.
    group_size : int, optional
        Elements that share a scale in version 2, halved until it divides `dim` as in
        export.py. By default those of a model that is int8 already, which then keeps its bits;
        or 64, halved until it divides `hidden_dim` too, without which `runq` computes nonsense
        (stories260K, with 172, gets 4).

    Raises
    ------
    ValueError
        When the format has no place for something of the model, or a value is not finite.
    """
    _check_writable(config, version, group_size)
    check_params(config, params)
    arrays = dict(named_leaves(params))
    groups = {weight.group_size for weight in arrays.values() if isinstance(weight, GroupedArray)}
    if group_size is None:
        group_size = groups.pop() if len(groups) == 1 else math.gcd(64, config.dim, config.hidden_dim)
    while version == 2 and config.dim % group_size:
        group_size //= 2
    with atomic_write(path) as file:
        file.write(_encode_header(config, version, group_size))
        for name in _names(config, version):
            if name == _ROPE_TABLES:
                for table in _rope_tables(config):
                    file.write(table.data.cast("B"))
            elif len(arrays[name].shape) == 1:
                file.write(as_float32_bytes(arrays[name]))
            elif version == 2:
                _write_int8(file, name, arrays[name], group_size)
            else:
                for rows in float32_rows(arrays[name]):
                    file.write(rows.data.cast("B"))


def _check_writable(config: ModelConfig, version: int, group_size: int | None) -> None:
    if version not in VERSIONS:
        raise ValueError(f"version must be one of {VERSIONS} for a llama2.c file, got {version!r}")
    if version == 2 and group_size is not None and group_size < 1:
        raise ValueError(f"group_size must be at least 1, got {group_size}")
    refuse_beyond_llama2(config, "llama2.c")
    if np.float32(config.norm_eps) != np.float32(NORM_EPS):
        raise ValueError(f"llama2.c computes with norm_eps {NORM_EPS}, the model needs {config.norm_eps}")
    if config.rope_theta != ROPE_THETA:
        raise ValueError(f"llama2.c computes with rope_theta {ROPE_THETA}, the model needs {config.rope_theta}")
    if config.head_dim * config.n_heads != config.dim:
        raise ValueError(
            f"llama2.c needs head_dim * n_heads = dim, the model has {config.head_dim} * {config.n_heads} "
            f"and {config.dim}"
        )


def _encode_header(config: ModelConfig, version: int, group_size: int) -> bytes:
    sign = -1 if version == 0 and not config.tied else 1
    numbers = _SEVEN.pack(
        config.dim,
        config.hidden_dim,
        config.n_layers,
        config.n_heads,
        config.n_kv_heads,
        sign * config.vocab_size,
        config.max_seq_len,
    )
    if version == 0:
        return numbers
    header = struct.pack("<Ii", MAGIC, version) + numbers + struct.pack("<B", config.tied)
    if version == 2:
        header += struct.pack("<i", group_size)
    return header.ljust(_HEADER_BYTES[version], b"\0")


def _rope_tables(config: ModelConfig) -> tuple[NDArray[Any], NDArray[Any]]:
    """cos and sin of every position and pair, (max_seq_len, head_dim / 2), in float32 like export.py."""
    pairs = np.arange(0, config.head_dim, 2, dtype=np.float32)
    frequencies = np.float32(1) / np.float32(config.rope_theta) ** (pairs / np.float32(config.head_dim))
    angles = np.outer(np.arange(config.max_seq_len, dtype=np.float32), frequencies)
    return np.cos(angles).astype("<f4"), np.sin(angles).astype("<f4")


def _write_int8(file: BinaryIO, name: str, weight: Weight, group_size: int) -> None:
    """The int8 values of a whole matrix, then its scales."""
    if isinstance(weight, GroupedArray) and weight.group_size == group_size:
        file.write(np.ascontiguousarray(weight.values).data.cast("B"))
        file.write(np.ascontiguousarray(weight.scales, "<f4").data.cast("B"))
        return
    scales = []
    for rows in float32_rows(weight, multiple=group_size):  # groups may cross the ends of rows
        if not np.isfinite(rows).all():
            raise ValueError(f"{name} has values that are not finite, which int8 cannot hold")
        values, scale = _quantize_groups(rows, group_size)
        file.write(values.data.cast("B"))
        scales.append(scale)
    file.write(np.concatenate(scales).data.cast("B"))


def _quantize_groups(rows: NDArray[np.float32], group_size: int) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`quantize_q80` of export.py: scale = max|w| / 127, values rounded half to even.

    A group of zeros gets the scale 0; export.py would divide 0 by 0.
    """
    groups = rows.reshape(-1, group_size)
    scales = (np.abs(groups).max(axis=1) / np.float32(127)).astype("<f4")
    divisors = np.where(scales == 0, np.float32(1), scales)[:, None]
    # A scale below the smallest normal float32 is too coarse to keep every quotient in range.
    return np.clip(np.round(groups / divisors), -127, 127).astype(np.int8), scales
