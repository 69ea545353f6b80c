"""Writing a Llama as GGUF version 3, so that llama.cpp runs it.

Sources: ggml docs/gguf.md for the container; llama.cpp's converter and loader for the keys
of the architecture "llama" and for which tensors stay in float32.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from ...config import ModelConfig
from ...files.atomic import atomic_write
from ...files.gguf.container import DEFAULT_ALIGNMENT, MAGIC
from ...files.gguf.values import NUMBERS, ValueType
from ...params import Params
from ...quantization.formats import FORMATS, PackedArray, Weight, head_format, quantize, to_float32
from ...trees import named_leaves
from ..common.checkpoint import check_params
from ..common.rows import is_rotated, order_in_halves
from ..common.weights import as_float32_bytes, float32_rows
from .describing import architecture_of, frequency_divisors, model_metadata
from .names import IN_HALVES, ROPE_FREQS, gguf_tensor_name

VERSION = 3

# `general.file_type` for a model of which most matrices have this format.
_FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9,
    "Q2_K": 10, "Q3_K": 12, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32,
}  # fmt: skip
_LARGEST_FLOAT16 = 65504.0

# What llama.cpp expects of these arrays; the elements alone would not say it when there are none.
_ARRAY_TYPES = {
    "tokenizer.ggml.tokens": ValueType.STRING,
    "tokenizer.ggml.merges": ValueType.STRING,
    "tokenizer.ggml.scores": ValueType.FLOAT32,
    "tokenizer.ggml.token_type": ValueType.INT32,
}
_SCALAR_CODES = {
    ValueType.BOOL: "<?", ValueType.UINT32: "<I", ValueType.INT32: "<i", ValueType.UINT64: "<Q",
    ValueType.INT64: "<q", ValueType.FLOAT32: "<f",
}  # fmt: skip
_TYPE_OF_DTYPE = {dtype: number for number, dtype in NUMBERS.items() if number != ValueType.BOOL}


class _Tensor(NamedTuple):
    """A parameter and the format in which it will stand in the file."""

    name: str
    weight: Weight
    format: str

    @property
    def n_bytes(self) -> int:
        rows, n_columns = self.weight.shape[:-1], self.weight.shape[-1]
        row_bytes = 4 * n_columns if self.format == "F32" else FORMATS[self.format].row_bytes(n_columns)
        return (rows[0] if rows else 1) * row_bytes


def write_gguf(
    path: str | os.PathLike[str],
    config: ModelConfig,
    params: Params,
    *,
    name: str = "",
    tokenizer_metadata: dict[str, Any] | None = None,
    general_metadata: dict[str, Any] | None = None,
    to: str | None = None,
) -> None:
    """Write a model as GGUF version 3; the old file stays until the new one is complete.

    Parameters
    ----------
    path : path-like
    config : ModelConfig
    params : Params
    name : str
        `general.name`, for people.
    tokenizer_metadata : dict, optional
        The keys `tokenizer.*` with Python values or arrays, as `read_gguf` returns them.
        Without them the file says that it has no vocabulary.
    general_metadata : dict, optional
        Further keys `general.*`, such as the licence and the authors of the weights.
    to : str, optional
        Convert every matrix to "F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0" or
        "Q5_1"; one whose rows do not divide into blocks becomes F16, as in llama.cpp. The
        embedding and the output head are Q8_0 at least (`head_format`).
        Vectors stay float32. Without it packed matrices are copied bit by bit, and plain
        ones and llama2.c's int8, which GGUF lacks, are written as F32.

    Raises
    ------
    ValueError
        When the parameters do not fit the configuration, the vocabulary has another size,
        the format is unknown, or it cannot hold a value (float16 ends at 65504) or what the model has.
    """
    check_params(config, params)
    _check_target(to)
    architecture = architecture_of(config)
    tensors = []
    for key, weight in named_leaves(params):
        if architecture in IN_HALVES and is_rotated(key):
            weight = _in_halves(key, weight, config.head_dim)
        tensors.append(_Tensor(gguf_tensor_name(key), weight, _target_format(weight, head_format(key, to))))
    if (divisors := frequency_divisors(config)) is not None:
        tensors.append(_Tensor(ROPE_FREQS, divisors, "F32"))
    keys = model_metadata(config, architecture)
    metadata = {**(general_metadata or {}), **_metadata(config, keys, tensors, name, tokenizer_metadata)}
    header = _encode_header(metadata, tensors)
    with atomic_write(path) as file:
        file.write(_padded(header))
        for tensor in tensors:
            for part in _encode_tensor(tensor):
                file.write(part)
            file.write(bytes(-tensor.n_bytes % DEFAULT_ALIGNMENT))


def _in_halves(name: str, weight: Weight, head_dim: int) -> Weight:
    """A parameter with its rows in Hugging Face's order, in memory."""
    rows = order_in_halves(name, weight.shape[0], head_dim)
    if isinstance(weight, PackedArray):
        return PackedArray(weight.data[rows], weight.format, weight.n_columns)
    return weight[rows] if isinstance(weight, np.ndarray) else to_float32(weight)[rows]


def _check_target(to: str | None) -> None:
    writable = ["F32", *(block.name for block in FORMATS.values() if block.quantize)]
    if to is not None and to not in writable:
        raise ValueError(f"cannot write matrices as {to!r}; known: {', '.join(writable)}")


def _target_format(weight: Weight, to: str | None) -> str:
    """The format in the file: as stored, or `to` where it is a matrix whose rows divide."""
    if len(weight.shape) == 1:
        return "F32"
    if to is None:
        return weight.format_name if isinstance(weight, PackedArray) else "F32"
    if to == "F32" or weight.shape[1] % FORMATS[to].block_size == 0:
        return to
    return "F16"


def _encode_tensor(tensor: _Tensor) -> Iterator[memoryview]:
    """The bytes of a tensor, in parts that are small whatever its size."""
    weight = tensor.weight
    if len(weight.shape) == 1:
        yield as_float32_bytes(weight)
    elif isinstance(weight, PackedArray) and weight.format_name == tensor.format:
        step = max(1, (1 << 24) // weight.data.shape[1])
        for start in range(0, weight.shape[0], step):
            yield np.ascontiguousarray(weight.data[start : start + step]).data.cast("B")
    else:
        for rows in float32_rows(weight):
            if tensor.format == "F32":
                yield rows.data.cast("B")
                continue
            # Also catches NaN, which no block format has.
            if tensor.format != "BF16" and not np.abs(rows).max() <= _LARGEST_FLOAT16:
                raise ValueError(f"{tensor.name} has values that {tensor.format} cannot hold (NaN, or beyond 65504)")
            yield quantize(rows, tensor.format).data.data.cast("B")


def _metadata(
    config: ModelConfig,
    keys: dict[str, Any],
    tensors: list[_Tensor],
    name: str,
    tokenizer_metadata: dict[str, Any] | None,
) -> dict[str, Any]:
    """The key-values, in the order in which llama.cpp's own tools write them."""
    formats = Counter(tensor.format for tensor in tensors if len(tensor.weight.shape) == 2)
    metadata: dict[str, Any] = {"general.architecture": keys.pop("general.architecture")}
    if name:
        metadata["general.name"] = name
    metadata["general.file_type"] = _FILE_TYPES[formats.most_common(1)[0][0]]
    if formats.keys() - {"F32", "F16", "BF16"}:
        metadata["general.quantization_version"] = 2
    metadata |= keys
    return metadata | _tokenizer_metadata(config, tokenizer_metadata)


def _tokenizer_metadata(config: ModelConfig, metadata: dict[str, Any] | None) -> dict[str, Any]:
    if metadata is None:
        return {"tokenizer.ggml.model": "no_vocab"}  # llama.cpp's way to say that there is none
    foreign = [key for key in metadata if not key.startswith("tokenizer.")]
    if foreign:
        raise ValueError(f"tokenizer_metadata takes only keys that begin with 'tokenizer.', got {foreign[0]!r}")
    n_tokens = len(metadata.get("tokenizer.ggml.tokens", range(config.vocab_size)))
    if n_tokens != config.vocab_size:
        raise ValueError(f"tokenizer.ggml.tokens must have vocab_size = {config.vocab_size} tokens, got {n_tokens}")
    return metadata


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % DEFAULT_ALIGNMENT)


def _encode_header(metadata: dict[str, Any], tensors: list[_Tensor]) -> bytes:
    """All that comes before the tensor data, without the padding."""
    parts = [MAGIC, struct.pack("<IQQ", VERSION, len(tensors), len(metadata))]
    for key, value in metadata.items():
        parts += [_encode_string(key), _encode_value(key, value)]
    offset = 0
    for tensor in tensors:
        dims = tuple(reversed(tensor.weight.shape))
        type_number = 0 if tensor.format == "F32" else FORMATS[tensor.format].ggml_type
        parts.append(_encode_string(tensor.name))
        parts.append(struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, type_number, offset))
        offset += tensor.n_bytes + -tensor.n_bytes % DEFAULT_ALIGNMENT
    return b"".join(parts)


def _encode_string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _encode_value(key: str, value: Any) -> bytes:
    """The type and the bytes of a key's value."""
    if isinstance(value, str):
        return struct.pack("<I", ValueType.STRING) + _encode_string(value)
    if isinstance(value, (list, tuple, np.ndarray)):
        return struct.pack("<I", ValueType.ARRAY) + _encode_array(key, value)
    if isinstance(value, np.generic):
        value = value.item()
    value_type = _scalar_type(key, value)
    return struct.pack("<I", value_type) + struct.pack(_SCALAR_CODES[value_type], value)


def _scalar_type(key: str, value: Any) -> ValueType:
    """Unsigned 32 bits for a number that fits, as llama.cpp has it for sizes and token ids."""
    if isinstance(value, bool):
        return ValueType.BOOL
    if isinstance(value, float):
        return ValueType.FLOAT32
    if isinstance(value, int):
        for value_type in (ValueType.UINT32, ValueType.INT32, ValueType.UINT64, ValueType.INT64):
            limits = np.iinfo(NUMBERS[value_type])
            if limits.min <= value <= limits.max:
                return value_type
    raise ValueError(f"{key}: GGUF has no type for {value!r} ({type(value).__name__})")


def _encode_array(key: str, values: Any) -> bytes:
    """Element type, count and elements."""
    value_type = _ARRAY_TYPES.get(key)
    if value_type is ValueType.STRING or (len(values) and all(isinstance(value, str) for value in values)):
        strings = b"".join(_encode_string(value) for value in values)
        return struct.pack("<IQ", ValueType.STRING, len(values)) + strings
    array = np.asarray(values)
    if value_type is not None:
        array = array.astype(NUMBERS[value_type])
    elif not isinstance(values, np.ndarray) and array.dtype.kind in "if":
        array = array.astype(np.int32 if array.dtype.kind == "i" else np.float32)
    if array.ndim == 1 and array.dtype == np.bool_:
        return struct.pack("<IQ", ValueType.BOOL, array.size) + array.tobytes()
    number = _TYPE_OF_DTYPE.get(array.dtype)
    if array.ndim != 1 or number is None:
        raise ValueError(f"{key}: GGUF has no type for an array of {array.dtype} and shape {array.shape}")
    return struct.pack("<IQ", number, array.size) + array.astype(NUMBERS[number]).tobytes()
